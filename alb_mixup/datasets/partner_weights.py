"""How often each sample of a reference is drawn: laws that follow from the annotations, or numbers that are given."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alb_mixup._support import checks
from alb_mixup.datasets.protocols import Samples, image_classes_of
from alb_mixup.errors import ArgumentError, SerializationError
from alb_mixup.functional import Array

_LARGEST = 1e15  # times the smallest: beyond it, sums of float64 lose the smallest


class _Law:
    """What the laws have in common."""

    def to_spec(self) -> Any:
        """Describe it in plain JSON types."""
        return {"law": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class RepeatFactor(_Law):
    """Partner weights by which rare classes are drawn more often: LVIS's repeat factors, as odds of a draw.

    A class that a share f of the images holds has r = max(1, √(threshold / f)): classes in fewer images than
    `threshold` are drawn more often, by the square root of what they lack. An image's weight is the largest r of its
    classes, 1 where it has no boxes.

    `MixUp(dataset, partner_weights=RepeatFactor(0.01))`. Only annotations are looked at; no image is read.

    Source: LVIS, arXiv 1908.03195, which repeats images of an epoch by r; here r says how likely an image is as a
    partner.

    Args:
        threshold: Share of images, in (0, 1], below which a class counts as rare. LVIS, of 1,203 classes, takes 0.001;
            in a dataset of few classes 0.1 may be rare.

    Raises:
        ArgumentError: `threshold` breaks its constraint.

    Examples:
        >>> from alb_mixup import MixUp, RepeatFactor, sample_dataset
        >>> dataset = sample_dataset()
        >>> mixup = MixUp(dataset, partner_weights=RepeatFactor(threshold=0.9), p=0.5)
        >>> sorted(set(RepeatFactor(threshold=0.9).weights_of(dataset).round(2).tolist()))
        [1.0, 1.12]
    """

    threshold: float = 1e-3

    def __post_init__(self) -> None:
        constraint = "a share of images in (0, 1], e.g. 0.001"
        value = checks.number("threshold", self.threshold, constraint, low=np.nextafter(0.0, 1.0), high=1.0)
        object.__setattr__(self, "threshold", value)

    def weights_of(self, dataset: Samples) -> NDArray[np.float64]:
        """Return the weight of each sample: (n,) float64, at least 1.

        Raises:
            ArgumentError: The dataset cannot tell the classes of its images.
        """
        held = image_classes_of(dataset)
        shares = held.shares()
        shares[shares == 0] = np.inf  # of a class that no image holds
        return held.largest(np.maximum(1.0, np.sqrt(self.threshold / shares)), 1.0)


@dataclass(frozen=True)
class ClassWeights(_Law):
    """Partner weights by class: how often an image is drawn that holds it, against others.

    An image's weight is the largest of its classes'; without boxes, `default`.

    `MixUp(dataset, partner_weights=ClassWeights({"bus": 4.0}))` draws an image with a bus four times as often as one
    without. Only annotations are looked at; no image is read.

    Args:
        weights: Weight of each class that is named; finite, not negative. 0: images that hold nothing else are not
            drawn.
        default: Weight of the other classes, and of images without boxes.

    Raises:
        ArgumentError: An argument breaks its constraint; on use, the dataset has no class of a name that is given.

    Examples:
        >>> from alb_mixup import ClassWeights, MixUp, sample_dataset
        >>> dataset = sample_dataset()
        >>> mixup = MixUp(dataset, partner_weights=ClassWeights({"Platelets": 4.0}), p=0.5)
        >>> sorted(set(ClassWeights({"Platelets": 4.0}).weights_of(dataset).tolist()))
        [1.0, 4.0]
    """

    weights: Mapping[Any, float]
    default: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Mapping) or not self.weights:
            raise ArgumentError(
                f"weights must be a dict from class names to numbers, got {self.weights!r}: e.g. {{'bus': 4.0}}"
            )
        constraint = "a finite number of at least 0"
        read = {name: checks.number(f"weights[{name!r}]", w, constraint, low=0.0) for name, w in self.weights.items()}
        object.__setattr__(self, "weights", read)
        object.__setattr__(self, "default", checks.number("default", self.default, constraint, low=0.0))

    def weights_of(self, dataset: Samples) -> NDArray[np.float64]:
        """Return the weight of each sample: (n,) float64.

        Raises:
            ArgumentError: The dataset cannot tell the classes of its images, or has no class of a name.
        """
        held = image_classes_of(dataset)
        for name in self.weights:
            if name not in held.names:
                near = difflib.get_close_matches(str(name), map(str, held.names), n=1)
                known = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(str, held.names[:10]))}"
                raise ArgumentError(f"partner_weights must name classes of the dataset, got {name!r}: {known}")
        return held.largest(np.array([self.weights.get(name, self.default) for name in held.names]), self.default)


@dataclass(frozen=True)
class Background(_Law):
    """Partner weights by which a given share of draws goes to images without boxes, as against false alarms.

    Images without boxes are drawn alike, and so are those with boxes: `MixUp(dataset,
    partner_weights=Background(share=0.2))` draws every fifth partner from the former. Only annotations are looked at;
    no image is read. What was left out when the dataset was opened (crowds, difficult or invalid objects, images
    without a label file) may show objects all the same: `alb-mixup check` counts it.

    Args:
        share: Share of draws, in [0, 1].

    Raises:
        ArgumentError: `share` breaks its constraint; on use, the dataset has no images without boxes, or none with.

    Examples:
        >>> from alb_mixup import Background
        >>> samples = [{"labels": ["cat"]}, {"labels": ["dog"]}, {"labels": []}]
        >>> Background(share=0.2).weights_of(samples).tolist()
        [0.4, 0.4, 0.2]
    """

    share: float = 0.2

    def __post_init__(self) -> None:
        constraint = "a share of draws in [0, 1], e.g. 0.2"
        object.__setattr__(self, "share", checks.number("share", self.share, constraint, low=0.0, high=1.0))

    def weights_of(self, dataset: Samples) -> NDArray[np.float64]:
        """Return the weight of each sample: (n,) float64, whose sum is 1.

        Raises:
            ArgumentError: The dataset cannot tell the classes of its images, has no images without boxes, or none with.
        """
        held = image_classes_of(dataset)
        if not held.complete:
            raise ArgumentError(
                f"dataset must have images that stay without boxes for Background, got {type(dataset).__name__}, whose "
                "other cells are drawn: give it a dataset that is not of mosaics"
            )
        filled = held.has_boxes
        count = int(filled.sum())
        if count in {0, len(held)}:
            kind = "with" if count == 0 else "without"
            raise ArgumentError(
                f"dataset must have images with boxes and images without for Background, got none {kind} among "
                f"{len(held):,}: draw all alike, or add such images"
            )
        return np.where(filled, (1 - self.share) / count, self.share / (len(held) - count))


class Numbers:
    """Partner weights as they were given.

    Args:
        values: One for each sample.

    Raises:
        ArgumentError: They are not numbers, or not such as can be drawn by.
    """

    def __init__(self, values: Any) -> None:
        try:
            numbers = np.array(values, np.float64)
        except (TypeError, ValueError):
            numbers = np.zeros(())
        if numbers.ndim != 1 or isinstance(values, str | bytes):
            raise ArgumentError(
                "partner_weights must be None, a law or one number for each sample, got "
                f"{str(values)[:60]!r}: e.g. RepeatFactor(0.001), or [1.0, 1.0, 4.0]"
            )
        self._values = numbers

    def weights_of(self, dataset: Samples) -> NDArray[np.float64]:
        """Return the numbers."""
        return self._values

    def to_spec(self) -> list[float]:
        """Return them as a list, the same each time: of a million it takes 30 MB of memory, and 20 MB as JSON."""
        return self._list

    @cached_property
    def _list(self) -> list[float]:
        found: list[float] = self._values.tolist()
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"_values": self._values}

    def __repr__(self) -> str:
        return f"<{len(self._values):,} numbers>"


Law = RepeatFactor | ClassWeights | Background
PartnerWeights = Law | Numbers
_LAWS: dict[str, type[Law]] = {law.__name__: law for law in (RepeatFactor, ClassWeights, Background)}


def as_law(value: PartnerWeights | Sequence[float] | Array | Mapping[str, Any] | None) -> PartnerWeights | None:
    """Return partner weights in their one form: a law, numbers, or what `to_spec` of either returned; None stays.

    Raises:
        ArgumentError: It is something else.
        SerializationError: It is a dict, but not such a description.
    """
    if value is None or isinstance(value, PartnerWeights):
        return value
    return _from_spec(value) if isinstance(value, Mapping) else Numbers(value)


def _from_spec(spec: Mapping[str, Any]) -> Law:
    arguments = dict(spec)
    try:
        law = _LAWS.get(arguments.pop("law", ""))
        if law is None:
            raise TypeError(f"'law' is one of {', '.join(_LAWS)}")
        inspect.signature(law).bind(**arguments)
    except TypeError as error:
        raise SerializationError(
            f"partner_weights must be a law, numbers, or what to_spec returned, got {dict(spec)!r}: {error}"
        ) from error
    return law(**arguments)


def weights_to_draw_by(law: PartnerWeights, samples: Samples) -> NDArray[np.float64]:
    """Return how often each sample is drawn, in any unit, such that draws can follow it.

    Args:
        law: The law.
        samples: What is drawn from.

    Returns:
        (n,) float64: finite, not negative, not all 0.

    Raises:
        ArgumentError: They are not such.
    """
    weights = law.weights_of(samples)
    if len(weights) != len(samples):
        raise ArgumentError(
            f"partner_weights must have one number for each of {len(samples):,} samples, got {len(weights):,}: they "
            "follow the order of the reference"
        )
    if not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
        got = f"{weights[wrong[0]]:g} at {wrong[0]}" if len(wrong) else "nothing but 0"
        raise ArgumentError(
            f"partner_weights must be finite numbers of at least 0, not all of them 0, got {got}: correct {law!r}"
        )
    some = weights[weights > 0]
    if some.max() / _LARGEST > some.min():
        raise ArgumentError(
            f"partner_weights must be at most {_LARGEST:g} times the smallest that is not 0, got {some.min():g} and "
            f"{some.max():g}: so rare a sample is never drawn, give 0"
        )
    return np.asarray(weights / some.max())
