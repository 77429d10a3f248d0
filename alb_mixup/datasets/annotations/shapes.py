"""Instance masks: polygons and run lengths in flat arrays, drawn when they are asked for."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.packed import offsets_of
from alb_mixup.datasets.annotations.shared import SharedArrays

Points = NDArray[np.float64]


class Shape(NamedTuple):
    """The shape of one object: rings, or runs, or neither, which stands for its box.

    Attributes:
        rings: Polygons, each float64 (p, 2), x and y; the shape is their union.
        runs: Int32, lengths of alternating runs of 0 and 1, column by column, as COCO writes them.
    """

    rings: Sequence[Points] = ()
    runs: NDArray[np.int32] = np.zeros(0, np.int32)


@dataclass(frozen=True, eq=False)
class PackedShapes(SharedArrays):
    """The shapes of m objects.

    Attributes:
        points: (p, 2) float64: the points of all rings; in float32, a point on the edge of a pixel may cross it.
        ring_offsets: (r + 1,) int64: where the points of each ring begin and end.
        rings: (m + 1,) int64: where the rings of each object begin and end.
        runs: (q,) int32: the run lengths of all objects.
        run_offsets: (m + 1,) int64: where those of each object begin and end.
    """

    points: Points
    ring_offsets: NDArray[np.int64]
    rings: NDArray[np.int64]
    runs: NDArray[np.int32]
    run_offsets: NDArray[np.int64]

    @classmethod
    def pack(cls, shapes: Sequence[Shape]) -> "PackedShapes":
        """Pack `shapes` in their order."""
        rings = list(chain.from_iterable(shape.rings for shape in shapes))
        return cls(
            points=np.concatenate([np.zeros((0, 2), np.float64), *rings]),
            ring_offsets=offsets_of([len(ring) for ring in rings]),
            rings=offsets_of([len(shape.rings) for shape in shapes]),
            runs=np.concatenate([np.zeros(0, np.int32), *(shape.runs for shape in shapes)]),
            run_offsets=offsets_of([len(shape.runs) for shape in shapes]),
        )

    def __getitem__(self, row: int) -> Shape:
        rings = range(int(self.rings[row]), int(self.rings[row + 1]))
        return Shape(
            [self.points[self.ring_offsets[ring] : self.ring_offsets[ring + 1]] for ring in rings],
            self.runs[self.run_offsets[row] : self.run_offsets[row + 1]],
        )

    def masks(
        self, rows: slice, xyxy: NDArray[np.float64], size: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)
    ) -> NDArray[np.uint8]:
        """Draw the masks of some objects.

        Args:
            rows: N objects.
            xyxy: (n, 4) float64: their boxes in pixels, drawn where an object has no shape of its own.
            size: Height and width of the masks.
            scale: Pixels to one unit of the points, in x and in y.

        Returns:
            uint8 (n, height, width), 0 and 1.
        """
        masks = np.zeros((len(xyxy), *size), np.uint8)
        for number, row in enumerate(range(rows.start, rows.stop)):
            shape = self[row]
            if len(shape.runs):
                masks[number] = draw_runs(shape.runs, size)
            elif not shape.rings:
                left, top, right, bottom = np.rint(xyxy[number]).astype(int)
                masks[number, top:bottom, left:right] = 1
            for ring in shape.rings:
                masks[number] |= draw_ring(ring * np.array(scale), size)
        return masks


def draw_runs(runs: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """From run lengths, which sum to height × width, to a mask: uint8 (height, width)."""
    values = (np.arange(len(runs)) % 2).astype(np.uint8)
    return np.repeat(values, runs).reshape(size[::-1]).T


def draw_ring(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Fill a polygon exactly as COCO's own tools do.

    Args:
        points: (p, 2) float64: x and y in pixels, edges of pixels being whole numbers; finite.
        size: Height and width of the mask.

    Returns:
        uint8 (height, width), 0 and 1.

    Source:
        `rleFrPoly` in cocoapi's maskApi.c: the outline is walked on a grid 5 times as fine, and each column's
        crossings of it start and end the runs.
    """
    height, width = size
    corners = np.trunc(_FINER * points + 0.5).astype(np.int64)
    walked = np.concatenate([_walk(*edge) for edge in zip(corners, np.roll(corners, -1, axis=0), strict=True)])
    (x0, y0), (x1, y1) = walked[:-1].T, walked[1:].T
    column = (np.where(x1 < x0, x1, x1 - 1) + 0.5) / _FINER - 0.5
    crosses = (x1 != x0) & (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    row = np.ceil(np.clip((np.minimum(y0, y1)[crosses] + 0.5) / _FINER - 0.5, 0, height))
    toggles = (column[crosses] * height + row).astype(np.int64)
    inside = np.cumsum(np.bincount(toggles, minlength=height * width + 1)[:-1]) % 2
    return np.asarray(inside.reshape(width, height).T, dtype=np.uint8)


_FINER = 5


def _walk(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """The grid points of one edge, in steps along its longer axis: int64 (steps + 1, 2)."""
    longer = 0 if abs(end[0] - start[0]) >= abs(end[1] - start[1]) else 1
    low, high = (start, end) if start[longer] <= end[longer] else (end, start)
    length = int(high[longer] - low[longer])
    steps = np.arange(length + 1)
    slope = float(high[1 - longer] - low[1 - longer]) / length if length else 0.0
    points = np.empty((length + 1, 2), np.int64)
    points[:, longer] = steps + low[longer]
    points[:, 1 - longer] = np.trunc(low[1 - longer] + slope * steps + 0.5)
    return points if low is start else points[::-1]


def shape_from_coco(segmentation: Any, size: tuple[int, int]) -> Shape:
    """Read a COCO `segmentation`: polygons, run lengths, or compressed run lengths.

    Args:
        segmentation: What the JSON holds; None and an empty list stand for the box.
        size: The image's height and width.

    Raises:
        ValueError: It is none of these, or does not fit the image; the message is the reason.
    """
    if not segmentation:
        return Shape()
    if isinstance(segmentation, dict):
        return Shape(runs=_runs(segmentation.get("counts"), segmentation.get("size"), size))
    if not isinstance(segmentation, list):
        raise ValueError(f"unreadable segmentation: it is neither polygons nor run lengths, got {segmentation!r:.80}")
    longest = LONGEST_OUTLINE * (size[0] + size[1]) + 1000
    rings, reason = [], ""
    # VIA writes one polygon without the list around it
    for polygon in segmentation if isinstance(segmentation[0], list) else [segmentation]:
        try:
            rings.append(ring_from(polygon, longest))
        except (TypeError, ValueError, OverflowError) as error:  # noqa: PERF203
            reason = reason or str(error)
    if not rings:
        raise ValueError(f"unreadable segmentation: {reason}")
    return Shape(rings)


LONGEST_OUTLINE = 200
"""The longest outline of an object, in sums of the image's sides: drawing one takes memory by its length."""


def ring_from(numbers: Iterable[float], longest: float) -> Points:
    """A polygon from x, y, x, y, ...

    Args:
        numbers: The coordinates.
        longest: How long the outline may be.

    Raises:
        ValueError: It has fewer than three points, half a point, a number that is not finite, or is too long.
    """
    flat = floats(numbers)
    if len(flat) < 6 or len(flat) % 2 or not np.isfinite(flat).all():
        raise ValueError(
            f"a polygon must have three points or more, x and y of each, all finite, got {len(flat)} numbers"
        )
    points = flat.reshape(-1, 2)
    with np.errstate(over="ignore"):  # becomes inf, which is too long
        length = np.abs(points - np.roll(points, 1, axis=0)).sum()
    if length > longest:
        raise ValueError(f"a polygon's outline must be {longest:g} long at the most, got {length:g}")
    return points


def floats(numbers: Iterable[Any]) -> Points:
    """Return numbers as an array; text is not taken for numbers, as numpy would.

    Raises:
        TypeError: There is something else among them.
    """
    listed = list(numbers)
    odd = [kind.__name__ for kind in set(map(type, listed)) if not issubclass(kind, int | float | np.number)]
    if odd:
        raise TypeError(f"numbers are expected, not {odd[0]}")
    return np.array(listed, np.float64)


def runs_from(text: str, size: tuple[int, int]) -> NDArray[np.int32]:
    """From compressed run lengths of a mask of this size to plain ones.

    Raises:
        ValueError: They are not such.
    """
    return _runs(text, list(size), size)


def _runs(counts: Any, stated: Any, size: tuple[int, int]) -> NDArray[np.int32]:
    try:
        listed = _uncompressed(counts) if isinstance(counts, str) else map(operator.index, counts)
        runs = np.fromiter(listed, np.int64)
    except (TypeError, ValueError, OverflowError, IndexError) as error:
        raise ValueError(f"unreadable run lengths: {error}") from error
    if stated != list(size):
        raise ValueError(f"run lengths are for a mask of size {stated!r}, but the image has {list(size)!r}")
    if (runs < 0).any() or (runs > size[0] * size[1]).any() or runs.sum() != size[0] * size[1]:
        raise ValueError(f"run lengths must not be negative and must sum to {size[0] * size[1]}, got {runs.sum()}")
    return runs.astype(np.int32)


def _uncompressed(text: str) -> list[int]:
    """Source: `rleFrString` in cocoapi's maskApi.c: 5 bits a character, differences to the run before the last."""
    runs: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if shift > 60 or not 0 <= bits < 64:
            raise ValueError("no compressed run lengths")
        if not bits & 0x20:
            value -= (bits & 0x10) << (shift - 4)
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    return runs


def runs_of(mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """From a mask, (height, width), 0 and others, to run lengths: the inverse of `draw_runs`."""
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    begins = [0] if len(flat) and flat[0] else []  # the first run is of 0
    return np.diff(np.concatenate([begins, [0], edges, [len(flat)]])).astype(np.int32)


def compressed(runs: NDArray[np.int32]) -> str:
    """Write run lengths as text: `rleToString` in cocoapi's maskApi.c, the inverse of its `rleFrString`."""
    differences = runs.astype(np.int64)
    differences[3:] -= runs[1:-2]
    groups = np.zeros((len(runs), _GROUPS), np.int64)  # of 5 bits, the lowest first
    lasts = np.zeros(len(runs), np.int64)
    rest, is_open = differences, np.ones(len(runs), bool)
    for group in range(_GROUPS):
        groups[:, group] = rest & 0x1F
        rest = rest >> 5
        is_open = is_open & (rest != np.where(groups[:, group] & 0x10, -1, 0))  # what is left is not the sign alone
        lasts += is_open
    wanted = np.arange(_GROUPS) <= lasts[:, None]
    more = np.arange(_GROUPS) < lasts[:, None]
    return (groups + 0x20 * more + 48)[wanted].astype(np.uint8).tobytes().decode("ascii")


_GROUPS = 7  # of 5 bits: all of 32
