"""What makes an annotation invalid, and what is done about it: the same for every format."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.packed import PackedAnnotations, PackedStrings, offsets_of
from alb_mixup.errors import AnnotationError, ArgumentError, InvalidAnnotationWarning
from alb_mixup.functional.boxes import from_xyxy

OnInvalid = Literal["drop", "raise", "clip"]

ROUNDING_PX = 1.0
"""How far a box may reach over the image's edge before it is wrong: the 0-based and 1-based conventions and a
rounded coordinate differ by no more."""

ROUNDING_SHARE = 0.01
"""The same where coordinates are shares of an image's side and its pixels are not known."""

BoxFormat = Literal["pascal_voc", "coco", "yolo"]

_NAMED_IN_WARNING = 5


_SIZED_IMAGE = "its image, {width} px wide and {height} px high"


class InvalidAnnotation(NamedTuple):
    """One annotation that was found to be invalid.

    Attributes:
        file: The annotation file, POSIX, relative to the dataset's root.
        object_index: The object's 0-based position in that file, None where the whole image is concerned.
        reason: What is wrong, with the values found.
    """

    file: str
    object_index: int | None
    reason: str

    def __str__(self) -> str:
        where = self.file if self.object_index is None else f"{self.file}, object {self.object_index}"
        return f"{where}: {self.reason}"


class InvalidLog:
    """Collects invalid annotations, or raises the first, as `on_invalid` says."""

    def __init__(self, root: Path, on_invalid: OnInvalid) -> None:
        if on_invalid not in get_args(OnInvalid):
            raise ArgumentError(f"on_invalid must be 'drop', 'raise' or 'clip', got {on_invalid!r}: choose one")
        self.clip = on_invalid == "clip"
        self.records: list[InvalidAnnotation] = []
        self.remarks: list[str] = []  # on what is not invalid, but hardly meant
        self._kept = 0
        self._root = root
        self._raise = on_invalid == "raise"

    def add(self, file: str, object_index: int | None, reason: str) -> None:
        """Record one invalid annotation.

        Raises:
            AnnotationError: `on_invalid` is `"raise"`.
        """
        self._record(InvalidAnnotation(file, object_index, reason))

    def keep(self, file: str, object_index: int, reason: str) -> None:
        """Record an annotation whose box is kept, but not all of what belongs to it.

        Raises:
            AnnotationError: `on_invalid` is `"raise"`.
        """
        self._record(InvalidAnnotation(file, object_index, reason))
        self._kept += 1

    def _record(self, record: InvalidAnnotation) -> None:
        if self._raise:
            raise AnnotationError(
                f"annotation must be valid, got {self._root.as_posix()}/{record}: correct the file, or pass "
                "on_invalid='drop' or on_invalid='clip'"
            )
        self.records.append(record)

    def remark_beside(self, folders: Sequence[str]) -> None:
        """Remark that folders below that of the images hold annotated images too, which are not read."""
        if folders:
            more = f" and {len(folders) - _NAMED_IN_WARNING} more" if len(folders) > _NAMED_IN_WARNING else ""
            self.remarks.append(
                f"annotated images in {', '.join(folders[:_NAMED_IN_WARNING])}{more} are not part of the dataset, "
                "whose own lie above: open each of these folders by itself"
            )

    def warn(self, stacklevel: int) -> None:
        """Emit one `InvalidAnnotationWarning` for all that was recorded, if anything was, and one for each remark."""
        for remark in self.remarks:
            warnings.warn(remark, InvalidAnnotationWarning, stacklevel=stacklevel + 1)
        if not self.records:
            return
        count = len(self.records)
        first = "; ".join(str(record) for record in self.records[:_NAMED_IN_WARNING])
        more = count - _NAMED_IN_WARNING
        what, was = ("annotation", "was") if count == 1 else ("annotations", "were")
        done = "clipped, or dropped where nothing could be clipped" if self.clip else "dropped"
        kept = f" ({self._kept} kept with what is in order)" if self._kept else ""
        warnings.warn(
            f"{count} invalid {what} in {self._root.as_posix()} {was} {done}{kept}: {first}"
            f"{f'; and {more} more' if more > 0 else ''}. "
            "`.invalid` lists all; on_invalid='raise' stops at the first.",
            InvalidAnnotationWarning,
            stacklevel=stacklevel + 1,
        )


@dataclass(frozen=True)
class BoxTable:
    """The boxes of a dataset as its reader found them, one row a box, before anything is checked.

    Attributes:
        image: (m,) int64: the number of the box's image.
        object_index: (m,) int64: the object's 0-based position in its annotation file.
        xyxy: (m, 4) float64: pixels, 0-based, half-open, corners ordered.
        written: (m, 4) float64: the four numbers as the file has them, for messages.
        class_ids: (m,) int32.
        weights: (m,) float64.
    """

    image: NDArray[np.int64]
    object_index: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    written: NDArray[np.float64]
    class_ids: NDArray[np.int32]
    weights: NDArray[np.float64]

    def rows(self, chosen: NDArray[Any]) -> "BoxTable":
        """The chosen rows, by position or by a mask."""
        return BoxTable(*(getattr(self, field.name)[chosen] for field in fields(self)))


def pack_valid(
    table: BoxTable,
    *,
    files: Sequence[str],
    annotation_files: Sequence[str],
    sizes: NDArray[np.int32] | None,
    log: InvalidLog,
    bbox_format: BoxFormat = "pascal_voc",
) -> tuple[PackedAnnotations, NDArray[np.int64]]:
    """Check every box, log the invalid, and pack what is left.

    Args:
        table: The boxes, grouped by image in ascending order.
        files: N image paths, relative to the dataset's root.
        annotation_files: N paths for messages, relative to the dataset's root.
        sizes: (n, 2) int32: heights and widths. None: they are not known, and `table.xyxy` is in shares of the sides.
        log: Takes what is invalid, and says whether boxes may be clipped.
        bbox_format: What the packed boxes are in: pixels, or shares for `"yolo"`.

    Returns:
        The packed annotations, and the rows of `table` that they hold, int64.
    """
    limits = np.ones((len(table.image), 2), np.int32) if sizes is None else sizes[table.image]
    clipped, reach = clip_boxes(table.xyxy, limits)
    boxes = _stored(clipped, bbox_format)
    with np.errstate(over="ignore"):  # becomes inf, which is refused below
        weights = table.weights.astype(np.float32)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(table.xyxy).all(axis=1))
    inside = reach <= (ROUNDING_SHARE if sizes is None else ROUNDING_PX)
    has_area = _has_area(_shares(boxes, limits, bbox_format))
    weighted = np.isfinite(weights) & (weights >= 0)
    image, unit = ("its image", "of a side") if sizes is None else (_SIZED_IMAGE, "px")
    checks = [
        (finite, "box [{box}] is not finite"),
        (_has_area(table.xyxy), "box [{box}] has no area"),
        (inside, f"box [{{box}}] reaches {{reach:g}} {unit} beyond {image}"),
        (has_area, f"box [{{box}}] has no area inside {image}"),
        (weighted, "weight {weight:g} is negative or not finite"),
    ]
    for row in np.flatnonzero(~np.all([passed for passed, _ in checks], axis=0)):
        height, width = limits[row]
        box = ", ".join(f"{value:g}" for value in table.written[row])
        reason = next(text for passed, text in checks if not passed[row])
        reason = reason.format(box=box, reach=reach[row], weight=table.weights[row], height=height, width=width)
        log.add(annotation_files[table.image[row]], int(table.object_index[row]), reason)
    kept = np.flatnonzero(finite & has_area & weighted & (inside | log.clip))
    packed = PackedAnnotations(
        files=PackedStrings.pack(files),
        sizes=np.zeros((len(files), 2), np.int32) if sizes is None else sizes,
        offsets=offsets_of(np.bincount(table.image[kept], minlength=len(files))),
        boxes=boxes[kept],
        class_ids=table.class_ids[kept],
        weights=weights[kept],
    )
    return packed, kept


def clip_boxes(xyxy: NDArray[np.float64], sizes: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clip boxes to their images.

    Args:
        xyxy: (m, 4) float64: pixels.
        sizes: (m, 2) int32: height and width of each box's image.

    Returns:
        The clipped boxes, float64 (m, 4), and how far each reached out, in pixels, float64 (m,). NaN stays NaN.
    """
    clipped = np.clip(xyxy, 0.0, sizes[:, [1, 0, 1, 0]])
    with np.errstate(invalid="ignore"):  # inf - inf, for a box that is refused anyway
        reach = np.abs(xyxy - clipped).max(axis=1, initial=0.0)
    return clipped, reach


def _stored(xyxy: NDArray[np.float64], bbox_format: BoxFormat) -> NDArray[np.float32]:
    """Boxes as the dataset keeps and returns them, from clipped corners."""
    with np.errstate(invalid="ignore"):  # inf - inf, for a box that is refused anyway
        boxes = from_xyxy(xyxy, bbox_format, (1, 1)).astype(np.float32)
    if bbox_format == "yolo":  # rounded to float32, centre - size / 2 may be -3e-8: Albumentations refuses such a box
        boxes[:, 2:] = np.minimum(boxes[:, 2:], 2 * boxes[:, :2])
    return boxes


def _shares(boxes: NDArray[np.float32], limits: NDArray[np.int32], bbox_format: BoxFormat) -> NDArray[np.float32]:
    """Corners in shares of the sides, in float32 and by the steps that Albumentations takes: it refuses empty boxes."""
    if bbox_format == "yolo":
        half = boxes[:, 2:] / 2
        return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    high = boxes[:, 2:] + boxes[:, :2] if bbox_format == "coco" else boxes[:, 2:]
    sides = limits[:, ::-1].astype(np.float32)
    return np.concatenate([boxes[:, :2] / sides, high / sides], axis=1)


def _has_area(xyxy: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    return np.asarray((xyxy[:, 2:] > xyxy[:, :2]).all(axis=1))
