"""All that decides a mixed set."""

import inspect
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

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
from alb_mixup.generation.layout import Layout
from alb_mixup.generation.layouts import LAYOUTS, layout_of
from alb_mixup.generation.pipeline import WEIGHT, check_pipeline, described, references_of
from alb_mixup.generation.record import KEYPOINT_FIELDS, Kind
from alb_mixup.transforms.mixup import MixUp
from alb_mixup.transforms.pipeline import detection_pipeline, mixups_of

CHOICES = {"output_format": tuple(LAYOUTS), "image_format": ("jpg", "png"), "fit_mode": FIT_MODES}
VERSIONS = {"alb_mixup": __version__, "backend": _backend.VERSION, "opencv": cv2.__version__}
FAINT = 0.1  # share of the pixels below which an object can hardly be seen
ON_UNREADABLE = ("stop", "skip")
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Plan:
    """All that decides a mixed set: output `number` depends on this and nothing else, whoever makes it, and when.

    Its primary is image `number % len(dataset)`; all that is drawn for it, partners and λ among it, comes from a stream
    of its own, seeded with (seed, image, number // len(dataset)). The originals, if any, follow the mixes.

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
            `UnreadableImageWarning` says how many outputs are left out, `skipped.csv` which.
        pipeline: `A.Compose` in place of the one MixUp: with any transforms, MixUp among them once, several times,
            nested, or not at all. It takes `dataset[i]`: `label_fields` are "labels" and, unless all labels are to be
            hard ones, "mixup_weight"; boxes are converted to the format of its `bbox_params`. It returns a uint8 image
            (H, W, 3): no `A.Normalize`, no `ToTensorV2`. `A.save` must be able to write it. A MixUp without a reference
            draws its partners from `dataset`; references of others are datasets on disk, caches or mosaics of them,
            whose further classes come after those of `dataset`. What is a setting of MixUp is left to it: `alpha`,
            `ratio_range`, `fit_mode`, `min_weight`, `partner_weights`.
        include_originals: Write each image once as it is too, with the weights that it has. A JPEG is copied byte by
            byte where that shows the same pixels; else the image is encoded once, to "png" without any loss.

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
    pipeline: _backend.Compose | None = None
    include_originals: bool = False

    doing: ClassVar[str] = "mixing"

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, DetectionDataset):
            raise ArgumentError(
                f"dataset must be a CocoDataset, YoloDataset or VocDataset, got {self.dataset!r}: open_dataset(path) "
                "opens any of them"
            )
        check_any(self.dataset)
        for name, allowed in CHOICES.items():
            checks.choice(name, getattr(self, name), allowed)
        checks.choice("on_unreadable", self.on_unreadable, ON_UNREADABLE)
        checks.beta_parameters(self.alpha)
        checks.ratio_range(self.ratio_range)
        checks.number("min_weight", self.min_weight, "a number in [0, 1]", low=0.0, high=1.0)
        checks.flag("include_originals", self.include_originals)
        law = as_law(self.partner_weights)
        object.__setattr__(self, "partner_weights", law)
        if law is not None and np.count_nonzero(weights_to_draw_by(law, self.dataset)) < min(2, len(self.dataset)):
            raise ArgumentError(
                f"partner_weights must leave each image another to be mixed with, got one that is not 0 of {law!r}: "
                "give more images a weight"
            )
        if self.pipeline is not None:
            self._check_pipeline()
        for name, low, high in (("multiplier", 1, 10**6), ("seed", 0, 2**63)):
            _check_range(name, getattr(self, name), low, high)
        object.__setattr__(self, "val", check_files(self.output_format, self.quality, self.val))
        self.layout()

    def _check_pipeline(self) -> None:
        check_pipeline(self.pipeline, self.dataset)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _OF_MIXUP and value != field.default:
                raise ArgumentError(
                    f"{field.name} must be left to the pipeline where one is given, got {value!r}: set it in the "
                    "pipeline's MixUp"
                )

    def __len__(self) -> int:
        return (self.multiplier + self.include_originals) * len(self.dataset)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the set: the dataset's, then further ones of the pipeline's references."""
        return tuple(dict.fromkeys(name for images in self._sources() for name in images.classes))

    def kind(self, bbox_format: str) -> Kind:
        """What outputs have, their boxes in a format."""
        keypoint_names = skeletons = None
        if self.dataset.keypoint_names is not None:
            named: dict[str, Any] = {}
            for images in reversed(self._sources()):
                points = zip(images.keypoint_names or (), images.skeletons or (), strict=True)
                named |= dict(zip(images.classes, points, strict=False))
            of_class = [named.get(name, ((), ())) for name in self.classes]
            keypoint_names, skeletons = [names for names, _ in of_class], [pairs for _, pairs in of_class]
        return Kind(bbox_format, self.classes, self.dataset.has_masks, keypoint_names, skeletons)

    def _sources(self) -> list[DetectionDataset]:
        return [self.dataset, *([] if self.pipeline is None else references_of(self.pipeline))]

    def recipe(self) -> _backend.Compose:
        """What each output goes through: the pipeline, or the one MixUp that the settings describe."""
        if self.pipeline is not None:
            return self.pipeline
        mixup = MixUp(self.dataset, **{name: getattr(self, name) for name in _OF_MIXUP}, p=1.0)
        keypoint_fields = None if self.dataset.keypoint_names is None else KEYPOINT_FIELDS
        return detection_pipeline([mixup], self.dataset.bbox_format, keypoint_fields=keypoint_fields)

    @property
    def has_hard_labels(self) -> bool:
        """Whether no weight tells how much is to be seen of an object."""
        if self.pipeline is None:
            return self.drop_weights
        return self.drop_weights or WEIGHT not in self.pipeline.processors["bboxes"].params.label_fields

    def faint_share(self) -> float:
        """The share of mixes in which one of the two images can hardly be seen, and its boxes stay nevertheless.

        Where a pipeline has several MixUps, of the one with the largest.
        """
        return max(map(_faint_share, mixups_of(self.recipe())), default=0.0)

    def layout(self) -> Layout:
        """How the set is laid out."""
        kind, strict = self.kind(self.dataset.bbox_format), self.drop_weights
        return layout_of(kind, self.output_format, self.val, weights=not strict, strict=strict)

    def describe(self) -> dict[str, Any]:
        """All that decides files, in JSON types: equal for plans that make the same, byte by byte.

        Not `on_unreadable`: what one run stops at, the next may skip; records say what was skipped.
        """
        apart = {"dataset", "on_unreadable", "pipeline"}
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in apart}
        law = as_law(self.partner_weights)
        bounds = checks.ratio_range(self.ratio_range)
        settings |= {
            "alpha": list(checks.beta_parameters(self.alpha)),
            "ratio_range": None if bounds is None else list(bounds),
            "partner_weights": None if law is None else law.to_spec(),
        }
        settings["pipeline"] = None if self.pipeline is None else described(self.pipeline)
        return {"dataset": self.dataset.fingerprint(), **settings, **VERSIONS}


# Settings that MixUp has as well: a pipeline has them in its own.
_OF_MIXUP = sorted(Plan.__dataclass_fields__.keys() & inspect.signature(MixUp).parameters.keys())


def _faint_share(mixup: MixUp) -> float:
    if mixup.min_weight >= FAINT:
        return 0.0
    if mixup.ratio_range is not None:
        low, high = mixup.ratio_range
        faint = max(0.0, min(high, FAINT) - low) + max(0.0, high - max(low, 1 - FAINT))
        return faint / (high - low) if high > low else float(not FAINT <= low <= 1 - FAINT)
    ratios = np.random.default_rng(0).beta(*checks.beta_parameters(mixup.alpha), size=100_000)
    return float(np.mean((ratios < FAINT) | (ratios > 1 - FAINT)))


def check_any(dataset: Any) -> None:
    """Refuse a dataset of which nothing can be used.

    Raises:
        ArgumentError: It has no image.
    """
    if not len(dataset):
        raise ArgumentError(
            f"dataset must have an image that can be used, got none in {dataset.root.as_posix()}: correct what is "
            "invalid there"
        )


def check_files(output_format: str, quality: int, val: str | os.PathLike[str] | None) -> str | None:
    """Check what says how a set is written; return `val` as an absolute path.

    Raises:
        ArgumentError: A setting breaks its constraint.
    """
    checks.choice("output_format", output_format, CHOICES["output_format"])
    _check_range("quality", quality, 0, 100)
    if val is None:
        return None
    if output_format != "yolo":
        raise ArgumentError(
            f"val must come with output_format='yolo', got {val!r} with {output_format!r}: only a data.yaml names "
            "validation images"
        )
    if not os.path.exists(val):
        raise ArgumentError(
            f"val must be a folder of images, or a file that lists them, got {val!r}: there is none; give the path of "
            "validation images that are not mixed"
        )
    return os.path.abspath(val)


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= checks.whole_number(name, value) <= high:
        raise ArgumentError(f"{name} must be {low} to {high}, got {value}: give a number in that range")


def text_of(description: dict[str, Any]) -> bytes:
    """Write what a plan says of itself, as the destination holds it."""
    return json.dumps(description, indent=2).encode()


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
