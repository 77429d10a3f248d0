"""The most recent samples."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from alb_mixup.datasets.caches.frozen import frozen
from alb_mixup.errors import ArgumentError


class RecentSamples:
    """A reference that reads nothing: the last primaries that this very `MixUp` was applied to.

    `MixUp(RecentSamples(capacity=20))` draws each partner from the primaries before, as they came to it (after the
    transforms that stand before MixUp, with the labels, weights, keypoints and masks that they had), then keeps this
    one. The first call of all finds none, and leaves its sample as it is. Source: the cached MixUp of RTMDet, arXiv
    2212.07784, whose capacity is the default; unlike there, a sample is never mixed with itself.

    How its draws differ from those of a whole dataset:

    - A partner comes from the last `capacity` primaries of the same process (each DataLoader worker has its own), so
      from a few batches back, not from anywhere: under a shuffling sampler that is a random part of the set, under a
      sequential one it is the neighbours. Without shuffling, hold the dataset instead.
    - A primary is partner `p` times on average rather than by chance of the whole set, each time within a short while,
      and with the same pixels: what random crops and colours before MixUp made of it is not made anew.
    - A mix cannot be replayed: its partner has gone by then.

    It holds `capacity` images a process. An image is copied when it is kept, since the caller may write to the array
    that it gave; a read-only one (from `CachedDataset` or `DiskCache`) is kept without a copy. Pickles are empty.

    Args:
        capacity: How many samples to keep.

    Attributes:
        capacity: As given.

    Raises:
        ArgumentError: `capacity` is not a whole number of at least 1.

    Examples:
        >>> import albumentations as A
        >>> from alb_mixup import MixUp, RecentSamples, sample_dataset
        >>> dataset = sample_dataset()
        >>> params = A.BboxParams(dataset.bbox_format, label_fields=["labels", "mixup_weight"])
        >>> pipeline = A.Compose([MixUp(RecentSamples(capacity=20), p=1.0)], bbox_params=params)
        >>> first, second = pipeline(**dataset[0]), pipeline(**dataset[1])  # there is nothing to mix the first with
        >>> len(second["bboxes"]) == len(dataset[0]["bboxes"]) + len(dataset[1]["bboxes"])
        True
    """

    def __init__(self, capacity: int = 20) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
            raise ArgumentError(
                f"capacity must be a whole number of samples, at least 1, got {capacity!r}: RTMDet takes 20"
            )
        self.capacity = capacity
        self._samples: deque[dict[str, Any]] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._samples[index]

    def add(self, sample: Mapping[str, Any]) -> None:
        """Keep a sample, its arrays read-only, in place of the oldest where there is no room."""
        self._samples.append(frozen(dict(sample)))

    def to_spec(self) -> dict[str, Any]:
        """A description in plain JSON types, from which `from_spec` builds an empty one."""
        return {"dataset": "RecentSamples", "capacity": self.capacity}

    def __repr__(self) -> str:
        return f"RecentSamples(capacity={self.capacity}, kept={len(self)})"

    def __reduce__(self) -> tuple[type["RecentSamples"], tuple[int]]:
        return RecentSamples, (self.capacity,)
