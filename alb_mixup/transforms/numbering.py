"""Fields that are positions: how the boxes of one image are numbered, before a mix and in it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from alb_mixup.errors import SampleError
from alb_mixup.functional import Array
from alb_mixup.transforms.rows import Rows

_NONE = -1  # the number of no box


class Numbering:
    """The numbers of one image's boxes, which masks lie at and points name, and what becomes of them in a mix.

    A box's number is what its index field says, where the pipeline has one for boxes; else its position among the
    boxes. Boxes that the mix drops leave no gap: what belongs to them goes too, and the rest moves up.

    Args:
        boxes: (N, D) rows of the boxes.
        columns: Place of each index field among the columns of `boxes`, by its name; the first one numbers the boxes.
        kept: Which of the boxes the mix keeps, bool (N,); None: all.
        points: Rows of points, (P, D), after the places of their index fields.
        masks: How many instance masks the image has; None: none that could belong to boxes.
        where: What messages call the image.

    Raises:
        SampleError: An index field is not of positions, or a point names a box that is not there.
    """

    def __init__(
        self,
        boxes: Array,
        columns: Mapping[str, int],
        kept: Array | None,
        points: Iterable[tuple[Mapping[str, int], Array]],
        masks: int | None,
        where: str,
    ) -> None:
        count = len(boxes)
        named = [_whole(name, rows[:, place]) for places, rows in points for name, place in places.items() if len(rows)]
        highest = max((int(numbers.max()) for numbers in named), default=_NONE)
        own = [_whole(name, boxes[:, place]) for name, place in columns.items() if count]
        if own:
            numbers = own[0]
            self._size = max(highest, int(numbers.max())) + 1
        else:
            numbers = np.arange(count)
            self._size = max(count, highest + 1)
            if not columns and highest >= count > 0:
                raise SampleError(
                    f"points of {where} must name its {count} boxes by their positions, got {highest}: boxes were "
                    "dropped before MixUp, so that positions no longer tell; number the boxes in a label field of "
                    "theirs too, and name it in index_fields"
                )
        # An index field points at masks, some of whose boxes may be gone; positions do so only where none is.
        self._has_masks = masks is not None and (masks >= self._size if columns else masks == count)
        if masks is not None and self._has_masks:
            self._size = masks
        self._gone = np.zeros(0, np.int64) if kept is None else np.unique(numbers[~kept])

    @property
    def left(self) -> int:
        """How many numbers are left in the mix."""
        return self._size - len(self._gone)

    def masks_left(self, count: int) -> Array | None:
        """Tell which of `count` masks stay, bool; None where all do, or none belongs to a box."""
        return self._are_left(np.arange(count)) if self._has_masks and len(self._gone) else None

    def points_left(self, rows: Array, columns: Mapping[str, int]) -> Array | None:
        """Tell which points stay, bool; None where all do."""
        if not columns or not len(rows) or not len(self._gone):
            return None
        return self._are_left(rows[:, next(iter(columns.values()))])

    def renumber(self, rows: Array, columns: Mapping[str, int], offset: int) -> None:
        """Write the numbers that boxes have in the mix into rows that stay.

        Args:
            rows: (M, D) rows of boxes or of points; written to.
            columns: Place of each index field among the columns.
            offset: At which number this image's boxes begin.
        """
        for place in columns.values() if len(rows) else ():
            numbers = rows[:, place].astype(np.int64)
            moved = numbers - np.searchsorted(self._gone, numbers) + offset
            rows[:, place] = np.where(self._are_left(numbers) & (numbers != _NONE), moved, _NONE)

    def _are_left(self, numbers: Array) -> Array:
        return ~np.isin(numbers, self._gone)


def _whole(field: str, column: Array) -> Array:
    numbers = column.astype(np.int64)
    if not np.array_equal(numbers, column) or (numbers < _NONE).any():
        raise SampleError(
            f"{field} must be positions of boxes, whole numbers from 0 or -1 for none, got {column[:5].tolist()}: "
            "leave it out of index_fields if it is something else"
        )
    return numbers


class Numberings(NamedTuple):
    """How the boxes of both images are numbered."""

    primary: Numbering
    partner: Numbering

    def renumber_boxes(self, mixed: Array, primary_kept: Array | None, rows: Rows) -> None:
        """Write the numbers that boxes have in the mix into its rows, the primary's first."""
        count = len(rows.primary) if primary_kept is None else int(primary_kept.sum())
        self.primary.renumber(mixed[:count], rows.target.index_columns, 0)
        self.partner.renumber(mixed[count:], rows.target.index_columns, self.primary.left)


def number_boxes(
    boxes: Rows | None,
    kept: tuple[Array | None, Array | None],
    points: Sequence[Rows],
    masks: tuple[int, int] | None,
    where: str,
) -> Numberings:
    """Find out how the boxes of both images are numbered.

    Args:
        boxes: Their rows; None: boxes are not in this pipeline, and points name them all the same.
        kept: Which of the primary's, and of the partner's own, the mix keeps; None: all.
        points: Rows of points.
        masks: How many instance masks the primary and the partner have; None: none.
        where: What messages call the partner.
    """
    of_primary = [(rows.target.index_columns, rows.primary) for rows in points]
    of_partner = [(rows.target.index_columns, rows.source) for rows in points]
    counts = masks or (None, None)
    if boxes is None:
        nothing = np.zeros((0, 0))
        return Numberings(
            Numbering(nothing, {}, None, of_primary, None, "the primary"),
            Numbering(nothing, {}, None, of_partner, None, where),
        )
    columns = boxes.target.index_columns
    return Numberings(
        Numbering(boxes.primary, columns, kept[0], of_primary, counts[0], "the primary"),
        Numbering(boxes.source, columns, kept[1], of_partner, counts[1], where),
    )


def points_left(points: Array, columns: Mapping[str, int], numbering: Numbering, offset: int) -> Array:
    """Return points without those of dropped boxes, the others with the numbers that their boxes have in the mix.

    Args:
        points: (P, D) rows.
        columns: Place of each index field among the columns; where there is none, points belong to no box.
        numbering: That of their image's boxes.
        offset: At which number the image's boxes begin in the mix.

    Returns:
        New (Q, D) array, Q <= P; `points` itself where nothing changes.
    """
    if not columns or not len(points):
        return points
    left = np.array(chosen(points, numbering.points_left(points, columns)))
    numbering.renumber(left, columns, offset)
    return left


def chosen(values: Any, wanted: Array | None) -> Any:
    """Return those of some values that are wanted, bool, in their own container; None: all."""
    if wanted is None:
        return values
    return values[wanted] if isinstance(values, np.ndarray) else [values[i] for i in np.flatnonzero(wanted)]


def kept_by_both(first: Array | None, then: Array | None) -> Array | None:
    """Join two selections, one after the other: which rows of the first both keep, bool; None: all."""
    if first is None or then is None:
        return first if then is None else then
    both = first.copy()
    both[first] = then
    return both
