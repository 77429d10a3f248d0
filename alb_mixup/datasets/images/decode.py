"""From an image file to RGB pixels that lie where the annotation says they do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.images.header import is_cut_short, jpeg_size, size_from_header
from alb_mixup.errors import ImageReadError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""The suffixes that count as an image, in any case; the earlier wins where two files share a stem."""

_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


def read_image(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Decode an image to RGB.

    Gray becomes three equal channels, alpha is dropped, 16 bits are scaled to 8, CMYK is converted.

    EXIF orientation: the size that the annotation states decides. The picture is turned as viewers turn it where
    that gives this size, or where both ways do (square, mirrored, upside down); it is left as stored where only
    that gives this size. So pixels and boxes always agree.

    Args:
        path: the file.
        size: height and width in pixels that the annotation states. None: it states none, and the picture is turned
            as viewers turn it.

    Returns:
        uint8 (height, width, 3), RGB, a new array.

    Raises:
        ImageReadError: the file is missing, cut short, not an image, or of another size.
    """
    return _rgb(_decode_as_stated(path, _read_picture(path), size))


def read_fitted_image(
    path: Path, size: tuple[int, int] | None, fitted_size: Callable[[tuple[int, int]], tuple[int, int]]
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decode an image to RGB that is going to be resized: of a JPEG, no more pixels than that needs.

    A JPEG is decoded at the smallest of 1/8, 1/4, 1/2 and 1 that covers the size asked for and that divides both sides,
    so that pixels stay where they are. That takes fewer coefficients of its cosine transform (IJG's scaled decoding),
    which is faster, and averages where resizing a large picture with `INTER_LINEAR` skips pixels: the result is nearer
    to the whole picture resized with `INTER_AREA` than that of the whole picture and `INTER_LINEAR` is, or equal to
    it with a PSNR of 40 dB or more. Other formats have no such way, and are decoded whole.

    Args:
        path: the file.
        size: as for `read_image`, which says how orientation is decided here too.
        fitted_size: from the height and width of the whole picture to those that it is going to be resized to.

    Returns:
        uint8 (h, w, 3), RGB, a new array, no side below `fitted_size` where the whole picture's is not; and height and
        width of the whole picture.

    Raises:
        ImageReadError: as `read_image`.
    """
    data = _read_picture(path)
    found = _decode_reduced(path, data, size, fitted_size)
    if found is None:
        image = _decode_as_stated(path, data, size)
        found = image, (image.shape[0], image.shape[1])
    return _rgb(found[0]), found[1]


def _decode_reduced(
    path: Path, data: bytes, size: tuple[int, int] | None, fitted_size: Callable[[tuple[int, int]], tuple[int, int]]
) -> tuple[NDArray[Any], tuple[int, int]] | None:
    """The reduced picture and its whole size, or None where the whole one has to be decoded."""
    shown = jpeg_size(data)
    whole = shown if size is None else size
    if shown is None or whole is None or whole not in {shown, shown[::-1]}:
        return None
    height, width = fitted_size(whole)
    for factor, flags in _REDUCED.items():
        reduced = whole[0] // factor, whole[1] // factor
        exact = whole[0] % factor == whole[1] % factor == 0  # the last row would stand for less than the others
        if exact and reduced[0] >= height and reduced[1] >= width:
            image = _decode(path, data, flags if whole == shown else flags | cv2.IMREAD_IGNORE_ORIENTATION)
            return (image, whole) if image.shape[:2] == reduced else None
    return None


def _read_picture(path: Path) -> bytes:
    data = _read_bytes(path)
    if is_cut_short(data):
        raise ImageReadError(
            f"{path.as_posix()} is cut short: the file ends before the picture does. Copy or download it again."
        )
    return data


def _decode_as_stated(path: Path, data: bytes, size: tuple[int, int] | None) -> NDArray[Any]:
    image = _decode(path, data, cv2.IMREAD_COLOR)
    if size is None or image.shape[:2] == size:
        return image
    # Only a file whose orientation tag the annotation tool ignored is decoded twice.
    as_stored = _decode(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if as_stored.shape[:2] != size:
        raise ImageReadError(
            f"{path.as_posix()} is {image.shape[1]} px wide and {image.shape[0]} px high, but its annotation says "
            f"{size[1]} and {size[0]}: its boxes would be shifted. Correct the annotation or restore the image."
        )
    return as_stored


def _rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    # not by IMREAD_COLOR_RGB: OpenCV 5 refuses it together with a reduced size, OpenCV 4.9 has no such flag
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels as viewers show the image, from the header where that is enough.

    Raises:
        ImageReadError: the file is missing or not an image.
    """
    data = _read_bytes(path)
    size = size_from_header(data)
    if size is None:
        height, width = _decode(path, data, cv2.IMREAD_COLOR).shape[:2]
        return height, width
    return size


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageReadError(
            f"{path.as_posix()} cannot be read: {error.strerror}. Restore the file, or remove its annotation."
        ) from error


def _decode(path: Path, data: bytes, flags: int) -> NDArray[Any]:
    try:
        # imdecode rather than imread: OpenCV on Windows opens no path beyond ASCII
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # an empty file, or more pixels than OpenCV allows
        image = None
    if image is None:
        raise ImageReadError(
            f"{path.as_posix()} ({len(data)} bytes) is not an image that OpenCV can decode. "
            "Restore the file or convert it to JPEG or PNG, or remove its annotation."
        )
    return np.asarray(image)
