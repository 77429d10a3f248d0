"""One Pascal VOC annotation file."""

from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError  # for types: parsing goes through defusedxml

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from alb_mixup._support.regular import read_regular
from alb_mixup.datasets.annotations.packed import LARGEST_SIDE

_LONGEST = 2**25  # bytes of a file of annotations
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocObject(NamedTuple):
    """An `<object>`: `corners` are x_min, y_min, x_max, y_max as written."""

    name: str
    corners: tuple[float, ...]
    weight: float


class VocFile(NamedTuple):
    """An annotation file.

    Attributes:
        size: Height and width in pixels, None where the file does not say.
        objects: In the order of the file; a str is the reason why the object cannot be read, None stands for a
            difficult object that was not asked for.
    """

    size: tuple[int, int] | None
    objects: list[VocObject | str | None]


def read_voc_file(path: Path, *, keep_difficult: bool) -> VocFile:
    """Read an annotation file; entities are refused, whatever they expand to.

    Raises:
        ValueError: It cannot be read; the message is the reason.
    """
    try:
        root = fromstring(read_regular(path, _LONGEST))
    except DefusedXmlException as error:
        raise ValueError(f"unsafe XML is refused: {type(error).__name__}") from error
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except (ParseError, ValueError, LookupError) as error:  # the last two: encodings that expat does not know
        raise ValueError(f"unreadable XML: {error}") from error
    if root.tag != "annotation":
        raise ValueError("not a Pascal VOC annotation: the root element is not <annotation>")
    return VocFile(_size(root), [_object(element, keep_difficult) for element in root.findall("object")])


def _size(root: Element) -> tuple[int, int] | None:
    try:
        height, width = (int(float(root.findtext(f"size/{side}", ""))) for side in ("height", "width"))
    except (ValueError, OverflowError):
        return None
    return (height, width) if 0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE else None


def _object(element: Element, keep_difficult: bool) -> VocObject | str | None:
    if not keep_difficult and _text(element, "difficult").lower() in {"1", "true"}:
        return None
    name = _text(element, "name")
    if not name:
        return "it has no <name>"
    box = element.find("bndbox")
    if box is None:
        return f"{name!r} has no <bndbox>"
    try:
        weight = float(_text(element, "mixup_weight") or 1.0)
        # find() looks at children only, so a <part> with a name and box of its own is never taken for the object
        return VocObject(name, tuple(float(_text(box, corner)) for corner in _CORNERS), weight)
    except ValueError as error:
        return f"{name!r} has a box or weight that is missing or no number: {error}"


def _text(element: Element, child: str) -> str:
    return (element.findtext(child) or "").strip()
