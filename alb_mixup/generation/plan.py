"""All that decides a mixed set."""

from dataclasses import dataclass, fields
from typing import Any

import cv2

from alb_mixup import _backend
from alb_mixup._support import checks
from alb_mixup._version import __version__
from alb_mixup.datasets import DetectionDataset
from alb_mixup.errors import ArgumentError
from alb_mixup.functional.geometry import FIT_MODES
from alb_mixup.generation.layouts import LAYOUTS, Layout

IMAGE_FORMATS = ("jpg", "png")


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

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, DetectionDataset) or not len(self.dataset):
            raise ArgumentError(
                "dataset must be a CocoDataset, YoloDataset or VocDataset with at least one image, got "
                f"{self.dataset!r}: open_dataset(path) opens any of them"
            )
        checks.choice("output_format", self.output_format, tuple(LAYOUTS))
        checks.choice("image_format", self.image_format, IMAGE_FORMATS)
        checks.choice("fit_mode", self.fit_mode, FIT_MODES)
        checks.beta_parameters(self.alpha)
        for name, low, high in (("multiplier", 1, 10**6), ("seed", 0, 2**63), ("quality", 0, 100)):
            value = checks.whole_number(name, getattr(self, name))
            if not low <= value <= high:
                raise ArgumentError(f"{name} must be {low} to {high}, got {value}")
        self.layout()

    def __len__(self) -> int:
        return self.multiplier * len(self.dataset)

    def layout(self) -> Layout:
        """How the set is laid out."""
        return LAYOUTS[self.output_format](self.dataset.classes, weights=not self.drop_weights)

    def describe(self) -> dict[str, Any]:
        """All of it in JSON types: equal for plans that make the same files, byte by byte."""
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "dataset"}
        versions = {"alb_mixup": __version__, "backend": _backend.VERSION, "opencv": cv2.__version__}
        described = {"dataset": self.dataset.fingerprint(), **settings, **versions}
        return described | {"alpha": list(checks.beta_parameters(self.alpha))}
