"""A few of the files that `python -m tests.datasets.fuzz` damages; run that for more."""

import sys

import numpy as np
import pytest
from PIL import Image

from alb_mixup import open_dataset
from alb_mixup.datasets.formats.yolo_yaml import read_index
from alb_mixup.datasets.images.decode import image_size, read_image
from alb_mixup.datasets.images.verify import decode_fault, image_fault
from alb_mixup.errors import DatasetError
from tests.datasets.fuzz import fuzz
from tests.support import exports
from tests.support.voc_files import picture, save


@pytest.mark.skipif(sys.platform == "win32", reason="limits on memory are POSIX's")
def test_damaged_files_end_in_our_errors_or_none():
    assert fuzz(0, 400) == []


# ---------------------------------------------------------------- what it found


def test_a_chunk_longer_than_its_png_gets_no_room(tmp_path):
    path = tmp_path / "a.png"
    save(path, picture())
    data = bytearray(path.read_bytes())
    at = data.index(b"IDAT")
    data[at - 4 : at] = b"\x3f\xff\xff\xff"
    path.write_bytes(data)
    assert image_fault(path, None) == decode_fault(path, None) == "is cut short (the file ends before the picture does)"


def test_nested_brackets_in_a_data_yaml_take_no_time(tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text("names: [a]\ntrain: " + "[" * 5000)
    with pytest.raises(DatasetError, match="brackets are nested 5000 deep"):
        read_index(path)


@pytest.mark.parametrize("length", range(12, 31))
def test_a_webp_that_ends_in_its_header(tmp_path, length):
    Image.fromarray(picture()).save(tmp_path / "a.webp", exif=Image.Exif().tobytes())
    data = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "a.webp").write_bytes(data[:length])
    assert image_fault(tmp_path / "a.webp", None) is not None
    assert decode_fault(tmp_path / "a.webp", None) is not None


@pytest.mark.parametrize(("at", "value"), [(12, b"\xc9\x03"), (14, b"\x1b\0\0\x01"), (2, b"\x80\x80"), (0, b"XX")])
def test_an_odd_exif_block_turns_pixels_and_size_alike(tmp_path, at, value):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.asarray(picture())).save(path, exif=exif)
    data = bytearray(path.read_bytes())
    start = data.index(b"Exif\0\0") + 6 + at
    data[start : start + len(value)] = value
    path.write_bytes(data)
    assert read_image(path, None).shape[:2] == image_size(path)


@pytest.mark.parametrize("text", ["a\nb\n0", "1\n", "-1\n0\n1\n", "\x1c\n"])
@pytest.mark.filterwarnings("ignore::alb_mixup.errors.InvalidAnnotationWarning")
def test_a_voc_list_of_labels_without_names(tmp_path, text):
    exports.cvat_voc(tmp_path)
    (tmp_path / "ImageSets" / "Main" / "default.txt").write_text(text)
    try:
        open_dataset(tmp_path, "default")
    except DatasetError as error:
        assert "must list images" in str(error)  # noqa: PT017


def test_a_list_that_names_folders_outside(tmp_path):
    exports.cvat_ultralytics(tmp_path / "set")
    exports.write_yolo(tmp_path / "other", tmp_path / "other", exports.TRAIN)
    other = (tmp_path / "other" / "a.png").as_posix()
    (tmp_path / "set" / "train.txt").write_text(f"{other}\n/{other}\n//obj/a.png\nimages/train/a.png\n")
    with pytest.warns(match="[23] invalid"):
        assert len(open_dataset(tmp_path / "set")) == 1
