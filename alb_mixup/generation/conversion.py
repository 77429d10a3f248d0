"""Sets on disk without mixing: one output an image, its file as it is where that is possible."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from alb_mixup._support import checks
from alb_mixup.datasets import DetectionDataset
from alb_mixup.datasets.annotations.validate import ROUNDING_PX, clip_boxes
from alb_mixup.datasets.base import checked_classes
from alb_mixup.datasets.images.decode import IMAGE_SUFFIXES, read_upright
from alb_mixup.datasets.images.encode import encode_image
from alb_mixup.datasets.protocols import Samples, classes_of, format_of, is_sequence
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.generation.layout import Layout
from alb_mixup.generation.layouts import layout_of
from alb_mixup.generation.mixer import Output, check_of_source
from alb_mixup.generation.plan import VERSIONS, check_any, check_files
from alb_mixup.generation.record import annotations_of, weights_of, written_image

_DIGITS = 6
_AWKWARD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\"*:<>?|\\]|^\s|\s$|^\.")  # for some layout or file system
_JPEG = (".jpg", ".jpeg")
_PARTS = ("image", "bboxes", "labels")


class HeldSamples(Sequence[dict[str, Any]]):
    """Samples that are not read from a dataset's files, with what a dataset says of its own.

    Args:
        samples: Dicts with `image`, uint8 (H, W, 3) RGB, `bboxes`, `labels`, and what the first one has of
            `mixup_weight`, `masks`, and `keypoints` with their label fields.
        classes: Class names; None: those that the samples' attribute `classes` names.
        bbox_format: Format of the boxes; None: as the samples say.

    Raises:
        ArgumentError: They are not such samples, or their classes or format are not known.
    """

    root = Path()
    is_weighted = True  # for all that is known before they are read
    skeletons: Sequence[Sequence[tuple[int, int]]] | None = None

    def __init__(self, samples: Samples, classes: Sequence[str] | None, bbox_format: str | None) -> None:
        if not is_sequence(samples) or not len(samples):
            raise ArgumentError(
                f"dataset must be a dataset or a sequence of samples with at least one image, got {samples!r:.100}: "
                "open_dataset(path) opens one"
            )
        self._samples, first = samples, samples[0]
        self._missing_parts(first, 0, _PARTS)
        names = checked_classes(classes or classes_of(samples))
        if names is None:
            raise ArgumentError("classes must be given for samples that name none, got None: give their class names")
        self.classes = names
        self.bbox_format = self._format(bbox_format or format_of(samples) or format_of(first))
        self.has_masks = "masks" in first
        self.keypoint_names: Sequence[Sequence[str]] | None = None
        if "keypoints" in first:
            self.keypoint_names = getattr(samples, "keypoint_names", None)
            self.skeletons = getattr(samples, "skeletons", None)
            if self.keypoint_names is None or len(self.keypoint_names) != len(names):
                raise ArgumentError(
                    "dataset must have an attribute keypoint_names, the names of each class's keypoints, where its "
                    f"samples have keypoints, got {self.keypoint_names!r} for {len(names)} classes: add it, or leave "
                    "keypoints out of the samples"
                )
        self._parts = [*_PARTS, *(["masks"] if self.has_masks else [])]
        if self.keypoint_names is not None:
            self._parts += ["keypoints", "keypoint_labels", "keypoint_boxes"]

    def _format(self, found: str | None) -> str:
        if found is None:
            raise ArgumentError(
                "bbox_format must be given for samples that do not say theirs, got None: give it, such as 'pascal_voc'"
            )
        return str(checks.choice("bbox_format", found, ("pascal_voc", "coco", "yolo", "albumentations")))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        sample = self._samples[index]
        self._missing_parts(sample, index, self._parts)
        image, labels = sample["image"], sample["labels"]
        if not checks.is_pixels(image) or image.dtype != np.uint8 or image.shape[2:] != (3,):
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise SampleError(f"image of dataset[{index}] must be uint8 (H, W, 3), RGB, got {got}: convert it")
        hw = image.shape[:2]
        xyxy = to_xyxy(sample["bboxes"], self.bbox_format, hw)
        weights = weights_of(sample)
        counts = [len(xyxy), len(labels), len(weights), *([len(sample["masks"])] if self.has_masks else [])]
        if len(set(counts)) > 1:
            raise SampleError(
                f"bboxes of dataset[{index}] must have a label, a weight and a mask each, where there are such, got "
                f"{counts} of them: correct the sample"
            )
        clipped, reach = clip_boxes(xyxy, np.tile(np.int32(hw), (len(xyxy), 1)))
        sound = np.isfinite(xyxy).all(axis=1) & (reach <= ROUNDING_PX) & (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
        sound &= np.isfinite(weights) & (weights >= 0)
        if not sound.all():
            raise SampleError(
                f"bboxes of dataset[{index}] must be finite, with an area inside the image, and their weights finite "
                f"and not negative, got {np.column_stack([xyxy, weights])[~sound][:3].tolist()} as corners in pixels "
                "and weight: correct the sample"
            )
        # Rounding may reach over the border, which readers of shares of the sides refuse.
        return {**sample, "bboxes": from_xyxy(clipped, self.bbox_format, hw)}

    def fingerprint(self) -> None:
        """None: what they hold is not known before they are read."""

    @staticmethod
    def _missing_parts(sample: Any, index: int, parts: Sequence[str]) -> None:
        missing = [key for key in parts if not isinstance(sample, dict) or key not in sample]
        if missing:
            raise SampleError(f"dataset[{index}] must be a dict with {', '.join(missing)}, got {type(sample).__name__}")


@dataclass(frozen=True)
class Conversion:
    """All that decides a set that is written as it is: what `Plan` is to a mixed one.

    Attributes:
        dataset: What is written.
        output_format: As for `Plan`.
        image_format: None: files are copied as they are where that is possible. Else "jpg" or "png", encoded anew.
        quality: Of JPEG, 0 to 100, where an image is encoded.
        drop_weights: As for `Plan`.
        val: As for `Plan`.

    Raises:
        ArgumentError: An attribute breaks its constraint.
    """

    dataset: DetectionDataset | HeldSamples
    output_format: str
    image_format: str | None
    quality: int
    drop_weights: bool
    val: str | os.PathLike[str] | None

    doing: ClassVar[str] = "writing"
    pipeline: ClassVar[None] = None

    def __post_init__(self) -> None:
        check_any(self.dataset)
        object.__setattr__(self, "val", check_files(self.output_format, self.quality, self.val))
        if self.image_format is not None:
            checks.choice("image_format", self.image_format, ("jpg", "png"))
        self.layout()

    def __len__(self) -> int:
        return len(self.dataset)

    def layout(self) -> Layout:
        """How the set is laid out."""
        weights = self.dataset.is_weighted and not self.drop_weights
        return layout_of(self.dataset, self.output_format, self.val, weights=weights, strict=self.drop_weights)

    def describe(self) -> dict[str, Any]:
        """All that decides files, in JSON types: equal for plans that make the same, byte by byte."""
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "dataset"}
        return {"dataset": self.dataset.fingerprint(), "mixed": False, **settings, **VERSIONS}


class Converter:
    """Makes the outputs of a conversion; each process builds one.

    Args:
        plan: The conversion.
    """

    def __init__(self, plan: Conversion) -> None:
        self._plan, self._layout, dataset = plan, plan.layout(), plan.dataset
        files = [""] * len(plan)
        if isinstance(dataset, DetectionDataset):
            files = [dataset.image_path(index).name for index in range(len(dataset))]
        self._stems = _different([self._stem(number, file) for number, file in enumerate(files)])

    def _stem(self, number: int, file: str) -> str:
        stem = os.path.splitext(file)[0]
        is_fine = stem and not _AWKWARD.search(stem) and not self._layout.unwritable_name.search(stem)
        return stem if is_fine else f"image_{number:0{_DIGITS}d}"

    def make(self, number: int) -> Output:
        """Make one output: its record follows from the plan and the images alone.

        Raises:
            ImageReadError: The image cannot be read.
            SampleError: The sample cannot be written.
        """
        dataset = self._plan.dataset
        if isinstance(dataset, DetectionDataset):
            suffix, encoded, sample, hw = self._of_file(dataset, number)
            primary = dataset.image_path(number).relative_to(dataset.root).as_posix()
            sources = {primary: check_of_source(dataset.root, primary)}
        else:
            sample = dataset[number]
            image_format = self._plan.image_format or "png"
            hw, primary, sources = sample["image"].shape[:2], str(number), {}
            suffix, encoded = f".{image_format}", encode_image(sample["image"], image_format, self._plan.quality)
        record = {
            "number": number,
            "name": f"{self._stems[number]}{suffix}",
            **annotations_of(sample, hw, dataset, f"dataset[{number}]"),
            "primary": primary,
            "mixups": [],
            "sources": sources,
        }
        files = self._layout.files(written_image(record), encoded)
        return Output(record | {"files": list(files)}, dict(files))

    def _of_file(self, dataset: DetectionDataset, number: int) -> tuple[str, bytes, dict[str, Any], tuple[int, int]]:
        """Suffix and bytes of an image's file, its annotations, and its size."""
        path, hw = dataset.image_path(number), dataset.image_size(number)
        suffix, image_format = path.suffix, self._plan.image_format
        if image_format is None and suffix.lower() in IMAGE_SUFFIXES:
            encoded = read_upright(path, hw)
            if encoded is not None:
                return suffix, encoded, dataset.annotations(number), hw
        sample = dataset[number]
        image_format = image_format or ("jpg" if suffix.lower() in _JPEG else "png")
        encoded = encode_image(sample["image"], image_format, self._plan.quality)
        return f".{image_format}", encoded, sample, sample["image"].shape[:2]


def _different(stems: Sequence[str]) -> list[str]:
    """Tell apart stems that are alike, in whatever case: readers pair images and labels by them."""
    counts = Counter(stem.casefold() for stem in stems)
    if len(counts) == len(stems):
        return list(stems)
    numbered = [
        stem if counts[stem.casefold()] == 1 else f"{number:0{_DIGITS}d}_{stem}" for number, stem in enumerate(stems)
    ]
    if len({stem.casefold() for stem in numbered}) == len(stems):
        return numbered
    return [f"{number:0{_DIGITS}d}_{stem}" for number, stem in enumerate(stems)]
