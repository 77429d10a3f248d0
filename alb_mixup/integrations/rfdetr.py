"""rfdetr: RF-DETR's own training with a pipeline and the boxes' weights.

```python
model = RFDETRNano()
train(model, pipeline, dataset_dir="dataset", epochs=50)  # for model.train(dataset_dir="dataset", epochs=50)
```

The training set is rfdetr's own, in COCO's or YOLO's layout. Its samples go through the pipeline before rfdetr resizes,
augments and normalizes them, with class names as labels: those of MixUp's reference are the same names. Validation is left
alone.

**What is weighted.** With w the weight of the box that a query is matched to: L1, GIoU and mask terms are multiplied by
w; the class term is w · (its loss as an object) + (1 - w) · (its loss as background) with `rule="interpolate"`, w · (its
loss as an object) with `rule="scale"`. Unmatched queries stay at 1, and auxiliary and encoder outputs are weighted as
the last layer's are. The matcher knows no weights.

**What normalizes.** What the stock criterion divides by, the number of boxes times groups, which no weight changes. With
all weights 1, or none given, the losses are the stock ones to the bit.

**What is not.** Keypoint models and shards (`dataset_file="webdataset"`) are refused. On CUDA, a compiled model's losses
of all layers are computed one layer after the other, as rfdetr does for any criterion that is not its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import rfdetr.training
import torch
from PIL import Image
from rfdetr.datasets.coco import CocoDetection
from rfdetr.datasets.yolo import YoloDetection
from rfdetr.models.criterion import SetCriterion, dice_loss, sigmoid_ce_loss
from rfdetr.training import RFDETRDataModule, RFDETRModelModule

from alb_mixup import _backend
from alb_mixup.datasets.protocols import classes_of
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.integrations._rebinding import with_names
from alb_mixup.integrations._weighting import (
    Terms,
    WeightedSums,
    checked_rule,
    class_terms,
    of_matched,
    warn_without_weights,
    weights_of,
)
from alb_mixup.integrations.torch import MixUpSchedule, TransformedDataset
from alb_mixup.integrations.torch.datasets import parts_of
from alb_mixup.transforms.mixup import MixUp


def train(
    model: Any, pipeline: Any, rule: str = "interpolate", schedule: MixUpSchedule | None = None, **settings: Any
) -> None:
    """Train a model of rfdetr on samples that a pipeline mixes: `model.train(**settings)`, with weights.

    Args:
        model: `RFDETRNano()` or another, for detection or segmentation.
        pipeline: `A.Compose` with a MixUp; its label fields are `labels` (class names) and the weight field. With a
            model for segmentation, its reference has masks, and nothing in it drops boxes.
        rule: "interpolate": a matched query is an object by w and background by 1 - w; "scale": its loss is multiplied
            by w.
        schedule: MixUp's probability by epoch; None leaves `p` as it is.
        **settings: What `model.train` takes.

    Raises:
        ArgumentError: There is no such rule; the model is one for keypoints; the data is a stream of shards; or the
            reference has classes that the training set has not.
        SampleError: While training, what the pipeline returns does not fit.

    Example:
        >>> import albumentations as A
        >>> from rfdetr import RFDETRNano
        >>> from alb_mixup import MixUp, open_dataset
        >>> from alb_mixup.integrations.rfdetr import train
        >>> reference = open_dataset("dataset", "train")  # doctest: +SKIP
        >>> params = A.BboxParams(reference.bbox_format, label_fields=["labels", "mixup_weight"])  # doctest: +SKIP
        >>> pipeline = A.Compose([MixUp(reference, p=0.5)], bbox_params=params)  # doctest: +SKIP
        >>> train(RFDETRNano(), pipeline, dataset_dir="dataset", epochs=50)  # doctest: +SKIP
    """
    checked_rule(rule)
    if model.model_config.use_grouppose_keypoints:
        raise ArgumentError(
            f"model must be one for detection or segmentation, got {type(model).__name__}: a mix has the keypoints of "
            "two images, which its targets do not hold; train it without a pipeline"
        )
    with _modules(partial(_MixUpModelModule, rule, schedule), partial(MixUpDataModule, pipeline, schedule)):
        model.train(**settings)


def weight_loss(module: Any, rule: str = "interpolate") -> None:
    """Let a criterion read `weights` from its targets, for those who train with Lightning's parts themselves.

    Args:
        module: `RFDETRModelModule`, or a `SetCriterion`.
        rule: As for `train`.

    Raises:
        ArgumentError: Its criterion is another one, weighted already, or has keypoints; or there is no such rule.
        InstallationError: This version of rfdetr computes its losses in another way.

    Warns:
        MissingWeightsWarning: Once, when targets that it is trained with have no weights.

    Example:
        >>> from alb_mixup.integrations.rfdetr import MixUpDataModule, weight_loss
        >>> module = RFDETRModelModule(model_config, train_config)  # doctest: +SKIP
        >>> weight_loss(module)  # doctest: +SKIP
        >>> data = MixUpDataModule(pipeline, None, model_config, train_config)  # doctest: +SKIP
        >>> build_trainer(train_config, model_config).fit(module, data)  # doctest: +SKIP
    """
    checked_rule(rule)
    criterion = getattr(module, "criterion", module)
    if type(criterion) is not SetCriterion or "keypoints" in criterion.losses:
        raise ArgumentError(
            "module must have rfdetr's own SetCriterion for boxes and masks, got "
            f"{type(criterion).__name__}: weight_loss goes once, before other changes"
        )
    _mask_loss()  # so that an unknown version is found before the training
    criterion.__class__, criterion.rule = _WeightedCriterion, rule


class MixUpDataModule(RFDETRDataModule):  # type: ignore[misc, unused-ignore]
    """rfdetr's data, its training set through a pipeline.

    Args:
        pipeline: As for `train`.
        schedule: MixUp's probability by epoch, or None.
        model_config: rfdetr's.
        train_config: rfdetr's.
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
    """rfdetr's transforms of a sample, behind a pipeline.

    Args:
        pipeline: `A.Compose`.
        schedule: MixUp's probability by epoch, or None.
        names: Class names by label.
        transforms: rfdetr's, of an image and a target, or None.
    """

    def __init__(
        self, pipeline: Any, schedule: MixUpSchedule | None, names: Mapping[int, str], transforms: Any
    ) -> None:
        self._given: list[dict[str, Any]] = []
        self._mixed, self._transforms = TransformedDataset(self._given, pipeline, schedule), transforms
        self._names, self._labels = dict(names), {name: label for label, name in names.items()}
        self._format = _backend.bbox_format(pipeline.processors["bboxes"])
        mixups = [part for part in parts_of(pipeline) if isinstance(part, MixUp)]
        for name in {name for mixup in mixups for name in classes_of(mixup.reference) or ()} - self._labels.keys():
            raise ArgumentError(
                f"classes of MixUp's reference must be of the training set's {sorted(self._labels)}, got {name!r}: give "
                "both the same names"
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


class _WeightedCriterion(SetCriterion):  # type: ignore[misc, unused-ignore]
    rule: str

    def forward(self, outputs: Any, targets: Any, num_boxes: Any = None) -> Terms:
        """Compute every loss; with weights where a target has others than 1."""
        targets = [_padded(target) for target in targets]
        warn_without_weights(self, targets, "MixUpDataModule")
        self._weighted = weights_of(targets) is not None
        terms: Terms = super().forward(outputs, targets, num_boxes)
        return terms

    def loss_labels(
        self, outputs: Any, targets: Any, indices: Any, num_boxes: Any, log: bool = True, matched_targets: Any = None
    ) -> Terms:
        """Sum the class terms."""
        stock = partial(super().loss_labels, outputs, targets)
        whole = partial(stock, indices, num_boxes, log, matched_targets)
        if not self._weighted:
            return whole()
        weights = torch.ones_like(outputs["pred_logits"][..., 0], dtype=torch.float32)
        weights[self._get_src_permutation_idx(indices)] = of_matched(targets, indices).float()
        unmatched = [(query[:0], target[:0]) for query, target in indices]
        return class_terms(self.rule, weights, whole, partial(stock, unmatched, num_boxes, log=False))

    def loss_boxes(
        self, outputs: Any, targets: Any, indices: Any, num_boxes: Any, matched_targets: Any = None
    ) -> Terms:
        """Sum L1 and GIoU terms."""
        stock = partial(super().loss_boxes, outputs, targets, indices, num_boxes, matched_targets)
        return self._of_pairs(stock, targets, indices)

    def loss_masks(self, outputs: Any, targets: Any, indices: Any, num_boxes: Any) -> Terms:
        """Sum a mask's two terms."""
        loss = _mask_loss() if self._weighted else SetCriterion.loss_masks
        return self._of_pairs(partial(loss, self, outputs, targets, indices, num_boxes), targets, indices)

    def _of_pairs(self, stock: Any, targets: Any, indices: Any) -> Terms:
        weights = of_matched(targets, indices) if self._weighted else ()
        if not len(weights):
            return stock()  # type: ignore[no-any-return]
        with WeightedSums(weights, times=2):
            return stock()  # type: ignore[no-any-return]


def _mask_loss() -> Any:
    """Return the stock mask loss with its two parts as Python, whose sums can be met, for TorchScript."""
    parts = {"sigmoid_ce_loss_jit": sigmoid_ce_loss, "dice_loss_jit": dice_loss}
    return with_names(SetCriterion.loss_masks, **parts)


def _padded(target: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the weights to targets that `pad_targets_to` has made of one length: its filler is not matched."""
    weights, count = target.get("weights"), len(target["boxes"])
    if weights is None or "valid" not in target:
        return dict(target)
    filler = weights.new_ones(max(0, count - len(weights)))
    return dict(target) | {"weights": torch.cat([weights[:count], filler])}


def _class_names(data: Any) -> dict[int, str]:
    """Return the class names of rfdetr's dataset by its labels."""
    categories = {number: category["name"] for number, category in data.coco.cats.items()}
    labels = getattr(data, "label2cat", None) or getattr(data.coco, "label2cat", None)
    return {label: categories[number] for label, number in labels.items()} if labels else categories


class _MixUpModelModule(RFDETRModelModule):  # type: ignore[misc, unused-ignore]
    """rfdetr's model and criterion, with weights in it, which tells the schedule the epoch."""

    def __init__(self, rule: str, schedule: MixUpSchedule | None, model_config: Any, train_config: Any) -> None:
        super().__init__(model_config, train_config)
        weight_loss(self, rule)
        self._schedule = schedule

    def on_train_epoch_start(self) -> None:
        """Set the epoch before the workers draw its first batch."""
        if self._schedule is not None:
            self._schedule.set_epoch(self.trainer.current_epoch)
        super().on_train_epoch_start()


@contextmanager
def _modules(model: Any, data: Any) -> Iterator[None]:
    """Let `model.train`, which takes both from there by name, build these."""
    names: Sequence[str] = ("RFDETRModelModule", "RFDETRDataModule")
    stock = [getattr(rfdetr.training, name) for name in names]
    for name, value in zip(names, (model, data), strict=True):
        setattr(rfdetr.training, name, value)
    try:
        yield
    finally:
        for name, value in zip(names, stock, strict=True):
            setattr(rfdetr.training, name, value)
