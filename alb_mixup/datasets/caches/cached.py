"""Decoded samples, kept in memory."""

import operator
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np

from alb_mixup.datasets.caches.frozen import frozen, size_in_bytes
from alb_mixup.datasets.protocols import can_fit, classes_of, format_of, is_sequence, like, spec_of
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.fit import Fit

_Key = tuple[int, Fit | None]
_Kept = tuple[dict[str, Any], tuple[int, int]]
_PIXELS = (np.uint8, np.float32)  # what MixUp blends; it refuses anything else in words of its own


class CachedDataset(Sequence[dict[str, Any]]):
    """A dataset whose samples are kept in memory, decoded, until there is no more room; the least recently used go.

    `MixUp(CachedDataset(dataset, max_bytes=4 * 1024**3))`: partners are kept at the size in which they are placed, so
    one that is drawn again is neither read, decoded nor resized. Each size of primary has samples of its own: where
    primaries come in many sizes, `MixUp(..., size_hint=False)` keeps whole images instead, as `cached[i]` does.

    - **Arrays are read-only**, `image`, `bboxes` and all others: what is kept is given out without a copy. Lists are
      the caller's own. As primaries they go through `A.Compose` like any. Code that writes in place needs
      `image.copy()`; so does `torch.from_numpy` (`ToTensorV2` of albumentations 2.0.8) where no transform has changed
      the image: it warns, and a write to its tensor would go through to what is kept.
    - **Each process has its own**, with `max_bytes` to itself: forked workers begin with what their parent had,
      spawned ones with nothing, and what a worker reads the others do not see. See `DiskCache` for one that all share.
    - Draws from the whole set hit in proportion: with room for a third of it, a third of them.

    Args:
        dataset: A dataset of this package, or any sequence of dicts whose `image` is an array.
        max_bytes: How much to keep, in bytes. A sample larger than this is given out, not kept.

    Attributes:
        dataset: What is cached.
        max_bytes: As given.
        bbox_format: That of `dataset`; None where it has none.
        classes: Those of `dataset`; None where it has none.
        hits: How many samples were given out from memory, by this process and those that it was forked from.
        misses: How many had to be read.
        kept_bytes: How much is kept.

    Raises:
        ArgumentError: An argument breaks its constraint.
        SampleError: On access, a sample is not a dict with an array as `image`.

    Examples:
        >>> from alb_mixup import CachedDataset, MixUp, sample_dataset
        >>> cached = CachedDataset(sample_dataset(), max_bytes=100_000_000)
        >>> mixup = MixUp(cached, p=0.5)
    """

    is_cache = True  # of `dataset`, whose samples have the same positions

    def __init__(self, dataset: Sequence[Mapping[str, Any]], max_bytes: int) -> None:
        if not is_sequence(dataset):
            raise ArgumentError(
                f"dataset must be a sequence of samples (with __len__ and __getitem__), got {type(dataset).__name__}: "
                "give a dataset of this package, or a list of samples"
            )
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
            raise ArgumentError(
                f"max_bytes must be a whole number of bytes, at least 1, got {max_bytes!r}: e.g. 4 * 1024**3 for 4 GiB"
            )
        self.dataset = dataset
        self.max_bytes = max_bytes
        self.bbox_format: str | None = format_of(dataset)
        self.classes: Sequence[str] | None = classes_of(dataset)
        self._begin()

    def _begin(self) -> None:
        self.hits = self.misses = self.kept_bytes = 0
        self._kept: OrderedDict[_Key, tuple[_Kept, int]] = OrderedDict()
        self._lock, self._process = Lock(), os.getpid()

    def __len__(self) -> int:
        return len(self.dataset)

    # Sequence asks for slices too; a slice of samples would decode every image at once.
    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        return self._get((operator.index(index), None))[0]

    def fitted(self, index: int, fit: Fit) -> tuple[dict[str, Any], tuple[int, int]]:
        """`cached[index]` with its image resized as it is going to be placed: what `MixUp` asks for.

        Args:
            index: The sample's position.
            fit: The canvas that the image is going to be placed on, and how.

        Returns:
            The sample, whose annotations are those of the whole image, and height and width of the whole image.
        """
        return self._get((operator.index(index), fit))

    def annotated(self) -> "CachedDataset":
        """The part of the dataset whose images have boxes, with a cache of its own.

        Raises:
            AttributeError: `dataset` has no such part.
        """
        return CachedDataset(self.dataset.annotated(), self.max_bytes)  # type: ignore[attr-defined]

    def to_spec(self) -> dict[str, Any] | None:
        """A description in plain JSON types, from which `from_spec` builds the same; None where `dataset` has none."""
        spec = spec_of(self.dataset)
        return None if spec is None else {"dataset": "CachedDataset", "of": spec, "max_bytes": self.max_bytes}

    def __repr__(self) -> str:
        return (
            f"CachedDataset({type(self.dataset).__name__} of {len(self)} images, max_bytes={self.max_bytes}, "
            f"kept_bytes={self.kept_bytes}, hits={self.hits}, misses={self.misses})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "max_bytes": self.max_bytes}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        CachedDataset.__init__(self, **state)

    def _get(self, key: _Key) -> _Kept:
        if self._process != os.getpid():  # forked, perhaps while a thread of the parent's had the lock
            self._lock, self._process = Lock(), os.getpid()
        with self._lock:
            entry = self._kept.get(key)
            if entry is not None:
                self._kept.move_to_end(key)
                self.hits += 1
        if entry is None:
            entry = self._keep(key, self._read(*key))
        (sample, whole), _ = entry
        return frozen(sample), whole

    def _read(self, index: int, fit: Fit | None) -> _Kept:
        if fit is not None and can_fit(self.dataset):
            sample, whole = self.dataset.fitted(index, fit)
        else:
            sample, whole = self.dataset[index], None
        image = sample.get("image") if isinstance(sample, Mapping) else None
        if not isinstance(image, np.ndarray) or image.ndim not in {2, 3} or image.size == 0:
            raise SampleError(
                f"dataset[{index}] must be a dict whose 'image' is a non-empty array (H, W) or (H, W, C), got "
                f"{type(sample).__name__ if image is None else type(image).__name__}: read the image in its __getitem__"
            )
        whole = whole or (image.shape[0], image.shape[1])
        if fit is not None and image.dtype in _PIXELS:
            image = fit.resize(image, whole)
        return frozen(like(sample, {**sample, "image": image})), whole

    def _keep(self, key: _Key, kept: _Kept) -> tuple[_Kept, int]:
        entry = kept, size_in_bytes(kept[0])
        with self._lock:
            self.misses += 1
            if entry[1] <= self.max_bytes and key not in self._kept:  # another thread may have been faster
                self._kept[key] = entry
                self.kept_bytes += entry[1]
            while self.kept_bytes > self.max_bytes:
                self.kept_bytes -= self._kept.popitem(last=False)[1][1]
        return entry
