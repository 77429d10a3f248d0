"""Which classes the images of a dataset hold, in flat arrays."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alb_mixup.datasets.annotations.packed import offsets_of


@dataclass(frozen=True, eq=False)
class ImageClasses:
    """The classes of the boxes of n images: all that a law of partner weights looks at.

    Attributes:
        names: The classes: text, or whole numbers.
        offsets: (n + 1,) int64: the boxes of image `i` are rows `offsets[i]:offsets[i + 1]`.
        ids: (m,) int: class of each box, a position in `names`.
        complete: Whether these are all boxes of each image. False where others are drawn to them, as in a mosaic.

    Examples:
        >>> from alb_mixup.datasets.protocols import ImageClasses
        >>> held = ImageClasses.of_labels([["cat", "dog", "cat"], [], ["cat"]])
        >>> held.names, held.shares().round(2).tolist()
        (('cat', 'dog'), [0.67, 0.33])
    """

    names: Sequence[Hashable]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    complete: bool = True

    @classmethod
    def of_labels(cls, labels: Iterable[Iterable[Hashable]]) -> "ImageClasses":
        """Pack the labels of each image; classes are numbered as they come.

        Args:
            labels: For each image, the class of each of its boxes.

        Raises:
            TypeError: One is not a class: a list, say.
        """
        numbers: dict[Hashable, int] = {}
        rows = [[numbers.setdefault(label, len(numbers)) for label in own] for own in labels]
        ids = [number for row in rows for number in row]
        return cls(tuple(numbers), offsets_of([len(row) for row in rows]), np.array(ids, np.int32))

    @classmethod
    def joined(cls, parts: Sequence["ImageClasses"]) -> "ImageClasses":
        """Lay datasets end to end; classes of one name are one."""
        numbers: dict[Hashable, int] = {}
        ids = []
        for part in parts:
            renumbered = [numbers.setdefault(name, len(numbers)) for name in part.names]
            ids.append(np.array(renumbered, np.int32)[part.ids])
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        return cls(tuple(numbers), offsets_of(lengths), np.concatenate(ids), all(part.complete for part in parts))

    def at(self, images: ArrayLike) -> "ImageClasses":
        """Choose images by their positions, of which one may come more than once."""
        chosen = np.asarray(images, np.int64)
        lengths = np.diff(self.offsets)[chosen]
        offsets = offsets_of(lengths)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][chosen] - offsets[:-1], lengths)
        return ImageClasses(self.names, offsets, self.ids[rows], self.complete)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def has_boxes(self) -> NDArray[np.bool_]:
        """(n,) Whether each image has a box."""
        return np.diff(self.offsets) > 0

    def shares(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the share of images that hold each class: (len(names),) float64, in [0, 1].

        Args:
            weights: (n,) How often each image is drawn, in any unit; None: all alike. Shares are of draws then.
        """
        weights = np.ones(len(self)) if weights is None else weights
        count = len(self.names)
        # Class by class, images in their order, in which a class comes twice side by side. Small integers are sorted
        # by their digits: of ten million boxes that takes a tenth of what `np.unique` of pairs would.
        order = np.argsort(self.ids.astype(np.min_scalar_type(count)), kind="stable")
        ids, images = self.ids[order], np.repeat(np.arange(len(self)), np.diff(self.offsets))[order]
        first = np.append(True, (np.diff(ids) != 0) | (np.diff(images) != 0))[: len(ids)]
        return np.asarray(np.bincount(ids[first], weights[images[first]], minlength=count) / weights.sum())

    def largest(self, values: NDArray[np.float64], otherwise: float) -> NDArray[np.float64]:
        """Return the largest value among the classes of each image: (n,) float64.

        Args:
            values: (len(names),) Value of each class.
            otherwise: Value of an image without boxes.
        """
        found = np.full(len(self), float(otherwise))
        if len(self.ids):
            found[self.has_boxes] = np.maximum.reduceat(values[self.ids], self.offsets[:-1][self.has_boxes])
        return found
