"""Hugging Face transformers: losses that read the boxes' weights, for the stock `Trainer`.

```python
weight_loss(model)  # RT-DETR, D-FINE, DEIMv2, RF-DETR, LW-DETR, DETR, Deformable DETR, Grounding DINO, ...
schedule = MixUpSchedule({0: 0.5, 90: 0.0})
Trainer(
    model,
    TrainingArguments(output_dir, num_train_epochs=100, remove_unused_columns=False, label_names=["labels"]),
    train_dataset=TransformedDataset(dataset, pipeline, schedule),
    data_collator=TransformersCollate(dataset.classes, processor=AutoImageProcessor.from_pretrained(name)),
    callbacks=[ScheduleCallback(schedule)],
).train()
```

**What is weighted.** With w the weight of the target that a query is matched to, by the model's own matcher, which
knows no weights:

- L1 and GIoU terms, and those of masks, are multiplied by w.
- The class term, whichever the model has (cross-entropy of DETR, focal loss of Deformable DETR, varifocal loss of
  RT-DETR, MAL of DEIMv2, IA-BCE of LW-DETR and RF-DETR), is, over all classes of the query, w · (its loss as an object)
  + (1 - w) · (its loss as background) with `rule="interpolate"`, and w · (its loss as an object) with `rule="scale"`.
  The IoU that some take for a match's quality stays a part of the loss as an object.
- D-FINE and DEIMv2 multiply a matched query's FGL and DDF terms by its IoU: by w · IoU.
- Unmatched queries stay at 1. Auxiliary, encoder and denoising outputs are weighted as the last layer's are.

**What normalizes.** What the stock loss divides by, which no weight changes: the number of boxes (of boxes times groups
for denoising and for the groups of LW-DETR and RF-DETR), DETR's cross-entropy by the class weights of all queries,
DDF's matched part by its matched queries. So a faint box counts for less, and the boxes beside it for no more. With all
weights 1, or none given, the loss is the stock one to the bit: it is the stock function that runs.

**What others do.** GluonCV's YOLOv3, the loss of Bag of Freebies (arXiv 1902.04103), keeps hard targets and multiplies
a matched anchor's objectness, class and box terms by the ratio (gluoncv/loss.py, `YOLOV3Loss`); PaddleDetection's
YOLOv3 does the same with `gt_score` (ppdet/modeling/losses/yolo_loss.py): `rule="scale"`. LossMix (AAAI 2024, arXiv
2303.10343) interpolates the losses of both images: `rule="interpolate"`.
"""

import inspect
from collections.abc import Callable
from typing import Any

from alb_mixup.errors import ArgumentError
from alb_mixup.integrations._extras import needs

with needs("transformers"):
    import torch
    from transformers import PreTrainedModel, TrainerCallback
    from transformers.loss.loss_d_fine import DFineForObjectDetectionLoss, DFineLoss
    from transformers.loss.loss_deformable_detr import (
        DeformableDetrForObjectDetectionLoss,
        DeformableDetrForSegmentationLoss,
        DeformableDetrImageLoss,
    )
    from transformers.loss.loss_deimv2 import Deimv2ForObjectDetectionLoss, Deimv2Loss
    from transformers.loss.loss_for_object_detection import (
        ForObjectDetectionLoss,
        ForSegmentationLoss,
        ImageLoss,
        box_iou,
    )
    from transformers.loss.loss_grounding_dino import GroundingDinoForObjectDetectionLoss, GroundingDinoImageLoss
    from transformers.loss.loss_lw_detr import LwDetrForObjectDetectionLoss, LwDetrImageLoss
    from transformers.loss.loss_rf_detr import RfDetrForSegmentationLoss, RfDetrImageLoss
    from transformers.loss.loss_rt_detr import RTDetrForObjectDetectionLoss, RTDetrLoss

    from alb_mixup.integrations._rebinding import with_names
    from alb_mixup.integrations._weighting import (
        RULES,
        Terms,
        WeightedSums,
        checked_rule,
        class_terms,
        eagerly,
        of_matched,
        warn_without_weights,
        weights_of,
    )
    from alb_mixup.integrations.torch import MixUpSchedule


def weight_loss(model: Any, rule: str = "interpolate") -> None:
    """Let a detection model's training loss read `weights` from its labels; see this module for what is weighted.

    Args:
        model: A model of transformers that trains with one of its losses for detection or instance segmentation by
            queries. Its labels are dicts of `class_labels`, `boxes` and `weights` float (N,) in [0, 1]; without
            `weights`, all are 1.
        rule: "interpolate": a matched query is an object by w and background by 1 - w; "scale": its loss is multiplied
            by w.

    Raises:
        ArgumentError: It is wrapped, as by PEFT; its loss is another one, or weighted already; or there is no such
            rule.
        InstallationError: This version of transformers builds its losses in another way.

    Warns:
        MissingWeightsWarning: Once, when labels that it is trained with have no weights.

    Examples:
        >>> from transformers import RTDetrV2Config, RTDetrV2ForObjectDetection
        >>> from alb_mixup.integrations.transformers import weight_loss
        >>> model = RTDetrV2ForObjectDetection(RTDetrV2Config())
        >>> weight_loss(model)
    """
    if not isinstance(getattr(model, "_orig_mod", model), PreTrainedModel):  # torch.compile's wrapper hands settings on
        raise ArgumentError(
            f"model must be a model of transformers itself, got {type(model).__name__}: what wraps it does not hand a "
            "loss on to it; weight_loss goes before get_peft_model and the like"
        )
    stock = model.loss_function
    if stock not in _CRITERIA:
        names = ", ".join(function.__name__ for function in _CRITERIA)
        raise ArgumentError(
            f"model must have one of the stock losses {names}, got {stock}: weight_loss goes once, before other "
            "changes of model.loss_function"
        )
    model.loss_function = _WeightedLoss(stock, checked_rule(rule))


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


class _WeightedLoss:
    """A stock loss function with our criterion in it, where weights other than 1 are given."""

    def __init__(self, stock: Callable[..., Any], rule: str) -> None:
        self._stock, self._rule = stock, rule
        self._weighted()  # so that an unknown version is found before the training

    @eagerly
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the loss, its terms and the auxiliary outputs."""
        labels = inspect.signature(self._stock).bind(*args, **kwargs).arguments["labels"]
        warn_without_weights(self, labels, "TransformersCollate")
        loss = self._stock if weights_of(labels) is None else self._weighted()
        return loss(*args, **kwargs)

    def _weighted(self) -> Callable[..., Any]:
        criterion = _CRITERIA[self._stock]
        return with_names(self._stock, **{criterion.__name__: _WEIGHTED[criterion, self._rule]})


class _Weighted:
    """What a criterion of transformers sums over queries, with their targets' weights."""

    rule: str

    def loss_boxes(self, outputs: Any, targets: Any, indices: Any, num_boxes: Any) -> Terms:
        """Sum L1 and GIoU terms."""
        with WeightedSums(of_matched(targets, indices), times=2):
            terms: Terms = super().loss_boxes(outputs, targets, indices, num_boxes)  # type: ignore[misc]
        return terms

    def loss_masks(self, outputs: Any, targets: Any, indices: Any, num_boxes: Any) -> Terms:
        """Sum a mask's two terms."""
        weights, stock = of_matched(targets, indices), super().loss_masks  # type: ignore[misc]
        if not len(weights):
            return stock(outputs, targets, indices, num_boxes)  # type: ignore[no-any-return]
        with WeightedSums(weights, times=2):
            return stock(outputs, targets, indices, num_boxes)  # type: ignore[no-any-return]

    def loss_labels(self, *args: Any) -> Terms:
        """Sum the class terms: cross-entropy, focal loss or IA-BCE."""
        return self._class_terms(super().loss_labels, *args)  # type: ignore[misc]

    def loss_labels_vfl(self, *args: Any) -> Terms:
        """Sum the varifocal class terms of RT-DETR and D-FINE."""
        return self._class_terms(super().loss_labels_vfl, *args)  # type: ignore[misc]

    def loss_labels_mal(self, *args: Any) -> Terms:
        """Sum the matching-aware class terms of DEIMv2."""
        return self._class_terms(super().loss_labels_mal, *args)  # type: ignore[misc]

    def loss_local(self, outputs: Any, targets: Any, indices: Any, num_boxes: Any) -> Terms:
        """Sum FGL and DDF of D-FINE and DEIMv2, whose matched terms are multiplied by the IoU: here, by w · IoU."""
        weights = of_matched(targets, indices)

        def weighted(predicted: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            iou, union = box_iou(predicted, boxes)
            return iou * weights, union

        stock = super().loss_local.__func__  # type: ignore[misc]
        terms: Terms = with_names(stock, box_iou=weighted)(self, outputs, targets, indices, num_boxes)
        return terms

    def _class_terms(
        self: Any, stock: Callable[..., Terms], outputs: Any, targets: Any, indices: Any, num_boxes: Any
    ) -> Terms:
        """Call a stock class loss with the queries' weights, and once more for what they are as background."""
        weights = torch.ones_like(outputs["logits"][..., 0], dtype=torch.float32)
        weights[self._get_source_permutation_idx(indices)] = of_matched(targets, indices).float()
        unmatched = [(query[:0], target[:0]) for query, target in indices]
        return class_terms(
            self.rule,
            self._as_summed(weights, outputs),
            lambda: stock(outputs, targets, indices, num_boxes),
            lambda: stock(outputs, targets, unmatched, num_boxes),
        )

    def _as_summed(self, weights: torch.Tensor, outputs: Any) -> torch.Tensor:
        """Return weights (B, Q) of queries in the shape over which the class loss sums."""
        return weights


class _WeightedText(_Weighted):
    """Grounding DINO's class terms: one a query and token, of the tokens that are not padding."""

    def _as_summed(self, weights: torch.Tensor, outputs: Any) -> torch.Tensor:
        logits = outputs["logits"]
        return weights[..., None].expand_as(logits).masked_select(outputs["text_mask"].expand_as(logits))


_CRITERIA: dict[Callable[..., Any], Any] = {
    RTDetrForObjectDetectionLoss: RTDetrLoss,
    DFineForObjectDetectionLoss: DFineLoss,
    Deimv2ForObjectDetectionLoss: Deimv2Loss,
    LwDetrForObjectDetectionLoss: LwDetrImageLoss,
    RfDetrForSegmentationLoss: RfDetrImageLoss,
    ForObjectDetectionLoss: ImageLoss,
    ForSegmentationLoss: ImageLoss,
    DeformableDetrForObjectDetectionLoss: DeformableDetrImageLoss,
    DeformableDetrForSegmentationLoss: DeformableDetrImageLoss,
    GroundingDinoForObjectDetectionLoss: GroundingDinoImageLoss,
}
_WEIGHTED: dict[tuple[Any, str], type] = {
    (criterion, rule): type(
        f"Weighted{criterion.__name__}",
        (_WeightedText if criterion is GroundingDinoImageLoss else _Weighted, criterion),
        {"rule": rule},
    )
    for criterion in set(_CRITERIA.values())
    for rule in RULES
}
