"""What `image_fault` passes can be decoded, and it decodes nothing itself."""

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from alb_mixup.datasets.images import decode
from alb_mixup.datasets.images.decode import image_size, read_image
from alb_mixup.datasets.images.verify import decode_fault, image_fault
from alb_mixup.errors import ArgumentError, ImageReadError
from tests.support.voc_files import picture, save

SUFFIXES = [".jpg", ".png", ".bmp", ".tif", ".webp", ".gif", ".jp2", ".ppm", ".avif"]
SIZE = (90, 140)


def write(path, image=None):
    """With Pillow, which has all the formats; noise, so that files are longer than their headers."""
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    formats = {".jp2": "JPEG2000", ".tif": "TIFF"}
    Image.fromarray(noise if image is None else image).save(path, format=formats.get(path.suffix))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("stated", [SIZE, None])
def test_a_sound_file_has_no_fault(tmp_path, suffix, stated):
    path = write(tmp_path / f"a{suffix}")
    if not cv2.haveImageReader(str(path)):  # what this OpenCV cannot read, training could not either
        assert "OpenCV can decode" in image_fault(path, stated)
        return
    assert image_fault(path, stated) is None
    assert decode_fault(path, stated) is None
    assert image_size(path) == SIZE


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("stated", [SIZE[::-1], (SIZE[0] + 1, SIZE[1]), (1, 1), (10**6, 10**6)])
def test_another_size_than_stated(tmp_path, suffix, stated):
    path = write(tmp_path / f"a{suffix}")
    fault = image_fault(path, stated)
    if cv2.haveImageReader(str(path)):
        assert fault == (
            f"is 140 px wide and 90 px high, but its annotation says {stated[1]} and {stated[0]} "
            "(its boxes would be shifted)"
        )
    assert fault is not None


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("part", [0.03, 0.5, 0.9, 0.999])
def test_cut_short(tmp_path, suffix, part):
    path = write(tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    faults = image_fault(path, SIZE), decode_fault(path, SIZE)
    assert (faults[0] is None) == (faults[1] is None)
    if suffix in {".jpg", ".png", ".bmp", ".tif", ".webp"}:
        assert "cut short" in faults[0] or "header says no size" in faults[0]


def encoded(kind):
    """A file of noise, so that it is longer than what `image_fault` reads of most, or of a small picture."""
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    pixels = {
        "float": noise.astype(np.float32),
        "16": noise.astype(np.uint16),
        "gray16": np.uint16(257) * picture()[..., 0],
    }
    name, _, options = kind.partition(" ")
    if options in pixels:
        return cv2.imencode(f".{name}", pixels[options])[1].tobytes()
    to = io.BytesIO()
    if name == "tif":
        image = Image.fromarray(noise).convert("1") if options == "group4" else Image.fromarray(noise)
        image.save(to, "TIFF", compression=options)
    else:
        Image.fromarray(noise).save(to, "PNG" if name == "png" else "JPEG")
    return to.getvalue()


@pytest.mark.parametrize(
    "kind",
    [
        "jpg",
        "png",
        "tif tiff_lzw",
        "tif tiff_adobe_deflate",
        "tif jpeg",
        "tif group4",
        "tif float",
        "tif 16",
        "tif gray16",
    ],
)
@pytest.mark.parametrize("lost", [0, 1, 2, 4, 5, 8, 12, 20, 200])
def test_a_file_that_lacks_a_few_bytes_is_judged_as_reading_judges_it(tmp_path, kind, lost):
    """The last chunk of a PNG, the directory of a TIFF at its end; a TIFF of floats is none that OpenCV reads."""
    data = encoded(kind)
    path = tmp_path / "a.png"
    path.write_bytes(data[: len(data) - lost])
    assert (image_fault(path, None) is None) == (decode_fault(path, None) is None)


@pytest.mark.parametrize("at", [1, 4])
def test_a_jpeg_of_a_kind_that_opencv_lacks_is_found_without_pixels(tmp_path, at):
    data = bytearray(encoded("jpg"))
    data[data.index(b"\xff\xc0") + at] = {1: 0xC3, 4: 12}[at]  # lossless, or of 12 bits
    (tmp_path / "a.jpg").write_bytes(bytes(data))
    assert "OpenCV can decode" in decode_fault(tmp_path / "a.jpg", SIZE)
    assert "OpenCV can decode" in image_fault(tmp_path / "a.jpg", SIZE)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty (0 bytes)"),
        (b"<!DOCTYPE html><html>404</html>", "is an HTML page"),
        (b"\n<html><body>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"no image at all", "is not an image"),
        (b"\xff\xd8\xff\xe0", "is not an image"),
        (b"\x89PNG\r\n\x1a\n", "is not an image"),
        (b"BM" + b"\0" * 60, "is not an image"),
    ],
)
def test_what_is_no_image(tmp_path, content, says):
    (tmp_path / "a.jpg").write_bytes(content)
    for find in (image_fault, decode_fault):
        for stated in (SIZE, None):
            assert says in find(tmp_path / "a.jpg", stated)


def test_missing_dangling_and_folders(tmp_path):
    (tmp_path / "link.jpg").symlink_to("gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name, says in {"gone.jpg": "No such file", "link.jpg": "No such file", "folder.jpg": "folder"}.items():
        for find in (image_fault, decode_fault):
            assert "cannot be read" in find(tmp_path / name, None)
            assert says in find(tmp_path / name, None)


def test_links_to_files_are_files(tmp_path):
    write(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to("a.png")
    assert image_fault(tmp_path / "link.png", SIZE) is None


def test_pixels_that_are_damaged_are_found_by_decoding_alone(tmp_path):
    path = write(tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    assert image_fault(path, SIZE) is None
    assert "not an image that OpenCV can decode" in decode_fault(path, SIZE)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("stated", [SIZE, SIZE[::-1], (1, 1)])
def test_orientation_is_judged_as_reading_judges_it(tmp_path, suffix, orientation, stated):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(picture(*SIZE)).save(path, exif=exif)
    assert (image_fault(path, stated) is None) == (decode_fault(path, stated) is None)


def test_a_long_file_is_not_read_whole(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    for suffix in (".jpg", ".png"):
        save(tmp_path / f"a{suffix}", noise)
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr("alb_mixup.datasets.images.verify.is_cut_short", None)  # what asks for the whole file
    for suffix in (".jpg", ".png"):
        assert image_fault(tmp_path / f"a{suffix}", (900, 900)) is None


def test_a_header_beyond_the_first_kilobytes(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(*SIZE)).save(path, icc_profile=b"\0" * 60_000)
    assert image_fault(path, SIZE) is None
    assert image_size(path) == SIZE
    path.write_bytes(path.read_bytes()[:-10])
    assert "cut short" in image_fault(path, SIZE)


def test_nothing_is_decoded_that_has_another_size_or_too_many_pixels(tmp_path, monkeypatch):
    path = write(tmp_path / "a.png")
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ImageReadError, match="its annotation says 7 and 5"):
        read_image(path, (5, 7))
    monkeypatch.setattr(decode, "MOST_PIXELS", 12_599)
    says = r"has 12,600 pixels, more than 12,599 \(ALB_MIXUP_MAX_PIXELS=N in the environment allows more\)"
    for stated in (None, SIZE):
        with pytest.raises(ImageReadError, match=says):
            read_image(path, stated)
        assert "more than 12,599" in image_fault(path, stated)
    with pytest.raises(ImageReadError, match=says):
        image_size(path)


def test_the_cap_can_be_raised(tmp_path, monkeypatch):
    path = write(tmp_path / "a.png")
    monkeypatch.setenv("ALB_MIXUP_MAX_PIXELS", "12599")
    assert "more than 12,599" in decode_fault(path, SIZE)
    monkeypatch.setenv("ALB_MIXUP_MAX_PIXELS", "12600")
    assert decode_fault(path, SIZE) is None
    monkeypatch.setenv("ALB_MIXUP_MAX_PIXELS", "many")
    with pytest.raises(ArgumentError, match="ALB_MIXUP_MAX_PIXELS must be a whole number of pixels, got 'many'"):
        read_image(path, SIZE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_pipes_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.jpg"):
        for find in (image_fault, decode_fault):
            assert find(tmp_path / name, None) == "cannot be read (it is not a regular file)"
        with pytest.raises(ImageReadError, match="not a regular file"):
            image_size(tmp_path / name)
