"""Hugging Face transformers: losses that read the boxes' weights, for the stock `Trainer`.

```python
weight_loss(model)  # RT-DETR, RT-DETR v2, D-FINE, DETR, Deformable, Conditional and DAB-DETR, YOLOS, ...
schedule = MixUpSchedule({0: 0.5, 90: 0.0})
Trainer(
    model,
    TrainingArguments(output_dir, num_train_epochs=100, remove_unused_columns=False, label_names=["labels"]),
    train_dataset=TransformedDataset(dataset, pipeline, schedule),
    data_collator=TransformersCollate(dataset.classes),
    callbacks=[ScheduleCallback(schedule)],
).train()
```

**What is weighted.** With w the weight of the target that a query is matched to, by the model's own matcher, which
knows no weights:

- L1 and GIoU terms are multiplied by w.
- RT-DETR and D-FINE take a match's IoU as its quality: it is the target of the varifocal loss (VFL) and the weight of
  D-FINE's localization terms (FGL, and the matched part of DDF). Wherever they take the IoU, w · IoU is taken. In VFL
  the target is its own weight, so the class term of a box with w = 0 is 0: it is neither object nor background.
- DETR's cross-entropy of a matched query is multiplied by w. So is the target class's term of the focal loss of
  Deformable, Conditional and DAB-DETR; a matched query's other classes stay negatives at 1, as in VFL.
- Unmatched queries stay at 1. Auxiliary, encoder and denoising outputs are weighted as the last layer's are.

**What normalizes.** What the stock loss divides by, which no weight changes: the number of boxes (of boxes times groups
for denoising), DETR's cross-entropy by the class weights of all queries, DDF's matched part by its matched queries. So
a faint box counts for less, and the boxes beside it for no more; the loss steps up where a schedule ends the mixing.
With all weights 1, or none given, losses are the stock ones to the bit.

**What others do.** GluonCV's YOLOv3, the loss of Bag of Freebies (arXiv 1902.04103), keeps hard targets and multiplies
a matched anchor's objectness, class and box terms by the ratio (gluoncv/loss.py, `YOLOV3Loss`); PaddleDetection's
YOLOv3 does the same with `gt_score` (ppdet/modeling/losses/yolo_loss.py). PaddleDetection's DETR losses take
q = gt_score · IoU as VFL's target, as here, and leave L1 and GIoU unweighted (ppdet/modeling/losses/detr_loss.py); they
do so for the scores of pseudo-labels. No published ablation that we know of isolates weighting at a fixed λ: whether it
pays is for your data to say.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F
from transformers import TrainerCallback
from transformers.image_transforms import center_to_corners_format
from transformers.loss.loss_d_fine import DFineForObjectDetectionLoss, DFineLoss
from transformers.loss.loss_deformable_detr import DeformableDetrForObjectDetectionLoss, DeformableDetrImageLoss
from transformers.loss.loss_for_object_detection import (
    ForObjectDetectionLoss,
    ImageLoss,
    box_iou,
    generalized_box_iou,
)
from transformers.loss.loss_rt_detr import RTDetrForObjectDetectionLoss, RTDetrLoss

from alb_mixup.errors import ArgumentError
from alb_mixup.integrations._rebinding import with_names
from alb_mixup.integrations.torch import MixUpSchedule


def weight_loss(model: Any) -> None:
    """Let a detection model's training loss read `weights` from its labels; see this module for what is weighted.

    Args:
        model: A model of transformers whose loss is RT-DETR's (v2 too), D-FINE's, DETR's or Deformable DETR's. Its
            labels are dicts of `class_labels`, `boxes` and `weights` float (N,); without `weights`, all are 1.

    Raises:
        ArgumentError: Its loss is another one, or weighted already.
        InstallationError: This version of transformers builds its losses in another way.
    """
    stock = model.loss_function
    if stock not in _CRITERIA:
        names = ", ".join(function.__name__ for function in _CRITERIA)
        raise ArgumentError(f"model must have one of the stock losses {names}, got {stock}")
    with_names(stock, **_CRITERIA[stock])  # so that an unknown version is found before the training
    model.loss_function = partial(_weighted_loss, stock)


class ScheduleCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Tell a `MixUpSchedule` the epoch that the `Trainer` begins, or resumes.

    Args:
        schedule: The schedule of the training set.
    """

    def __init__(self, schedule: MixUpSchedule) -> None:
        self.schedule = schedule

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch before the workers draw its first batch."""
        self.schedule.set_epoch(int(state.epoch))


def _weighted_loss(stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return with_names(stock, **_CRITERIA[stock])(*args, **kwargs)


class _WeightedBoxes:
    """The box terms, alike in every criterion of transformers."""

    def loss_boxes(self: Any, outputs: Any, targets: Any, indices: Any, num_boxes: float) -> dict[str, torch.Tensor]:
        """Sum L1 and GIoU terms, each times its target's weight."""
        predicted = outputs["pred_boxes"][self._get_source_permutation_idx(indices)]
        boxes = _of_matched(targets, indices, "boxes")
        weights = _weights(targets, indices).to(predicted.dtype)
        l1 = F.l1_loss(predicted, boxes, reduction="none")
        giou = torch.diag(generalized_box_iou(center_to_corners_format(predicted), center_to_corners_format(boxes)))
        return {
            "loss_bbox": (l1 * weights[:, None]).sum() / num_boxes,
            "loss_giou": ((1 - giou) * weights).sum() / num_boxes,
        }


class _WeightedRTDetrLoss(_WeightedBoxes, RTDetrLoss):  # type: ignore[misc, unused-ignore]
    def loss_labels_vfl(self, outputs: Any, targets: Any, indices: Any, num_boxes: float, log: bool = True) -> Any:
        stock = with_names(RTDetrLoss.loss_labels_vfl, box_iou=_weighted_iou(targets, indices))
        return stock(self, outputs, targets, indices, num_boxes, log)


class _WeightedDFineLoss(_WeightedRTDetrLoss, DFineLoss):  # type: ignore[misc, unused-ignore]
    def loss_local(self, outputs: Any, targets: Any, indices: Any, num_boxes: float, T: float = 5) -> Any:  # noqa: N803
        stock = with_names(DFineLoss.loss_local, box_iou=_weighted_iou(targets, indices))
        return stock(self, outputs, targets, indices, num_boxes, T)


class _WeightedImageLoss(_WeightedBoxes, ImageLoss):  # type: ignore[misc, unused-ignore]
    def loss_labels(self, outputs: Any, targets: Any, indices: Any, num_boxes: float) -> dict[str, torch.Tensor]:
        loss = super().loss_labels(outputs, targets, indices, num_boxes)["loss_ce"]
        logits, classes = outputs["logits"], _of_matched(targets, indices, "class_labels")
        matched = F.cross_entropy(logits[self._get_source_permutation_idx(indices)], classes, reduction="none")
        unmatched = logits.shape[0] * logits.shape[1] - len(classes)
        excess = _excess(matched, targets, indices)  # objects have class weight 1
        return {"loss_ce": loss - excess / (len(classes) + unmatched * self.eos_coef)}


class _WeightedDeformableDetrLoss(_WeightedBoxes, DeformableDetrImageLoss):  # type: ignore[misc, unused-ignore]
    def loss_labels(self, outputs: Any, targets: Any, indices: Any, num_boxes: float) -> dict[str, torch.Tensor]:
        loss = super().loss_labels(outputs, targets, indices, num_boxes)["loss_ce"]
        rows, classes = self._get_source_permutation_idx(indices), _of_matched(targets, indices, "class_labels")
        logits = outputs["logits"][(*rows, classes)]
        alpha = self.focal_alpha if self.focal_alpha >= 0 else 1.0
        matched = alpha * (1 - logits.sigmoid()) ** 2 * F.softplus(-logits)  # focal loss (arXiv 1708.02002), γ = 2
        return {"loss_ce": loss - _excess(matched, targets, indices) / num_boxes}


def _of_matched(targets: Sequence[Any], indices: Sequence[Any], key: str) -> torch.Tensor:
    """Return what matched queries are matched to, in the queries' order."""
    return torch.cat([target[key][chosen] for target, (_, chosen) in zip(targets, indices, strict=True)])


def _weights(targets: Sequence[Any], indices: Sequence[Any]) -> torch.Tensor:
    given = [t if "weights" in t else {"weights": t["boxes"].new_ones(len(t["boxes"]))} for t in targets]
    return _of_matched(given, indices, "weights")


def _weighted_iou(targets: Sequence[Any], indices: Sequence[Any]) -> Callable[..., Any]:
    """Return `box_iou` for matched pairs, with each target's column times its weight."""
    weights = _weights(targets, indices)

    def weighted(predicted: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        iou, union = box_iou(predicted, boxes)
        return iou * weights, union

    return weighted


def _excess(terms: torch.Tensor, targets: Sequence[Any], indices: Sequence[Any]) -> torch.Tensor:
    """Sum what the stock loss has too much of each matched term: exactly 0 where all weights are 1."""
    return (terms * (1 - _weights(targets, indices).to(terms.dtype))).sum()


_CRITERIA: dict[Callable[..., Any], dict[str, type]] = {
    RTDetrForObjectDetectionLoss: {"RTDetrLoss": _WeightedRTDetrLoss},
    DFineForObjectDetectionLoss: {"DFineLoss": _WeightedDFineLoss},
    ForObjectDetectionLoss: {"ImageLoss": _WeightedImageLoss},
    DeformableDetrForObjectDetectionLoss: {"DeformableDetrImageLoss": _WeightedDeformableDetrLoss},
}
