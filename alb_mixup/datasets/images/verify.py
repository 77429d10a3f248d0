"""Whether an image file is what its annotation says, without decoding it where that can be told."""

import os
from pathlib import Path

from alb_mixup._support.regular import open_regular
from alb_mixup.datasets.images.decode import CUT_SHORT, Unreadable, decode_picture, header_fault
from alb_mixup.datasets.images.header import ends_whole, is_cut_short, read_header

_HEAD, _TAIL = 8192, 512


def image_fault(path: Path, stated_hw: tuple[int, int] | None) -> str | None:
    """Find what an image file's header and end say against reading it.

    Most files are asked for their first and last kilobytes alone, and no pixel is decoded. Decoded are those of formats
    that are rare and do not say where they end (GIF, JPEG 2000, AVIF, PNM), TIFF and JPEG files of kinds that OpenCV
    may lack (floats, 12 bits, lossless JPEG), and those other than JPEG that a size is stated of and that have an
    orientation.

    Args:
        path: The file.
        stated_hw: Height and width in pixels that the annotation states; None: it states none.

    Returns:
        The reason in words that go on after the file's name, such as "is cut short (...)"; None where there is none.
    """
    try:
        with open_regular(path) as file:
            data = file.read(_HEAD)
            header, is_whole = read_header(data), False
            length = os.fstat(file.fileno()).st_size
            if header is not None and length > _HEAD + _TAIL:
                file.seek(length - _TAIL)
                is_whole = ends_whole(data, file.read(_TAIL))
            if not is_whole and length > _HEAD:  # only the whole file can tell
                file.seek(0)
                data = file.read()
                header = read_header(data)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    fault = header_fault(data, header, stated_hw)
    if fault is not None:
        return fault
    is_short = False if is_whole else is_cut_short(data)
    is_turned = header is not None and header.shown is None and stated_hw is not None
    if is_short is None or (is_turned and not is_short):
        return decode_fault(path, stated_hw)
    return CUT_SHORT if is_short else None


def decode_fault(path: Path, stated_hw: tuple[int, int] | None) -> str | None:
    """Find what keeps an image file from being read, by decoding all of it.

    Args:
        path: The file.
        stated_hw: Height and width in pixels that the annotation states; None: it states none.

    Returns:
        The reason as `image_fault` says it; None where the image can be read.
    """
    try:
        decode_picture(path, stated_hw)
    except Unreadable as error:
        return str(error)
    return None
