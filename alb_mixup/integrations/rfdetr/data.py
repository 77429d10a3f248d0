"""The data of rfdetr, with a pipeline before its own transforms."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from rfdetr.datasets.coco import CocoDetection
from rfdetr.datasets.yolo import YoloDetection
from rfdetr.training import RFDETRDataModule

from alb_mixup import _backend
from alb_mixup.datasets.protocols import classes_of
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.integrations.torch import MixUpSchedule, TransformedDataset
from alb_mixup.transforms.pipeline import mixups_of


class MixUpDataModule(RFDETRDataModule):  # type: ignore[misc, unused-ignore]
    """The data of rfdetr, its training set through a pipeline.

    Args:
        pipeline: As for `train`.
        schedule: MixUp's probability by epoch, or None.
        model_config: What `RFDETRDataModule` takes.
        train_config: What `RFDETRDataModule` takes.
    """

    def __init__(self, pipeline: Any, schedule: MixUpSchedule | None, model_config: Any, train_config: Any) -> None:
        super().__init__(model_config, train_config)
        self._mixing = (pipeline, schedule)

    def setup(self, stage: str) -> None:
        """Build the datasets; that of the training, with the pipeline in it."""
        super().setup(stage)
        data = self._dataset_train
        if stage != "fit" or isinstance(getattr(data, "_transforms", None), _Mixed):
            return
        if not isinstance(data, CocoDetection | YoloDetection):
            raise ArgumentError(
                f"dataset_file must be a dataset of files, not a stream of shards, got {type(data).__name__}: train on "
                "the files that were packed"
            )
        data._transforms = _Mixed(*self._mixing, _class_names(data), data._transforms)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment on the GPU, which drops boxes and labels alone: labels number the boxes meanwhile."""
        samples, targets = batch
        if self._kornia_pipeline is None or not all("weights" in target for target in targets):
            return super().on_after_batch_transfer(batch, dataloader_idx)
        numbered = [target | {"labels": torch.arange(len(target["labels"])).to(target["labels"])} for target in targets]
        samples, found = super().on_after_batch_transfer((samples, numbered), dataloader_idx)
        for target, whole in zip(found, targets, strict=True):
            target.update({key: whole[key][target["labels"]] for key in ("weights", "labels")})
        return samples, found


class _Mixed:
    """The transforms of rfdetr for a sample, behind a pipeline.

    Args:
        pipeline: `A.Compose`.
        schedule: MixUp's probability by epoch, or None.
        names: Class names by label.
        transforms: Those of rfdetr, of an image and a target, or None.
    """

    def __init__(
        self, pipeline: Any, schedule: MixUpSchedule | None, names: Mapping[int, str], transforms: Any
    ) -> None:
        self._given: list[dict[str, Any]] = []
        self._mixed, self._transforms = TransformedDataset(self._given, pipeline, schedule), transforms
        self._names, self._labels = dict(names), {name: label for label, name in names.items()}
        self._format = _backend.coord_format(pipeline.processors["bboxes"])
        mixups = list(mixups_of(pipeline))
        for name in {name for mixup in mixups for name in classes_of(mixup.reference) or ()} - self._labels.keys():
            raise ArgumentError(
                f"classes of MixUp's reference must be of the training set's {sorted(self._labels)}, got {name!r}: "
                "give both the same names"
            )
        self._weight_field = next((mixup.weight_field for mixup in mixups if mixup.weight_field), "mixup_weight")

    def __call__(self, image: Any, target: dict[str, Any]) -> tuple[Any, Any]:
        """Return the image and its target, with `weights`."""
        pixels = np.asarray(image)
        sample = {
            "image": pixels,
            "bboxes": from_xyxy(target["boxes"].numpy(), self._format, pixels.shape[:2]).astype(np.float32),
            "labels": [self._names[int(label)] for label in target["labels"]],
        }
        if "masks" in target:
            sample["masks"] = target["masks"].numpy().astype(np.uint8)
        self._given[:] = [sample]
        mixed = self._target(self._mixed[0], target)
        return mixed if self._transforms is None else self._transforms(*mixed)

    def _target(self, mixed: Mapping[str, Any], target: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        image = mixed["image"]
        boxes = torch.from_numpy(to_xyxy(mixed["bboxes"], self._format, image.shape[:2])).float()
        unknown = set(mixed["labels"]) - self._labels.keys()
        if unknown:
            raise SampleError(f"labels must be of the training set's {sorted(self._labels)}, got {sorted(unknown)}")
        found = dict(target) | {
            "boxes": boxes,
            "labels": torch.tensor([self._labels[name] for name in mixed["labels"]], dtype=torch.int64),
            "weights": torch.as_tensor(np.array(mixed.get(self._weight_field, np.ones(len(boxes))), np.float32)),
            "area": (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
            "iscrowd": torch.zeros(len(boxes), dtype=torch.int64),
            "size": torch.tensor(image.shape[:2]),
        }
        if "masks" in target:
            if len(mixed["masks"]) != len(boxes):
                raise SampleError(
                    f"masks must be one for each of {len(boxes)} boxes, got {len(mixed['masks'])}: leave what drops "
                    "boxes to rfdetr's own transforms"
                )
            masks = np.asarray(mixed["masks"], np.uint8).reshape(len(boxes), *image.shape[:2])
            found["masks"] = torch.from_numpy(masks.astype(bool))
        return Image.fromarray(image), found


def _class_names(data: Any) -> dict[int, str]:
    """Return the class names of rfdetr's dataset by its labels."""
    categories = {number: category["name"] for number, category in data.coco.cats.items()}
    labels = getattr(data, "label2cat", None) or getattr(data.coco, "label2cat", None)
    return {label: categories[number] for label, number in labels.items()} if labels else categories
