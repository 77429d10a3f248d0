"""Annotations of a whole dataset in a handful of flat arrays.

A Python object per box would cost memory, and would cost it again in every forked worker: reading an object writes
its reference count, and the page it lies on is copied. Nothing here is a Python object per image or per box.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.shared import SharedArrays

LARGEST_SIDE = 2**31 - 1
"""The longest side of an image, in pixels, that `PackedAnnotations.sizes` holds."""


@dataclass(frozen=True, eq=False)
class PackedStrings(SharedArrays):
    """File names in one byte array: name `i` is `data[offsets[i]:offsets[i + 1]]`.

    Attributes:
        data: (total bytes,) uint8: the names in the file system's encoding, so that any name survives.
        offsets: (n + 1,) int64.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def pack(cls, names: Iterable[str]) -> "PackedStrings":
        """Pack `names` in their order."""
        encoded = [os.fsencode(name) for name in names]
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets_of([len(name) for name in encoded]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> str:
        return os.fsdecode(self.data[self.offsets[index] : self.offsets[index + 1]].tobytes())


@dataclass(frozen=True, eq=False)
class PackedAnnotations(SharedArrays):
    """The annotations of n images and their m boxes, boxes of one image side by side and in the order of its file.

    Attributes:
        files: Paths of n images, POSIX, relative to the dataset's root.
        sizes: (n, 2) int32: height and width of each image in pixels; 0 and 0 where the annotation does not say.
        offsets: (n + 1,) int64: the boxes of image `i` are rows `offsets[i]:offsets[i + 1]`.
        boxes: (m, 4) float32: in the dataset's `bbox_format`.
        class_ids: (m,) int32: positions in the dataset's `classes`.
        weights: (m,) float32.
    """

    files: PackedStrings
    sizes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    weights: NDArray[np.float32]

    def rows(self, image: int) -> slice:
        """The rows that hold the boxes of image number `image`."""
        return slice(int(self.offsets[image]), int(self.offsets[image + 1]))


def offsets_of(lengths: Iterable[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Where runs of these lengths, laid end to end, begin and end: int64 (n + 1,)."""
    runs = np.asarray(lengths if isinstance(lengths, np.ndarray) else list(lengths), dtype=np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(runs)])
