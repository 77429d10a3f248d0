"""All that decides a mixed set."""

import os
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np

from alb_mixup import _backend
from alb_mixup._support import checks
from alb_mixup._version import __version__
from alb_mixup.datasets import DetectionDataset
from alb_mixup.errors import ArgumentError
from alb_mixup.functional.geometry import FIT_MODES
from alb_mixup.generation.layouts import LAYOUTS, Layout

IMAGE_FORMATS = ("jpg", "png")
FAINT = 0.1  # share of the pixels below which an object can hardly be seen
ON_UNREADABLE = ("stop", "skip")


@dataclass(frozen=True)
class Plan:
    """All that decides a mixed set: output `number` depends on this and nothing else, whoever makes it, and when.

    Its primary is image `number % len(dataset)`; its partner and λ come from a stream of its own, seeded with
    (seed, image, number // len(dataset)).

    Attributes:
        dataset: What is mixed, with itself.
        output_format: "coco", "yolo" or "voc".
        multiplier: How many mixes of each image.
        seed: Another seed, other partners.
        alpha: As for `MixUp`.
        fit_mode: As for `MixUp`.
        image_format: "jpg" or "png".
        quality: Of JPEG, 0 to 100.
        drop_weights: Write no weights, as strict readers want it.
        ratio_range: As for `MixUp`.
        min_weight: As for `MixUp`.
        val: Of "yolo": images for validation that the data.yaml names, an absolute path.
        on_unreadable: "stop", or "skip": an image that cannot be read is neither primary nor partner.

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
    val: str | None = None
    on_unreadable: str = "stop"

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, DetectionDataset) or not len(self.dataset):
            raise ArgumentError(
                "dataset must be a CocoDataset, YoloDataset or VocDataset with at least one image, got "
                f"{self.dataset!r}: open_dataset(path) opens any of them"
            )
        checks.choice("output_format", self.output_format, tuple(LAYOUTS))
        checks.choice("image_format", self.image_format, IMAGE_FORMATS)
        checks.choice("fit_mode", self.fit_mode, FIT_MODES)
        checks.choice("on_unreadable", self.on_unreadable, ON_UNREADABLE)
        checks.beta_parameters(self.alpha)
        checks.ratio_range(self.ratio_range)
        checks.number("min_weight", self.min_weight, "a number in [0, 1]", low=0.0, high=1.0)
        if self.val is not None and self.output_format != "yolo":
            raise ArgumentError(
                f"val must come with output_format='yolo', got {self.val!r} with {self.output_format!r}: only a "
                "data.yaml names validation images"
            )
        if self.val is not None and not (os.path.isabs(self.val) and os.path.exists(self.val)):
            raise ArgumentError(
                f"val must be a folder of images, or a file that lists them, got {self.val!r}: there is none; give "
                "the path of validation images that are not mixed"
            )
        for name, low, high in (("multiplier", 1, 10**6), ("seed", 0, 2**63), ("quality", 0, 100)):
            value = checks.whole_number(name, getattr(self, name))
            if not low <= value <= high:
                raise ArgumentError(f"{name} must be {low} to {high}, got {value}")
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
        return LAYOUTS[self.output_format](self.dataset.classes, weights=not self.drop_weights, val=self.val)

    def describe(self) -> dict[str, Any]:
        """All that decides files, in JSON types: equal for plans that make the same, byte by byte.

        Not `on_unreadable`: what one run stops at, the next may skip; records say what was skipped.
        """
        apart = {"dataset", "on_unreadable"}
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in apart}
        versions = {"alb_mixup": __version__, "backend": _backend.VERSION, "opencv": cv2.__version__}
        described = {"dataset": self.dataset.fingerprint(), **settings, **versions}
        bounds = checks.ratio_range(self.ratio_range)
        return described | {
            "alpha": list(checks.beta_parameters(self.alpha)),
            "ratio_range": None if bounds is None else list(bounds),
        }
