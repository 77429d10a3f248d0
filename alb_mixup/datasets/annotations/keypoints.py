"""Keypoints of a dataset in flat arrays."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.packed import offsets_of
from alb_mixup.datasets.annotations.shapes import floats
from alb_mixup.datasets.annotations.shared import SharedArrays

_VISIBILITIES = (0, 1, 2)


@dataclass(frozen=True, eq=False)
class PackedKeypoints(SharedArrays):
    """The keypoints of m objects.

    Attributes:
        points: (p, 3) float32: x, y and visibility (0 not labelled, 1 hidden, 2 visible) of each.
        offsets: (m + 1,) int64: where those of each object begin and end.
    """

    points: NDArray[np.float32]
    offsets: NDArray[np.int64]

    @classmethod
    def pack(cls, objects: Sequence[NDArray[np.float32]]) -> "PackedKeypoints":
        """Pack the keypoints of `objects`, each (k, 3), in their order."""
        return cls(
            np.concatenate([np.zeros((0, 3), np.float32), *objects]), offsets_of([len(points) for points in objects])
        )

    def names(self, class_ids: NDArray[np.int32], named: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
        """The names of each class's keypoints.

        Args:
            class_ids: (m,): the classes of the objects.
            named: The names that the file has for each class; one beyond them, or of a name before it, is called by
                its number.
        """
        most = np.zeros(len(named), np.int64)
        np.maximum.at(most, class_ids, np.diff(self.offsets))
        return tuple(
            tuple(
                own[number] if number < len(own) and own[number] not in own[:number] else str(number)
                for number in range(max(len(own), count))
            )
            for own, count in zip(named, most.tolist(), strict=True)
        )

    def targets(self, rows: slice, names: Sequence[Sequence[str]]) -> dict[str, Any]:
        """The labelled keypoints of some objects, as targets and label fields.

        Args:
            rows: N objects.
            names: The keypoints' names of each object.

        Returns:
            `keypoints` float32 (P, 2), `keypoint_labels` list of P, `keypoint_visibility` float32 (P,),
            `keypoint_boxes` float32 (P,), positions 0 to n - 1.
        """
        counts = np.diff(self.offsets[rows.start : rows.stop + 1])
        points = self.points[self.offsets[rows.start] : self.offsets[rows.stop]]
        labelled = points[:, 2] > 0
        labels = [label for own, count in zip(names, counts, strict=True) for label in own[:count]]
        return {
            "keypoints": points[labelled, :2],
            "keypoint_labels": [label for label, is_labelled in zip(labels, labelled, strict=True) if is_labelled],
            "keypoint_visibility": points[labelled, 2],
            "keypoint_boxes": np.repeat(np.arange(len(counts), dtype=np.float32), counts)[labelled],
        }


NO_KEYPOINTS = np.zeros((0, 3), np.float32)


def keypoints_from_coco(numbers: Any, _size: tuple[int, int]) -> NDArray[np.float32]:
    """Read a COCO annotation's `keypoints`: x, y, visibility, x, y, ...; None stands for none.

    Raises:
        ValueError: It is something else; the message is the reason.
    """
    try:
        points = floats(numbers or ()).astype(np.float32).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"unreadable keypoints: {error}") from error
    if not np.isfinite(points).all() or not np.isin(points[:, 2], _VISIBILITIES).all():
        raise ValueError("keypoints must be finite, and each visibility 0, 1 or 2")
    return points


def skeleton_from_coco(pairs: Any) -> tuple[tuple[int, int], ...]:
    """Read a COCO category's `skeleton`: pairs of keypoints, numbered from 1; none where it is something else."""
    try:
        return tuple((operator.index(one), operator.index(other)) for one, other in pairs or ())
    except (TypeError, ValueError):  # of use to those who draw, and to nobody else
        return ()
