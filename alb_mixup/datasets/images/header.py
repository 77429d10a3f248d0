"""What an image file says about itself before its pixels: size, orientation, and whether it was cut short.

OpenCV reads no header without decoding, Pillow is not a dependency, and a JPEG that was cut short decodes to a
half-grey picture without an error on OpenCV 4. Where the size is not known beforehand, decoding may take any memory.
"""

from collections.abc import Iterator

from alb_mixup.datasets.images import containers
from alb_mixup.datasets.images.containers import Header, uint

_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
# ITU-T T.81, table B.1: every start of frame (SOF0 to SOF15) but DHT, JPG and DAC, which share the range
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_APP1 = 0xE1
_JPEG_USUAL = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive; not every decoder has the others
_JPEG_BITS = 8  # of a sample; as well
_EXIF = b"Exif\x00\x00"
_TURNED = frozenset({5, 6, 7, 8})  # the EXIF orientations that swap height and width


def read_header(data: bytes) -> Header | None:
    """Read the header of a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, JPEG 2000 or PNM file.

    Args:
        data: The file, or its beginning.

    Returns:
        What it says; None where it is not one of these, is damaged, or `data` ends before it does.
    """
    found = _jpeg_header(data) if data.startswith(_JPEG) else containers.header_of(data)
    return found if found is None or min(found.stored) > 0 else None


def is_jpeg(data: bytes) -> bool:
    """Tell whether a file begins as a JPEG does."""
    return data.startswith(_JPEG)


def is_upright(data: bytes) -> bool:
    """Tell whether an image is shown as it is stored: True only where no EXIF orientation can turn or mirror it.

    Args:
        data: The whole file.
    """
    header = read_header(data)
    if header is None or header.shown is None:
        return False
    return not is_jpeg(data) or all(
        containers.exif_orientation(data[start + len(_EXIF) : end]) == 1
        for marker, start, end in _jpeg_segments(data)
        if marker == _JPEG_APP1 and data.startswith(_EXIF, start)
    )


def is_cut_short(data: bytes) -> bool | None:
    """Tell whether an image file ends before its picture does; None where only decoding can tell.

    Args:
        data: The whole file.
    """
    if data.startswith(_JPEG):
        # An EXIF thumbnail has an end marker of its own, so look behind the start of the scan only.
        return data.rfind(_JPEG_END, _scan(data) or 0) < 0 or (None if _is_rare_jpeg(data) else False)
    return containers.is_cut_short(data)


def ends_whole(head: bytes, tail: bytes) -> bool:
    """Tell from two parts alone that a JPEG or PNG file is not cut short; False where only the whole file can tell.

    Args:
        head: Its first bytes.
        tail: Its last bytes, none of which are in `head`.
    """
    if head.startswith(_JPEG):
        return _scan(head) is not None and _JPEG_END in tail and not _is_rare_jpeg(head)
    end = tail.find(b"IEND")
    return head.startswith(containers.PNG) and 0 <= end <= len(tail) - 8  # with its checksum


def _scan(data: bytes) -> int | None:
    return next((start for marker, start, _ in _jpeg_segments(data) if marker == _JPEG_SCAN), None)


def _is_rare_jpeg(data: bytes) -> bool:
    """Whether the frame is of a kind that OpenCV's decoder may lack: lossless, arithmetic, of 12 bits."""
    frames = ((marker, data[start]) for marker, start, end in _jpeg_segments(data) if marker in _JPEG_FRAMES)
    return any(marker not in _JPEG_USUAL or bits != _JPEG_BITS for marker, bits in frames)


def _jpeg_header(data: bytes) -> Header | None:
    turned = False
    for marker, start, end in _jpeg_segments(data):
        if marker == _JPEG_APP1 and data.startswith(_EXIF, start):
            turned = containers.exif_orientation(data[start + len(_EXIF) : end]) in _TURNED
        elif marker in _JPEG_FRAMES and end - start >= 5:
            # a height of 0, with the number of lines behind the first scan, is allowed by T.81; no decoder reads it
            height, width = uint(data[start + 1 : start + 3], "big"), uint(data[start + 3 : start + 5], "big")
            return Header((height, width), (width, height) if turned else (height, width))
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the payload of each segment, up to and with the first start of scan."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        end = position + 2 + uint(data[position + 2 : position + 4], "big")
        yield marker, position + 4, end
        if marker == _JPEG_SCAN:
            return
        position = end
