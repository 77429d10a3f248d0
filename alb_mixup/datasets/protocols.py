"""What a reference may offer beside its samples: the one place that asks for it.

Any sequence of dicts serves as a dataset and as MixUp's reference. The protocols below are offers: whoever implements
one gets more from this package. No class has to derive from them.
"""

import sys
from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeGuard
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.image_classes import ImageClasses
from alb_mixup.errors import ArgumentError
from alb_mixup.functional import scalar
from alb_mixup.functional.fit import Fit


class Sample(dict[str, Any]):
    """A sample that remembers the format of its boxes, wherever it goes.

    A dict like any other: `pipeline(**sample)` takes it. What reads samples one by one (`MixUp` with a list of them,
    `plot`) need not be told the format.

    Args:
        values: The sample's targets and label fields.
        bbox_format: Format of its `bboxes`, as `A.BboxParams` names it; None: unknown.

    Attributes:
        bbox_format: As given.
    """

    def __init__(self, values: Mapping[str, Any], bbox_format: str | None) -> None:
        super().__init__(values)
        self.bbox_format = bbox_format

    def __reduce__(self) -> tuple[type["Sample"], tuple[dict[str, Any], str | None]]:
        return Sample, (dict(self), self.bbox_format)


def like(sample: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as a sample whose boxes are in the format of another's."""
    return Sample(values, sample.bbox_format) if isinstance(sample, Sample) else dict(values)


class Samples(Protocol):
    """A sequence of samples, as it is enough for a reference: `len(samples)` and `samples[index]`.

    A sample is a dict shaped like the pipeline's own input: `image` (H, W[, C]), `bboxes` (N, 4+) where the pipeline
    has boxes, its label fields with one value for each box, and every other target of the pipeline.

    It may also have an attribute `bbox_format`, the format of its boxes as `A.BboxParams` names it, and an attribute
    `classes`, its class names.
    """

    def __len__(self) -> int:
        """Count the samples."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Return a sample."""
        ...


class Fitted(Samples, Protocol):
    """Samples that can be read no larger than needed."""

    def fitted(self, index: int, fit: Fit) -> tuple[Mapping[str, Any], tuple[int, int]]:
        """Read one sample for a known use of its image.

        Args:
            index: Position, not negative.
            fit: The canvas that the image is going to be placed on, and how.

        Returns:
            The sample, whose image may have fewer pixels than the whole one, with the annotations of the whole image;
            and (height, width) of the whole image.
        """
        ...


class Seeded(Samples, Protocol):
    """Samples that are drawn anew on each access, such as mosaics."""

    def seeded(self, index: int, seed: int) -> Mapping[str, Any]:
        """Make the sample that follows from a seed, so that a record can be replayed.

        Args:
            index: Position, not negative.
            seed: At least 0.
        """
        ...


class Described(Samples, Protocol):
    """Samples with a description in plain JSON types, for `A.to_dict`."""

    def to_spec(self) -> dict[str, Any] | None:
        """Describe them; None where they cannot be described."""
        ...


class Labelled(Samples, Protocol):
    """Samples whose classes can be told without reading an image, for laws of `partner_weights`."""

    def image_classes(self) -> ImageClasses:
        """Tell the classes of each sample's boxes, in the samples' order."""
        ...


def is_sequence(value: Any) -> TypeGuard[Samples]:
    """Tell whether a value can be asked for its length and its items by position; a str or a dict is not meant."""
    return not isinstance(value, str | bytes | Mapping) and hasattr(value, "__len__") and hasattr(value, "__getitem__")


def can_fit(samples: Any) -> TypeGuard[Fitted]:
    """Tell whether samples, or some of those that they wrap, can be read no larger than needed."""
    return hasattr(samples, "fitted") or any(map(can_fit, _wrapped_by_torch(samples)))


def read(samples: Samples, index: int, fit: Fit | None, seed: int) -> tuple[Any, tuple[int, int] | None]:
    """Read one sample, no larger than needed where the samples know how, also from inside PyTorch's wrappers.

    Args:
        samples: What to read from.
        index: Position in it.
        fit: What is going to be done with the image, for `Fitted` samples; None: read it whole.
        seed: What a sample of `Seeded` samples follows from.

    Returns:
        The sample, and (height, width) of its whole image; None where `sample["image"]` is the whole one.
    """
    while _wrapped_by_torch(samples):
        samples, index = _inside(samples, index)
    if hasattr(samples, "seeded"):
        return samples.seeded(index, seed), None
    if fit is None or not hasattr(samples, "fitted"):
        return samples[index], None
    return samples.fitted(index, fit)  # type: ignore[no-any-return]


def layers(samples: Any) -> list[Any]:
    """Return a dataset and, where it is a cache, what it is a cache of: the same samples at the same positions."""
    found = [samples]
    while getattr(found[-1], "is_cache", False):
        found.append(found[-1].dataset)
    return found


def origins(samples: Any, index: int) -> list[tuple[Any, int]]:
    """Name a sample in every dataset that it is known to be of: in a wrapper, and in what that wraps.

    Args:
        samples: A dataset, a cache of one, or PyTorch's `Subset` or `ConcatDataset`.
        index: The sample's position, not negative.

    Returns:
        Each dataset, and the sample's position in it.
    """
    found = [(layer, index) for layer in layers(samples)]
    while _part(found[-1][0]) is not None or _wrapped_by_torch(found[-1][0]):
        samples, index = _inside(*found[-1])
        found += [(layer, index) for layer in layers(samples)]
    return found


def positions_in(samples: Any, known: Sequence[tuple[Any, int]]) -> list[int]:
    """Tell where a sample lies in a dataset, a part or a cache of one, or PyTorch's `ConcatDataset`.

    Args:
        samples: Where it is looked for.
        known: What `origins` says of it.

    Returns:
        Its positions, rising: several where the dataset holds it more than once, none where that is not known.
    """
    inside = layers(samples)[-1]
    part, parts = _part(inside), _wrapped_by_torch(inside)
    if part is not None:
        found = (_positions_of(inside, part, index) for index in positions_in(part[0], known))
        return sorted(chain.from_iterable(found))
    if parts:
        begins = [0, *inside.cumulative_sizes[:-1]]
        return [begin + index for begin, end in zip(begins, parts, strict=True) for index in positions_in(end, known)]
    return [position for dataset, position in known if dataset is inside]


def _part(samples: Any) -> tuple[Any, Sequence[int]] | None:
    """Return what samples are a part of, and their positions there: `annotated()`'s, PyTorch's `Subset`'s."""
    said: tuple[Any, Sequence[int]] | None = getattr(samples, "part_of", None)
    if said is None and hasattr(samples, "indices") and _wrapped_by_torch(samples):
        return samples.dataset, samples.indices
    return said


class _Order(NamedTuple):
    """The positions of a part, by where they lie in the whole."""

    indices: Sequence[int]
    positions: NDArray[np.intp]
    in_whole: NDArray[np.intp]

    @classmethod
    def of(cls, indices: Sequence[int], whole: Any) -> "_Order":
        in_whole = _from_start(np.asarray(indices, np.intp), whole)
        positions = np.argsort(in_whole, kind="stable")
        return cls(indices, positions, in_whole[positions])

    def find(self, index: int) -> list[int]:
        begin, end = self.in_whole.searchsorted(index), self.in_whole.searchsorted(index, "right")
        return self.positions[begin:end].tolist()  # type: ignore[no-any-return]


_orders: "WeakKeyDictionary[Any, _Order]" = WeakKeyDictionary()


def _positions_of(inside: Any, part: tuple[Any, Sequence[int]], index: int) -> list[int]:
    """Tell at which positions a part has a sample of the whole."""
    whole, indices = part
    order = _orders.get(inside)
    if order is not None and order.indices is indices and len(order.positions) == len(indices):
        found = order.find(index)
        if all(_from_start(int(indices[position]), whole) == index for position in found):  # else: shuffled in place
            return found
    _orders[inside] = order = _Order.of(indices, whole)
    return order.find(index)


def spec_of(samples: Any) -> dict[str, Any] | None:
    """Return the description of samples in plain JSON types; None where there is none."""
    return samples.to_spec() if hasattr(samples, "to_spec") else None


def format_of(samples: Any) -> str | None:
    """Return what samples, or one sample, say of their boxes' format, or those that they wrap; None where none does.

    A wrapper has what it wraps as its attribute `dataset` (as PyTorch's `Subset`) or `datasets` (`ConcatDataset`).

    Raises:
        ArgumentError: They wrap datasets of different formats.
    """
    said = getattr(samples, "bbox_format", None)
    if said is not None:
        return said  # type: ignore[no-any-return]
    formats = {format_of(part) for part in _wrapped(samples)}
    if len(formats) > 1:
        raise ArgumentError(
            f"dataset must have boxes of one format, got {type(samples).__name__} of datasets in "
            f"{', '.join(sorted(map(repr, formats)))}: convert one, or give an attribute bbox_format"
        )
    return formats.pop() if formats else None


def classes_of(samples: Any) -> Sequence[str] | None:
    """Return the class names of samples, or those that they wrap; None where none are named, or different ones."""
    said = getattr(samples, "classes", None)
    if said is not None:
        return said  # type: ignore[no-any-return]
    classes = [classes_of(part) for part in _wrapped(samples)]
    return classes[0] if classes and all(names == classes[0] for names in classes) else None


def image_classes_of(samples: Any) -> ImageClasses:
    """Tell the classes of each sample's boxes without reading an image, also from inside caches and PyTorch's wrappers.

    Args:
        samples: `Labelled` samples, a list of dicts with `labels`, or what caches or wraps such.

    Raises:
        ArgumentError: They cannot tell.
    """
    inner = layers(samples)[-1]
    if hasattr(inner, "image_classes"):
        return inner.image_classes()  # type: ignore[no-any-return]
    if isinstance(inner, list | tuple):
        return ImageClasses.of_labels(_labels_in_memory(inner))
    parts = [image_classes_of(part) for part in _wrapped_by_torch(inner)]
    if not parts:
        raise ArgumentError(
            f"dataset must tell the classes of its images without reading them, got {type(inner).__name__}: give it a "
            "method image_classes (see alb_mixup.datasets.protocols.Labelled), or give partner_weights as numbers"
        )
    return parts[0].at(inner.indices) if hasattr(inner, "indices") else ImageClasses.joined(parts)


def _labels_in_memory(samples: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the labels of samples that are held as dicts.

    Raises:
        ArgumentError: One is not a dict, or has no labels.
    """
    for index, sample in enumerate(samples):
        labels = sample.get("labels") if isinstance(sample, Mapping) else None
        labels = getattr(labels, "tolist", lambda labels=labels: labels)()  # an array's, a tensor's
        labels = [scalar(label) for label in labels] if isinstance(labels, list | tuple) else labels
        if not isinstance(labels, list | tuple) or not all(isinstance(label, Hashable) for label in labels):
            raise ArgumentError(
                f"dataset[{index}] must be a dict with the class of each box under 'labels', got "
                f"{sorted(map(str, sample)) if isinstance(sample, Mapping) else type(sample).__name__}: add them, an "
                "empty list where there are no boxes, or give partner_weights as numbers"
            )
        yield list(labels)


def _wrapped(samples: Any) -> list[Any]:
    """Return the datasets that a dataset wraps."""
    if is_sequence(getattr(samples, "dataset", None)):
        return [samples.dataset]
    parts = getattr(samples, "datasets", None)
    return list(parts) if isinstance(parts, list | tuple) else []


def _wrapped_by_torch(samples: Any) -> list[Any]:
    """Return the datasets that PyTorch's own wrappers wrap, whose positions are known."""
    data = sys.modules.get("torch.utils.data")  # looked up, not imported: no wrappers of PyTorch's without it
    return _wrapped(samples) if data and type(samples) in (data.Subset, data.ConcatDataset) else []


def _inside(samples: Any, index: int) -> tuple[Any, int]:
    """Return the dataset that holds a sample of a part or of PyTorch's wrapper, and the sample's position there."""
    part = _part(samples)
    if part is not None:
        whole, indices = part
        return whole, _from_start(int(indices[index]), whole)
    number = bisect_right(samples.cumulative_sizes, index)
    return samples.datasets[number], index - (samples.cumulative_sizes[number - 1] if number else 0)


def _from_start(positions: Any, whole: Any) -> Any:
    """Return a position, or an array of them, without such as are counted from the end: `Subset(dataset, [-1])`."""
    return positions + len(whole) * (positions < 0)
