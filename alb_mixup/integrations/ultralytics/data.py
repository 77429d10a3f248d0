"""Ultralytics' training set with a pipeline among its transforms, and a weight for each of its boxes."""

import os
from typing import Any

import numpy as np
import torch
from ultralytics.data.augment import Compose, LetterBox
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import img2label_paths
from ultralytics.models.rtdetr.val import RTDETRDataset
from ultralytics.utils import LOGGER

from alb_mixup.datasets import YoloDataset
from alb_mixup.datasets.base import DetectionDataset
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.integrations.ultralytics.augmentation import Augmentation, Partners
from alb_mixup.integrations.ultralytics.masks import MaskFormat, MaskLetterBox


class TrainingSet(YOLODataset):  # type: ignore[misc, unused-ignore]
    """Ultralytics' dataset with the pipeline among its transforms, wherever it builds them (`close_mosaic` does).

    Args:
        augmentation: The pipeline.
        after_builtin: Whether it comes after the built-in augmentations, or in place of them.
        source: Where images, boxes and weights come from; None: from the label files, by Ultralytics, or where these
            have weights, by `YoloDataset`.
        args: Those of `YOLODataset`.
        settings: Those of `YOLODataset`.
    """

    def __init__(
        self,
        *args: Any,
        augmentation: Augmentation,
        after_builtin: bool,
        source: DetectionDataset | None,
        **settings: Any,
    ) -> None:
        self.im_files: list[str]
        self.augmentation, self.after_builtin, self.source = augmentation, after_builtin, source
        super().__init__(*args, **settings)

    def get_img_files(self, img_path: Any) -> Any:
        """List the images: the source's, where there is one."""
        if self.source is None:
            return super().get_img_files(img_path)
        return [str(self.source.image_path(index)) for index in range(len(self.source))]

    def get_labels(self) -> Any:
        """Read the labels, and `weights`, float32 (N, 1), with them."""
        source = self.source
        if source is None and any(map(_has_weights, img2label_paths(self.im_files))):
            source = YoloDataset(self.data["yaml_file"], split="train")
        if source is None:
            return [label | {"weights": np.ones_like(label["cls"])} for label in super().get_labels()]
        LOGGER.info(f"alb_mixup: boxes and weights of the training set are those of {source!r}")
        wanted = {os.path.realpath(file) for file in self.im_files}  # fewer than the source's with `fraction`
        indices = [index for index in range(len(source)) if os.path.realpath(source.image_path(index)) in wanted]
        labels = [self._labels_of(source, index) for index in indices]
        self.im_files = [label["im_file"] for label in labels]
        return labels

    def _labels_of(self, source: DetectionDataset, index: int) -> dict[str, Any]:
        """Return the annotations of an image as Ultralytics holds them."""
        found, size = source.annotations(index), source.image_size(index)
        bboxes = from_xyxy(to_xyxy(found["bboxes"], source.bbox_format, size), "yolo", size)
        class_ids = [self.augmentation.class_id(name) for name in found["labels"]]
        return {
            "im_file": str(source.image_path(index)),
            "shape": size,
            "cls": np.array(class_ids, np.float32).reshape(-1, 1),
            "bboxes": bboxes.astype(np.float32).reshape(-1, 4),
            "weights": np.array(found["mixup_weight"], np.float32).reshape(-1, 1),
            "segments": [],
            "keypoints": None,
            "normalized": True,
            "bbox_format": "xywh",
        }

    def update_labels(self, include_class: Any) -> None:
        """Leave out other classes, and their weights, or make all classes one; then number what boxes are."""
        for label in self.labels if include_class is not None else ():
            label["weights"] = label["weights"][np.isin(label["cls"].ravel(), include_class)]
        super().update_labels(include_class)
        rows = [np.concatenate([label["cls"], label.pop("weights")], axis=1) for label in self.labels]
        self.augmentation.kinds, numbers = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
        parts = np.split(numbers.reshape(-1, 1).astype(np.float32), np.cumsum([len(part) for part in rows])[:-1])
        for label, part in zip(self.labels, parts, strict=True):
            label["kinds"] = part

    def update_labels_info(self, label: dict[str, Any]) -> Any:
        """Put, in place of each box's class, the number of its class and weight.

        So weights follow their boxes, whatever the built-in augmentations do to rows: to these they are classes.
        """
        return super().update_labels_info(label | {"cls": label.pop("kinds")})

    def build_transforms(self, hyp: Any) -> Compose:
        """Build Ultralytics' own transforms, with the pipeline after or in place of the augmentations."""
        *builtin, to_tensors = super().build_transforms(hyp).transforms
        builtin = builtin if self.after_builtin else []
        place = "after" if self.after_builtin else "in place of"
        LOGGER.info(f"alb_mixup: training images go through your pipeline, {place} the built-in augmentations")
        self.augmentation.partners = Partners(self, builtin, self.augmentation)
        ours: list[Any] = [self.augmentation]
        if self.augmentation.shapes == "masks":
            ours.append(MaskLetterBox(self.imgsz))
            to_tensors.__class__ = MaskFormat  # not built as one: with what settings is Ultralytics' business
        return Compose([*builtin, *ours, LetterBox(new_shape=self.imgsz), to_tensors])

    @staticmethod
    def collate_fn(batch: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate as Ultralytics does, weights as boxes."""
        collated: dict[str, Any] = YOLODataset.collate_fn(batch)
        collated["weights"] = torch.cat(collated["weights"])
        return collated


class RTDETRTrainingSet(TrainingSet, RTDETRDataset):  # type: ignore[misc, unused-ignore]
    """The same for RT-DETR, whose images Ultralytics loads in a way of their own."""


def _has_weights(label_file: str) -> bool:
    """Tell whether the first row of a label file has a sixth column, which Ultralytics takes for a corrupt file."""
    try:
        with open(label_file, encoding="utf-8-sig") as lines:
            return len(next(lines, "").split()) == 6
    except (OSError, ValueError):
        return False
