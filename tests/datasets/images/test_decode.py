import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from alb_mixup.datasets.images.decode import image_size, read_image
from alb_mixup.errors import ImageReadError
from tests.support.voc_files import picture, save


def save_with_pillow(path, image, orientation=None, **options):
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    image.save(path, **options)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_lossless_files_come_back_exactly(tmp_path, suffix):
    save(tmp_path / f"a{suffix}", picture())
    image = read_image(tmp_path / f"a{suffix}", (30, 40))
    assert image.dtype == np.uint8
    assert image.flags.writeable
    np.testing.assert_array_equal(image, picture())


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_files_come_back_in_rgb(tmp_path, suffix):
    save(tmp_path / f"a{suffix}", picture())
    image = read_image(tmp_path / f"a{suffix}", (30, 40)).astype(int)
    assert np.abs(image - picture()).mean() < 4


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "RGB"])
def test_modes_agree_with_pillow(tmp_path, mode):
    image = Image.fromarray(picture()).convert(mode)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (30, 40)), np.asarray(image.convert("RGB")))


def test_transparency_is_dropped_not_blended(tmp_path):
    rgba = np.dstack([picture(), np.zeros((30, 40), np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (30, 40)), picture())


def test_cmyk_agrees_with_pillow(tmp_path):
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB")).astype(int)
    assert np.abs(read_image(tmp_path / "a.jpg", (30, 40)) - expected).max() <= 2


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_are_scaled(tmp_path, suffix):
    ramp = np.linspace(0, 65535, 1200).reshape(30, 40).astype(np.uint16)
    save(tmp_path / f"a{suffix}", ramp)
    image = read_image(tmp_path / f"a{suffix}", (30, 40))
    assert image.shape == (30, 40, 3)
    assert np.abs(image - ramp[..., None] / 257).max() <= 1


# The transposes of the stored picture that show it as meant. Source: EXIF 2.32, tag 0x0112.
SHOWN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize("shape", [(30, 40), (40, 40)])
def test_orientation_is_applied_where_the_size_allows(tmp_path, orientation, shape):
    save_with_pillow(tmp_path / "a.png", Image.fromarray(picture(*shape)), orientation)
    shown = SHOWN[orientation](picture(*shape))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", shown.shape[:2]), shown)
    assert image_size(tmp_path / "a.png") == shown.shape[:2]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_orientation_is_ignored_where_the_annotation_ignored_it(tmp_path, orientation, suffix):
    path = tmp_path / f"a.{suffix}"
    save_with_pillow(path, Image.fromarray(picture()), orientation)
    expected = np.asarray(Image.open(path)).astype(int)  # Pillow leaves pixels as stored
    assert np.abs(read_image(path, (30, 40)) - expected).max() <= (0 if suffix == "png" else 3)


def test_an_ordinary_image_is_decoded_once(tmp_path, monkeypatch):
    save(tmp_path / "a.png", picture())
    calls = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *args: calls.append(args) or decode(*args))
    read_image(tmp_path / "a.png", (30, 40))
    assert len(calls) == 1


def test_another_size_than_the_annotation_states(tmp_path):
    save(tmp_path / "a.png", picture())
    with pytest.raises(
        ImageReadError, match=r"a\.png, which is 40 px wide and 30 px high, but its annotation says 80 and 60"
    ):
        read_image(tmp_path / "a.png", (60, 80))


def test_missing(tmp_path):
    with pytest.raises(ImageReadError, match=r"a\.png, which cannot be read \(No such file.*: restore the file"):
        read_image(tmp_path / "a.png", (30, 40))
    with pytest.raises(OSError, match=r"a\.png"):
        image_size(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"no image at all", b"BM" + b"\0" * 100])
def test_not_an_image(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageReadError, match=r"a\.png, which is (not an image|empty)"):
        read_image(tmp_path / "a.png", (30, 40))
    with pytest.raises(ImageReadError, match=r"a\.png"):
        image_size(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("lost", [2, 200])
def test_cut_short(tmp_path, suffix, lost):
    path = tmp_path / f"a{suffix}"
    save(path, picture(100, 100))
    path.write_bytes(path.read_bytes()[: -lost if suffix == ".jpg" else -lost - 6])
    with pytest.raises(ImageReadError, match=rf"a\{suffix}, which is cut short"):
        read_image(path, (100, 100))


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".webp"])
def test_other_formats_cut_short(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save(path, picture(100, 100))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageReadError, match=rf"a\{suffix}"):
        read_image(path, (100, 100))


def test_a_header_that_claims_more_pixels_than_opencv_allows(tmp_path):
    stream = io.BytesIO()
    Image.new("1", (1, 1)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageReadError, match=r"a\.png, which has 10,000,000,000 pixels, more than 178,956,970"):
        read_image(tmp_path / "a.png", (100_000, 100_000))


def test_a_path_beyond_ascii(tmp_path):
    save(tmp_path / "Größe 猫.png", picture())
    np.testing.assert_array_equal(read_image(tmp_path / "Größe 猫.png", (30, 40)), picture())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_image_size(tmp_path, suffix):
    save(tmp_path / f"a{suffix}", picture(31, 47))
    assert image_size(tmp_path / f"a{suffix}") == (31, 47)
