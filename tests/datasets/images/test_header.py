import io

import cv2
import numpy as np
import pytest
from PIL import Image

from alb_mixup.datasets.images.header import is_cut_short, read_header
from tests.support.voc_files import picture


def encoded(fmt, image=None, orientation=None, **options):
    image = Image.fromarray(picture() if image is None else image)
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "camera"  # so that the orientation is not the only entry
        options["exif"] = exif
    stream = io.BytesIO()
    image.save(stream, fmt, **options)
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (257, 3), (30, 40)])
@pytest.mark.parametrize("options", [{"fmt": "PNG"}, {"fmt": "JPEG"}, {"fmt": "JPEG", "progressive": True}])
def test_size_is_what_opencv_decodes(shape, options):
    data = encoded(image=picture(*shape), **options)
    assert read_header(data).shown == shape
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] == shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_of_a_turned_jpeg_is_what_opencv_decodes(orientation):
    data = encoded("JPEG", orientation=orientation)
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    assert read_header(data).shown == shown
    assert shown == ((40, 30) if orientation >= 5 else (30, 40))


def test_size_with_a_big_endian_exif_block():
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    app1 = b"Exif\0\0" + tiff
    data = encoded("JPEG")
    data = data[:2] + b"\xff\xe1" + (len(app1) + 2).to_bytes(2, "big") + app1 + data[2:]
    assert read_header(data).shown == (40, 30)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (40, 30)


def test_a_turned_png_must_be_decoded():
    assert read_header(encoded("PNG", orientation=6)) == ((30, 40), None)
    assert read_header(b"") is None


def test_tables_before_the_frame():
    data = encoded("JPEG")
    tables = b"\xff\xc4\x00\x13" + b"\x00" * 17  # a Huffman table without codes
    assert read_header(data[:2] + tables + data[2:]).shown == (30, 40)


def test_fill_bytes_between_segments():
    data = encoded("JPEG")
    assert read_header(data[:2] + b"\xff\xff" + data[2:]).shown == (30, 40)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_cut_short(fmt, part):
    data = encoded(fmt, picture(200, 200))
    assert not is_cut_short(data)
    assert is_cut_short(data[: int(len(data) * part)])


def test_a_whole_thumbnail_in_a_cut_jpeg_deceives_nobody():
    data = encoded("JPEG", picture(200, 200))
    app1 = b"Exif\0\0" + encoded("JPEG", picture(8, 8))
    data = data[:2] + b"\xff\xe1" + (len(app1) + 2).to_bytes(2, "big") + app1 + data[2:]
    assert not is_cut_short(data)
    assert is_cut_short(data[:-50])


def test_bytes_after_the_end_are_no_fault():
    assert not is_cut_short(encoded("JPEG") + b"\0" * 500)
    assert not is_cut_short(encoded("PNG") + b"\0" * 500)


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\0", b"\xff\xd8\xff\xe1\xff\xff" + b"Exif\0\0MM"]
)
def test_nonsense_neither_hangs_nor_raises(data):
    assert read_header(data) is None
    assert is_cut_short(data)
