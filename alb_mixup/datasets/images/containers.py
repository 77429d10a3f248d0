"""Headers of the image formats other than JPEG, each by its own specification."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

Order = Literal["little", "big"]

PNG = b"\x89PNG\r\n\x1a\n"
_J2K = b"\xff\x4f\xff\x51"  # ITU-T T.800, table A.2: start of codestream, image and tile size
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_AVIF_BRANDS = (b"avif", b"avis")
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_TIFF = {b"II*\0": "little", b"MM\0*": "big", b"II+\0": "little", b"MM\0+": "big"}  # "+" is BigTIFF
_TIFF_TYPES = {1: 1, 3: 2, 4: 4, 16: 8}  # the whole numbers without a sign, in bytes
_WIDTH, _HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112
# What every decoder reads, by tag: bits of a sample, compression (none, LZW, deflate, PackBits), photometric
# interpretation (gray, RGB), samples of a pixel, planes, kind of a sample (whole numbers without a sign).
_TIFF_PLAIN = {
    0x0102: {8, 16},
    0x0103: {1, 5, 8, 32773, 32946},
    0x0106: {0, 1, 2},
    0x0115: {1, 3, 4},
    0x011C: {1},
    0x0153: {1},
}
_OFFSETS, _LENGTHS = (0x0111, 0x0144), (0x0117, 0x0145)  # of strips and of tiles
_TIFF_MAGIC = 42
_MOST_PARTS = 100_000
_BMP_PLAIN = (0, 3, 6)  # the BMP compressions whose rows have a known length


class Header(NamedTuple):
    """What a header says.

    Attributes:
        stored: Height and width in pixels as the file stores them.
        shown: The same as viewers show the picture, EXIF orientation applied; None: only decoding can tell.
    """

    stored: tuple[int, int]
    shown: tuple[int, int] | None


def header_of(data: bytes) -> Header | None:
    """Read the header of a PNG, WebP, BMP, TIFF, GIF, AVIF, JPEG 2000 or PNM file; None where it is none of them."""
    size, may_turn = None, False
    if data.startswith(PNG):
        size, may_turn = _png(data), b"eXIf" in data[: data.find(b"IDAT")]
    elif data.startswith(b"BM"):
        size = _bmp(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size, may_turn = _webp(data), data[12:16] == b"VP8X" and bool(data[20:21] and data[20] & 8)
    elif data[:4] in _TIFF:
        size, may_turn = _tiff(data)
    elif data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        size = uint(data[8:10], "little"), uint(data[6:8], "little")
    elif data.startswith((_J2K, _JP2)):
        size = _jpeg_2000(data)
    elif data[4:8] == b"ftyp" and data[8:12] in _AVIF_BRANDS:
        size, may_turn = _avif(data), True
    elif found := _PNM.match(data):
        size = int(found[2]), int(found[1])
    return None if size is None else Header(size, None if may_turn else size)


def is_cut_short(data: bytes) -> bool | None:
    """Tell whether a whole file ends before its picture does; None where only decoding can tell."""
    if data.startswith(PNG):
        return _png_end(data) is None
    if data[:4] == b"RIFF":
        return uint(data[4:8], "little") + 8 > len(data)
    if data.startswith(b"BM"):
        length = _bmp_length(data)
        return None if length is None else length > len(data)
    if data[:4] in _TIFF:
        return _tiff_length(data) > len(data) or (False if _is_plain_tiff(data) else None)
    return None


def uint(data: bytes, order: Order) -> int:
    """Read a whole number without a sign."""
    return int.from_bytes(data, order)


def exif_orientation(tiff: bytes) -> int:
    """Return the orientation (1 to 8) in an EXIF block, 1 where there is none. Source: TIFF 6.0, section 2.

    As OpenCV does, it takes the number for a SHORT, whatever its type and count say: pixels lie as OpenCV turns them.
    """
    order: Order = "little" if tiff.startswith(b"II") else "big"
    if uint(tiff[2:4], order) != _TIFF_MAGIC:
        return 1
    directory = uint(tiff[4:8], order)
    for entry in range(min(uint(tiff[directory : directory + 2], order), len(tiff) // 12)):
        start = directory + 2 + 12 * entry
        if uint(tiff[start : start + 2], order) == _ORIENTATION:
            return uint(tiff[start + 8 : start + 10], order)
    return 1


def _png(data: bytes) -> tuple[int, int] | None:
    return (uint(data[20:24], "big"), uint(data[16:20], "big")) if len(data) >= 24 else None


def _png_end(data: bytes) -> int | None:
    """Where the last chunk of a PNG ends; None where one claims to end behind the file, as OpenCV makes room for it."""
    at = len(PNG)
    while at + 12 <= len(data):
        end = at + 12 + uint(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IEND" and end <= len(data):
            return end
        at = end
    return None


def _bmp(data: bytes) -> tuple[int, int] | None:
    if len(data) < 34:
        return None
    if uint(data[14:18], "little") == 12:  # OS/2's header
        return uint(data[20:22], "little"), uint(data[18:20], "little")
    height = int.from_bytes(data[22:26], "little", signed=True)  # negative: the first row is the topmost
    return abs(height), max(0, int.from_bytes(data[18:22], "little", signed=True))


def _bmp_length(data: bytes) -> int | None:
    size = _bmp(data)
    if size is None:
        return len(data) + 1
    is_old = uint(data[14:18], "little") == 12
    bits = uint(data[24:26] if is_old else data[28:30], "little")
    if not is_old and uint(data[30:34], "little") not in _BMP_PLAIN:
        return None
    return uint(data[10:14], "little") + (size[1] * bits + 31) // 32 * 4 * size[0]


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if len(data) < 30:
        return None
    if kind == b"VP8X":
        return uint(data[27:30], "little") + 1, uint(data[24:27], "little") + 1
    if kind == b"VP8L":
        bits = uint(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return (uint(data[28:30], "little") & 0x3FFF, uint(data[26:28], "little") & 0x3FFF) if kind == b"VP8 " else None


def _jpeg_2000(data: bytes) -> tuple[int, int] | None:
    start = data.find(_J2K)
    if start < 0 or len(data) < start + 24:
        return None
    right, bottom, left, top = (uint(data[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
    return max(0, bottom - top), max(0, right - left)


def _avif(data: bytes) -> tuple[int, int] | None:
    """The largest of the sizes: a file may hold thumbnails."""
    sizes = [
        (uint(data[at + 12 : at + 16], "big"), uint(data[at + 8 : at + 12], "big"))
        for at in (found.start() for found in re.finditer(b"ispe", data[:65_536]))
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _tiff(data: bytes) -> tuple[tuple[int, int] | None, bool]:
    tags = {tag: values[0] for tag, values in _tiff_tags(data) if values}
    if _WIDTH not in tags or _HEIGHT not in tags:
        return None, False
    return (tags[_HEIGHT], tags[_WIDTH]), tags.get(_ORIENTATION, 1) > 1


def _tiff_length(data: bytes) -> int:
    """Where the last strip or tile of the first picture ends; more than there is where the directory is cut off."""
    tags = dict(_tiff_tags(data))
    ends = [
        offset + length
        for offsets, lengths in zip(_OFFSETS, _LENGTHS, strict=True)
        for offset, length in zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=False)
    ]
    return max(ends, default=len(data) + 1)


def _is_plain_tiff(data: bytes) -> bool:
    """Whether a TIFF is of a kind that OpenCV reads, and its directory is whole: it may lie at the end of the file."""
    return all(
        set(values) <= _TIFF_PLAIN.get(tag, set(values)) and len(values) == count
        for tag, values, count in _tiff_entries(data)
    )


def _tiff_tags(data: bytes) -> Iterator[tuple[int, Sequence[int]]]:
    """The tags of the first directory with whole numbers, and their values."""
    return ((tag, values) for tag, values, _ in _tiff_entries(data))


def _tiff_entries(data: bytes) -> Iterator[tuple[int, Sequence[int], int]]:
    """Such tags, their values, and how many there should be. Source: TIFF 6.0, section 2; BigTIFF."""
    order: Order = "little" if data.startswith(b"II") else "big"
    is_big = data[2:3] == b"+" or data[3:4] == b"+"
    wide, at = (8, 8) if is_big else (4, 4)  # of an offset, and where the first one is
    directory = uint(data[at : at + wide], order)
    entries, entry_length = (8, 20) if is_big else (2, 12)
    for number in range(min(uint(data[directory : directory + entries], order), len(data) // entry_length)):
        start = directory + entries + entry_length * number
        if start + entry_length > len(data):
            yield 0, (), 1
            return
        width = _TIFF_TYPES.get(uint(data[start + 2 : start + 4], order))
        count = uint(data[start + 4 : start + 4 + wide], order)
        if width is None or not 0 < count <= _MOST_PARTS:
            continue
        place = start + 4 + wide
        if width * count > wide:
            place = uint(data[place : place + wide], order)
        values = data[place : place + width * count]
        yield (
            uint(data[start : start + 2], order),
            [uint(values[at : at + width], order) for at in range(0, len(values) - width + 1, width)],
            count,
        )
