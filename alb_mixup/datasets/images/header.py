"""What an image file says about itself before its pixels: size, orientation, and whether it was cut short.

OpenCV reads no header without decoding, Pillow is not a dependency, and a JPEG that was cut short decodes to a
half-grey picture without an error on OpenCV 4.
"""

from collections.abc import Iterator
from typing import Literal

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
# ITU-T T.81, table B.1: every start of frame (SOF0 to SOF15) but DHT, JPG and DAC, which share the range
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_APP1 = 0xE1
_EXIF = b"Exif\x00\x00"
_EXIF_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})  # the EXIF orientations that swap height and width


def is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG file ends before its picture does; False for every other format."""
    if data.startswith(_PNG):
        return data.rfind(b"IEND") < 0
    if data.startswith(_JPEG):
        # An EXIF thumbnail has an end marker of its own, so look behind the start of the scan only.
        scan = next((start for marker, start, _ in _jpeg_segments(data) if marker == _JPEG_SCAN), 0)
        return data.rfind(_JPEG_END, scan) < 0
    return False


def size_from_header(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG or PNG as viewers show it, EXIF orientation applied.

    Returns:
        (height, width) in pixels, or None where only decoding can tell.
    """
    if data.startswith(_PNG) and len(data) >= 24 and b"eXIf" not in data[: data.find(b"IDAT")]:
        width, height = _uint(data[16:20], "big"), _uint(data[20:24], "big")
        return height, width
    return jpeg_size(data)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """The same for JPEG alone: None for any other format."""
    if not data.startswith(_JPEG):
        return None
    turned = False
    for marker, start, end in _jpeg_segments(data):
        if marker == _JPEG_APP1 and data.startswith(_EXIF, start):
            turned = _exif_orientation(data[start + len(_EXIF) : end]) in _TURNED
        elif marker in _JPEG_FRAMES and end - start >= 5:
            height, width = _uint(data[start + 1 : start + 3], "big"), _uint(data[start + 3 : start + 5], "big")
            if height == 0:  # allowed by T.81: the number of lines then follows the first scan
                return None
            return (width, height) if turned else (height, width)
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the payload of each segment, up to and with the first start of scan."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        end = position + 2 + _uint(data[position + 2 : position + 4], "big")
        yield marker, position + 4, end
        if marker == _JPEG_SCAN:
            return
        position = end


def _exif_orientation(tiff: bytes) -> int:
    """The orientation (1 to 8) in an EXIF block, 1 where there is none. Source: TIFF 6.0, section 2."""
    order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"
    directory = _uint(tiff[4:8], order)
    for entry in range(_uint(tiff[directory : directory + 2], order)):
        start = directory + 2 + 12 * entry
        if _uint(tiff[start : start + 2], order) == _EXIF_ORIENTATION:
            return _uint(tiff[start + 8 : start + 10], order)
    return 1


def _uint(data: bytes, order: Literal["little", "big"]) -> int:
    return int.from_bytes(data, order)
