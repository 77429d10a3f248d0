"""From an image file to RGB pixels that lie where the annotation says they do."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets._header import is_cut_short, size_from_header
from alb_mixup.errors import ImageReadError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""The suffixes that count as an image, in any case; the earlier wins where two files share a stem."""


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
    data = _read_bytes(path)
    if is_cut_short(data):
        raise ImageReadError(
            f"{path.as_posix()} is cut short: the file ends before the picture does. Copy or download it again."
        )
    image = _decode(path, data, cv2.IMREAD_COLOR)
    if size is not None and image.shape[:2] != size:
        # Only a file whose orientation tag the annotation tool ignored is decoded twice.
        as_stored = _decode(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if as_stored.shape[:2] != size:
            raise ImageReadError(
                f"{path.as_posix()} is {image.shape[1]} px wide and {image.shape[0]} px high, but its annotation says "
                f"{size[1]} and {size[0]}: its boxes would be shifted. Correct the annotation or restore the image."
            )
        image = as_stored
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
