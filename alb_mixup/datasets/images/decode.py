"""From an image file to RGB pixels that lie where the annotation says they do."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alb_mixup._support.regular import open_regular, read_regular
from alb_mixup.datasets.images.containers import Header
from alb_mixup.datasets.images.header import is_cut_short, is_jpeg, is_upright, read_header
from alb_mixup.errors import ArgumentError, ImageReadError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""The suffixes that count as an image, in any case; the earlier wins where two files share a stem."""

MOST_PIXELS = 178_956_970
"""The most pixels that an image may have: Pillow's own limit, half a gigabyte once decoded. The environment
variable `ALB_MIXUP_MAX_PIXELS` sets another, in workers too."""

CUT_SHORT = "is cut short (the file ends before the picture does)"

_HEAD = 8192  # bytes that nearly all headers fit in
_NOT_AN_IMAGE = "is not an image in a format that is read, or is damaged (its header says no size)"

_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
# What is often found under the name of an image, by its first bytes in lower case.
_IMPOSTORS = {
    b"version https://git-lfs": "is a Git LFS pointer, which `git lfs pull` replaces by the image",
    b"<!doctype html": "is an HTML page",
    b"<html": "is an HTML page",
}


class Unreadable(ValueError):  # noqa: N818  (a reason, which an error goes on to name)
    """An image file cannot be read; the message is the reason, to go on after the file's name."""


def read_image(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Decode an image to RGB.

    Gray becomes three equal channels, alpha is dropped, 16 bits are scaled to 8, CMYK is converted.

    EXIF orientation: the size that the annotation states decides. The picture is turned as viewers turn it where
    that gives this size, or where both ways do (square, mirrored, upside down); it is left as stored where only
    that gives this size. So pixels and boxes always agree.

    Nothing is decoded before the header: what has another size than stated, or too many pixels, costs no memory.

    Args:
        path: The file; a regular one, or a link to such.
        size: Height and width in pixels that the annotation states. None: it states none, and the picture is turned
            as viewers turn it.

    Returns:
        uint8 (height, width, 3), RGB, a new array.

    Raises:
        ImageReadError: The file is missing, cut short, not an image, of another size, or has more pixels than
            `MOST_PIXELS`.
    """
    try:
        return decode_picture(path, size)
    except Unreadable as error:
        raise _read_error(path, error) from error


def decode_picture(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Decode an image as `read_image` does.

    Raises:
        Unreadable: For its reasons.
    """
    data, header = _read_picture(path, size)
    return _rgb(_decode_as_stated(data, header, size))


def read_upright(path: Path, size: tuple[int, int] | None) -> bytes | None:
    """Read an image file as it is, where every decoder shows the same picture; None where EXIF may turn or mirror it.

    Args:
        path: The file.
        size: As for `read_image`.

    Raises:
        ImageReadError: As `read_image`, as far as header and end of the file tell.
    """
    try:
        data, _ = _read_picture(path, size)
    except Unreadable as error:
        raise _read_error(path, error) from error
    return data if is_upright(data) else None


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
        path: The file.
        size: As for `read_image`, which says how orientation is decided here too.
        fitted_size: From the height and width of the whole picture to those that it is going to be resized to.

    Returns:
        uint8 (h, w, 3), RGB, a new array, no side below `fitted_size` where the whole picture's is not; and height and
        width of the whole picture.

    Raises:
        ImageReadError: As `read_image`.
    """
    try:
        data, header = _read_picture(path, size)
        found = _decode_reduced(data, header, size, fitted_size) if is_jpeg(data) else None
        if found is None:
            image = _decode_as_stated(data, header, size)
            found = image, (image.shape[0], image.shape[1])
    except Unreadable as error:
        raise _read_error(path, error) from error
    return _rgb(found[0]), found[1]


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width in pixels as viewers show the image, from the header where that is enough.

    Raises:
        ImageReadError: The file is missing, not an image, or has more pixels than `MOST_PIXELS`.
    """
    try:
        return picture_size(path)
    except Unreadable as error:
        raise _read_error(path, error) from error


def picture_size(path: Path) -> tuple[int, int]:
    """Return what `image_size` does.

    Raises:
        Unreadable: For its reasons.
    """
    try:
        with open_regular(path) as file:
            data = file.read(_HEAD)
            header = read_header(data)
            if header is None:
                data += file.read()
                header = read_header(data)
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from error
    fault = header_fault(data, header, None)
    if header is None or fault is not None:
        raise Unreadable(fault)
    if header.shown is None:  # an orientation that only decoding tells
        height, width = decode_picture(path, None).shape[:2]
        return height, width
    return header.shown


def header_fault(data: bytes, header: Header | None, stated_hw: tuple[int, int] | None) -> str | None:
    """Find what a header says against decoding the picture.

    Args:
        data: The file, or its beginning.
        header: Its header; None: it has none.
        stated_hw: Height and width in pixels that the annotation states, or None.

    Returns:
        The reason, to go on after the file's name; None where there is none.
    """
    if not data:
        return "is empty (0 bytes)"
    if header is None:
        begin = data[:64].lstrip().lower()
        return next((says for known, says in _IMPOSTORS.items() if begin.startswith(known)), _NOT_AN_IMAGE)
    pixels, most = header.stored[0] * header.stored[1], _most_pixels()
    if pixels > most:
        return f"has {pixels:,} pixels, more than {most:,} (ALB_MIXUP_MAX_PIXELS=N in the environment allows more)"
    fitting = {header.stored, header.shown or header.stored[::-1]}
    if stated_hw is None or stated_hw in fitting:
        return None
    height, width = header.shown or header.stored
    return (
        f"is {width} px wide and {height} px high, but its annotation says {stated_hw[1]} and {stated_hw[0]} "
        "(its boxes would be shifted)"
    )


def _most_pixels() -> int:
    value = os.environ.get("ALB_MIXUP_MAX_PIXELS", "")
    if not value:
        return MOST_PIXELS
    if not (value.isascii() and value.isdigit()):
        raise ArgumentError(
            f"ALB_MIXUP_MAX_PIXELS must be a whole number of pixels, got {value!r}: give one, or unset it"
        )
    return int(value)


def _read_error(path: Path, reason: Unreadable) -> ImageReadError:
    return ImageReadError(
        f"image must be readable, got {path.as_posix()}, which {reason}: restore the file, or remove its annotation"
    )


def _read_picture(path: Path, size: tuple[int, int] | None) -> tuple[bytes, Header]:
    """The bytes of a file that can be decoded as far as its header and its end tell."""
    try:
        data = read_regular(path)
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from error
    header = read_header(data)
    fault = header_fault(data, header, size)
    if header is None or fault is not None:
        raise Unreadable(fault)
    if is_cut_short(data):
        raise Unreadable(CUT_SHORT)
    return data, header


def _decode_reduced(
    data: bytes, header: Header, size: tuple[int, int] | None, fitted_size: Callable[[tuple[int, int]], tuple[int, int]]
) -> tuple[NDArray[Any], tuple[int, int]] | None:
    """The reduced picture and its whole size, or None where the whole one has to be decoded."""
    whole = size or header.shown
    if whole is None:
        return None
    height, width = fitted_size(whole)
    for factor, flags in _REDUCED.items():
        reduced = whole[0] // factor, whole[1] // factor
        exact = whole[0] % factor == whole[1] % factor == 0  # the last row would stand for less than the others
        if exact and reduced[0] >= height and reduced[1] >= width:
            image = _decode(data, flags if whole == header.shown else flags | cv2.IMREAD_IGNORE_ORIENTATION)
            return (image, whole) if image.shape[:2] == reduced else None
    return None


def _decode_as_stated(data: bytes, header: Header, size: tuple[int, int] | None) -> NDArray[Any]:
    as_stored = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    is_turned = header.shown is not None and size not in {None, header.shown}
    image = _decode(data, as_stored if is_turned else cv2.IMREAD_COLOR)
    if size is None or image.shape[:2] == size:
        return image
    # Only where decoding alone tells how the picture lies is it decoded twice.
    image = _decode(data, as_stored)
    if image.shape[:2] != size:
        raise Unreadable(
            f"is {image.shape[1]} px wide and {image.shape[0]} px high, but its annotation says {size[1]} and "
            f"{size[0]} (its boxes would be shifted)"
        )
    return image


def _rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    # not by IMREAD_COLOR_RGB: OpenCV 5 refuses it together with a reduced size, OpenCV 4.9 has no such flag
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _decode(data: bytes, flags: int) -> NDArray[Any]:
    try:
        # imdecode rather than imread: OpenCV on Windows opens no path beyond ASCII
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # a damaged file, or more pixels than OpenCV allows
        image = None
    if image is None:
        raise Unreadable(f"is not an image that OpenCV can decode ({len(data):,} bytes)")
    return np.asarray(image)
