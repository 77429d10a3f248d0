"""All that decides a mixed set."""

import inspect
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import cv2
import numpy as np

from alb_mixup import _backend
from alb_mixup._support import checks
from alb_mixup._version import __version__
from alb_mixup.datasets import DetectionDataset
from alb_mixup.datasets.partner_weights import Law, as_law, weights_to_draw_by
from alb_mixup.errors import ArgumentError
from alb_mixup.functional import Array
from alb_mixup.functional.geometry import FIT_MODES
from alb_mixup.generation.layouts import LAYOUTS, Layout

CHOICES = {"output_format": tuple(LAYOUTS), "image_format": ("jpg", "png"), "fit_mode": FIT_MODES}
VERSIONS = {"alb_mixup": __version__, "backend": _backend.VERSION, "opencv": cv2.__version__}
FAINT = 0.1  # share of the pixels below which an object can hardly be seen
ON_UNREADABLE = ("stop", "skip")
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Plan:
    """All that decides a mixed set: output `number` depends on this and nothing else, whoever makes it, and when.

    Its primary is image `number % len(dataset)`; its partner, another image, and λ come from a stream of its own,
    seeded with (seed, image, number // len(dataset)).

    Attributes:
        dataset: What is mixed, with itself.
        output_format: "coco" (weights as key `mixup_weight` of each annotation), "yolo" (as the 6th column) or "voc"
            (as `<mixup_weight>` in each object).
        multiplier: How many mixes of each image.
        seed: Another seed, other partners and λ.
        alpha: As for `MixUp`.
        fit_mode: As for `MixUp`.
        image_format: "jpg" or "png".
        quality: Of JPEG, 0 to 100.
        drop_weights: Write no weights, for readers that accept none: Ultralytics refuses a 6th column. VOC corners
            are whole pixels then. What reads no weights takes a faint object for a whole one: keep λ near one half with
            `ratio_range`, or drop such boxes with `min_weight`.
        ratio_range: As for `MixUp`.
        min_weight: As for `MixUp`: boxes of a smaller weight are not written.
        val: Of "yolo": a folder of validation images, or a file that lists them, which the data.yaml names.
        partner_weights: As for `MixUp`.
        on_unreadable: "stop" raises where an image cannot be read. "skip" mixes the others alone: an
            `UnreadableImageWarning` says how many mixes are left out, `skipped.csv` which.

    Raises:
        ArgumentError: An attribute breaks its constraint.
    """

    dataset: DetectionDataset
    output_format: str = "coco"
    multiplier: int = 1
    seed: int = 0
    alpha: float | tuple[float, float] = 1.5
    fit_mode: str = "contain"
    image_format: str = "jpg"
    quality: int = 95
    drop_weights: bool = False
    ratio_range: tuple[float, float] | None = None
    min_weight: float = 0.0
    val: str | os.PathLike[str] | None = None
    partner_weights: Law | Sequence[float] | Array | None = None
    on_unreadable: str = "stop"

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, DetectionDataset) or not len(self.dataset):
            raise ArgumentError(
                "dataset must be a CocoDataset, YoloDataset or VocDataset with at least one image, got "
                f"{self.dataset!r}: open_dataset(path) opens any of them"
            )
        for name, allowed in CHOICES.items():
            checks.choice(name, getattr(self, name), allowed)
        checks.choice("on_unreadable", self.on_unreadable, ON_UNREADABLE)
        checks.beta_parameters(self.alpha)
        checks.ratio_range(self.ratio_range)
        checks.number("min_weight", self.min_weight, "a number in [0, 1]", low=0.0, high=1.0)
        if self.val is not None and self.output_format != "yolo":
            raise ArgumentError(
                f"val must come with output_format='yolo', got {self.val!r} with {self.output_format!r}: only a "
                "data.yaml names validation images"
            )
        if self.val is not None and not os.path.exists(self.val):
            raise ArgumentError(
                f"val must be a folder of images, or a file that lists them, got {self.val!r}: there is none; give "
                "the path of validation images that are not mixed"
            )
        for name, low, high in (("multiplier", 1, 10**6), ("seed", 0, 2**63), ("quality", 0, 100)):
            value = checks.whole_number(name, getattr(self, name))
            if not low <= value <= high:
                raise ArgumentError(f"{name} must be {low} to {high}, got {value}: give a number in that range")
        if self.val is not None:
            object.__setattr__(self, "val", os.path.abspath(self.val))
        law = as_law(self.partner_weights)
        object.__setattr__(self, "partner_weights", law)
        if law is not None and np.count_nonzero(weights_to_draw_by(law, self.dataset)) < min(2, len(self.dataset)):
            raise ArgumentError(
                f"partner_weights must leave each image another to be mixed with, got one that is not 0 of {law!r}: "
                "give more images a weight"
            )
        self.layout()

    def __len__(self) -> int:
        return self.multiplier * len(self.dataset)

    def faint_share(self) -> float:
        """The share of mixes in which one of the two images can hardly be seen, and its boxes stay nevertheless."""
        if self.min_weight >= FAINT:
            return 0.0
        bounds = checks.ratio_range(self.ratio_range)
        if bounds is not None:
            low, high = bounds
            faint = max(0.0, min(high, FAINT) - low) + max(0.0, high - max(low, 1 - FAINT))
            return faint / (high - low) if high > low else float(not FAINT <= low <= 1 - FAINT)
        ratios = np.random.default_rng(0).beta(*checks.beta_parameters(self.alpha), size=100_000)
        return float(np.mean((ratios < FAINT) | (ratios > 1 - FAINT)))

    def layout(self) -> Layout:
        """How the set is laid out."""
        return LAYOUTS[self.output_format](
            self.dataset.classes, weights=not self.drop_weights, val=None if self.val is None else str(self.val)
        )

    def describe(self) -> dict[str, Any]:
        """All that decides files, in JSON types: equal for plans that make the same, byte by byte.

        Not `on_unreadable`: what one run stops at, the next may skip; records say what was skipped.
        """
        apart = {"dataset", "on_unreadable"}
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in apart}
        described = {"dataset": self.dataset.fingerprint(), **settings, **VERSIONS}
        law = as_law(self.partner_weights)
        bounds = checks.ratio_range(self.ratio_range)
        return described | {
            "alpha": list(checks.beta_parameters(self.alpha)),
            "ratio_range": None if bounds is None else list(bounds),
            "partner_weights": None if law is None else law.to_spec(),
        }

    def text(self) -> bytes:
        """What `describe` returns, as the destination holds it."""
        return json.dumps(self.describe(), indent=2).encode()


def read_plan(text: bytes) -> dict[str, Any] | None:
    """Return what a plan's text describes; None where it is not one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def with_settings(function: _Function) -> _Function:
    """Give a function with `**settings` the plan's as its signature and documentation: they are written here alone."""
    own = inspect.signature(function)
    parameters = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    settings = inspect.signature(Plan).parameters.values()
    parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in settings if one.name != "dataset"]
    function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    if function.__doc__ and Plan.__doc__:
        described = Plan.__doc__.partition("Attributes:\n")[2].partition("\n\n")[0].partition("output_format:")
        before, _, after = function.__doc__.partition("        settings:")
        function.__doc__ = f"{before}        {described[1]}{described[2]}\n{after.partition(chr(10))[2]}"
    return function
