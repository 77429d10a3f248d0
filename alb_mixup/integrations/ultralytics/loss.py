"""Ultralytics' losses, in which each box has a weight: imported, wrapped, nothing of them copied."""

from collections.abc import Iterator
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch.nn import functional as F
from ultralytics.models.utils.loss import RTDETRDetectionLoss
from ultralytics.utils.loss import E2ELoss, SegmentLoss26, v8DetectionLoss, v8OBBLoss, v8SegmentationLoss

from alb_mixup.errors import ArgumentError
from alb_mixup.integrations._weighting import WeightedSums, check_one_each, checked_rule, warn_without_weights
from alb_mixup.integrations.ultralytics.detr import WeightedRTDETRLoss


class _Weighted:
    """What is common to the weighted losses, in front of one of Ultralytics' own in the order of bases."""

    assigner: Any
    bce: Any
    bbox_loss: Any
    device: Any

    def __init__(self, *args: Any, rule: str = "interpolate", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.rule = checked_rule(rule)
        self._stock_assigner, self.assigner = self.assigner, self._assign
        self._stock_bce, self.bce = self.bce, self._class_losses
        self._stock_bbox_loss, self.bbox_loss = self.bbox_loss, self._box_losses
        self._box_arguments = signature(self._stock_bbox_loss.forward)
        self._of_rows: torch.Tensor | None = None  # (rows of the batch,)
        self._of_boxes: torch.Tensor | None = None  # (images, boxes), padded as the boxes are
        self._of_locations: torch.Tensor | None = None  # (images, locations), 1 where no box is
        self._classes: Any = None

    def loss(self, preds: Any, batch: Any) -> Any:
        """Compute the loss, each box's terms weighted by `batch["weights"]`, where there is such a thing."""
        self._of_rows = self._of_boxes = self._of_locations = None
        if batch.get("weights") is None:
            warn_without_weights(self, [batch], "the datasets of mixup_trainer")
        else:
            check_one_each(batch["weights"], batch["bboxes"])
            self._classes = batch["cls"].view(-1).to(self.device)
            self._of_rows = batch["weights"].to(self.device)
            # In place of its class each row carries its number, so that whatever Ultralytics leaves out or moves
            # before `preprocess`, weights follow.
            batch = batch | {"cls": torch.arange(len(self._classes)).view_as(batch["cls"]).to(batch["cls"])}
        return super().loss(preds, batch)  # type: ignore[misc]

    def preprocess(self, targets: torch.Tensor, batch_size: int, scale_tensor: torch.Tensor) -> torch.Tensor:
        """Pad boxes, classes and weights alike."""
        stock = super().preprocess  # type: ignore[misc]
        if self._of_rows is None:
            return stock(targets, batch_size, scale_tensor)
        rows = targets[:, 1].long()
        padded = [
            stock(
                torch.cat([targets[:, :1], values[rows, None].to(targets), targets[:, 2:]], 1), batch_size, scale_tensor
            )
            for values in (self._of_rows, self._classes)
        ]
        self._of_boxes = padded[0][..., 0]
        return padded[1]

    def _assign(self, *args: Any, **settings: Any) -> Any:
        """Assign as without weights; keep each location's weight."""
        labels, bboxes, scores, is_assigned, box_index = self._stock_assigner(*args, **settings)
        if self._of_boxes is not None and self._of_boxes.shape[1]:
            of_boxes = self._of_boxes.gather(1, box_index).to(scores.dtype)
            self._of_locations = of_boxes.where(is_assigned, torch.ones_like(of_boxes))
            if self.rule == "interpolate":
                scores = scores * self._of_locations.unsqueeze(-1)
        return labels, bboxes, scores, is_assigned, box_index

    def _class_losses(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        losses: torch.Tensor = self._stock_bce(scores, targets)
        if self.rule == "scale" and self._of_locations is not None:
            losses = losses * self._of_locations.unsqueeze(-1).to(losses.dtype)
        return losses

    def _box_losses(self, *args: Any, **settings: Any) -> Any:
        """Compute the terms whose factor is the target score, which under "scale" lacks the weight as yet."""
        call = self._box_arguments.bind(*args, **settings)
        if self.rule == "scale" and self._of_locations is not None:
            call.arguments["target_scores"] = call.arguments["target_scores"] * self._of_locations.unsqueeze(-1)
        return self._stock_bbox_loss(*call.args, **call.kwargs)


class WeightedDetectionLoss(_Weighted, v8DetectionLoss):  # type: ignore[misc, unused-ignore]
    """Ultralytics' detection loss, each box's terms weighted by `batch["weights"]`, float32 (N,), beside `cls`.

    Boxes are matched to anchors as without weights. With t the alignment that TaskAlignedAssigner computes for an
    anchor and w the weight of the box that the anchor was matched to, the anchor has

    | | class term | box and DFL (or L1) terms | all terms are divided by | w = 0 |
    |---|---|---|---|---|
    | stock | BCE(x, t) | × t | max(Σt, 1) | |
    | "interpolate" | BCE(x, w·t) = w·BCE(x, t) + (1 - w)·BCE(x, 0) | × w·t | max(Σw·t, 1) | background |
    | "scale" | w·BCE(x, t) | × w·t | max(Σt, 1), the stock one | ignored: no gradient |

    Anchors without a box are background, of weight 1. Under "interpolate" box and DFL terms stay means weighted by
    w·t; as MixUp's weights share 1 between two images, the divisor is about what it is without mixing. Under "scale"
    the loss is linear in each weight: a box of weight w pulls w times as hard, and nothing else changes. With all
    weights 1, or without `batch["weights"]`, both are the stock loss and its gradients to the bit.

    Sources: LossMix, arXiv 2303.10343 (losses of both images, interpolated); Bag of Freebies for Training Object
    Detection Neural Networks, arXiv 1902.04103, with GluonCV's and PaddleDetection's YOLOv3 ("scale"); TOOD, arXiv
    2108.07755 (t).

    Args:
        model: Ultralytics' `DetectionModel`, with its `args` set.
        rule: "interpolate" or "scale".

    Raises:
        ArgumentError: `rule` is another one.

    Examples:
        ```python
        model = DetectionModel("yolo11n.yaml")
        model.args = get_cfg()
        loss, items = WeightedDetectionLoss(model, rule="scale")(model(batch["img"]), batch)
        ```
    """


class WeightedSegmentationLoss(_Weighted, v8SegmentationLoss):  # type: ignore[misc, unused-ignore]
    """Ultralytics' segmentation loss, weighted as `WeightedDetectionLoss`, an anchor's mask term too.

    The mask term of an anchor is multiplied by its box's weight; their sum is divided by the number of matched anchors,
    as without weights.

    YOLO26's semantic term is a class term of pixels, BCE and Dice. A pixel has the weight of the object that it shows,
    the smallest where several do; the others have 1. Under "interpolate" w is the target of both, which for BCE is
    w·BCE(object) + (1 - w)·BCE(background); under "scale" a pixel's part in each of their sums is multiplied by w. BCE
    is divided by the number of pixels, as without weights. Dice, a ratio of sums, is no straight line in w.
    """

    overlap: bool
    bcedice_loss: Any

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._stock_semantic, self.bcedice_loss = self.bcedice_loss, self._semantic_losses
        self._of_pixels: torch.Tensor | None = None  # (images, height, width), 1 where no mask is

    def calculate_segmentation_loss(self, *args: Any, **settings: Any) -> torch.Tensor:
        """Sum the mask terms image by image, each with the weights of its matched anchors."""
        self._of_masks: Iterator[torch.Tensor] = iter(())
        self._of_pixels = None
        if self._of_rows is not None and self._of_locations is not None:
            given = signature(v8SegmentationLoss.calculate_segmentation_loss).bind(self, *args, **settings).arguments
            images = zip(self._of_locations, given["fg_mask"], strict=True)
            self._of_masks = iter([weights[is_matched] for weights, is_matched in images if is_matched.any()])
            rows = [given["batch_idx"].view(-1) == image for image in range(len(self._of_locations))]
            numbers = given["masks"] if self.overlap else [_smallest(given["masks"][of_image]) for of_image in rows]
            of_objects = [F.pad(self._of_rows[of_image], (1, 0), value=1.0) for of_image in rows]
            of_pixels = [each[shown.long()] for each, shown in zip(of_objects, numbers, strict=True)]
            self._of_pixels = torch.stack(of_pixels)
        return super().calculate_segmentation_loss(*args, **settings)

    def single_mask_loss(self, *args: Any, **settings: Any) -> torch.Tensor:  # type: ignore[override, unused-ignore]
        """Sum the mask terms of one image, each divided by its box's area and so multiplied by its weight."""
        call = signature(v8SegmentationLoss.single_mask_loss).bind(*args, **settings)
        weights = next(self._of_masks, None)
        if weights is not None:
            call.arguments["area"] = call.arguments["area"] / weights
        return v8SegmentationLoss.single_mask_loss(*call.args, **call.kwargs)

    def _semantic_losses(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute BCE and Dice of (B, classes, H, W), a pixel's part in them weighted."""
        if self._of_pixels is None or not self._of_pixels.ne(1).any():  # gradients to the bit, then
            return self._stock_semantic(pred, target)
        weights = self._of_pixels.unsqueeze(1).to(target)
        if self.rule == "interpolate":
            return self._stock_semantic(pred, target * weights)
        weights = F.interpolate(weights, pred.shape[-2:], mode="nearest").expand_as(pred)
        with WeightedSums(weights, times=4):  # BCE's mean; Dice's intersection and two areas
            return self._stock_semantic(pred, target)


def _smallest(masks: torch.Tensor) -> torch.Tensor:
    """Return the number, from 1, of the smallest object (N, H, W) at each pixel; 0 where there is none."""
    numbers = masks.new_zeros(masks.shape[1:])
    for index in masks.flatten(1).sum(1).argsort(stable=True).flip(0).tolist():  # among equals, the first is above
        numbers[masks[index] != 0] = index + 1
    return numbers


class WeightedSegmentationLoss26(WeightedSegmentationLoss, SegmentLoss26):  # type: ignore[misc, unused-ignore]
    """The same for YOLO26."""


class WeightedOBBLoss(_Weighted, v8OBBLoss):  # type: ignore[misc, unused-ignore]
    """Ultralytics' loss for oriented boxes, weighted as `WeightedDetectionLoss`, the angle term as the box terms."""

    def calculate_angle_loss(
        self, pred_bboxes: Any, target_bboxes: Any, fg_mask: torch.Tensor, weight: torch.Tensor, *args: Any, **rest: Any
    ) -> torch.Tensor:
        """Sum the angle terms, whose factor is the target score, which under "scale" lacks the weight as yet."""
        if self.rule == "scale" and self._of_locations is not None:
            weight = weight * self._of_locations[fg_mask]
        return super().calculate_angle_loss(pred_bboxes, target_bboxes, fg_mask, weight, *args, **rest)


def weighted_criterion(model: Any, rule: str = "interpolate") -> Any:
    """Return the weighted counterpart of a model's loss, for trainers other than `mixup_trainer`'s.

    Args:
        model: Ultralytics' `DetectionModel`, with its `args` set; YOLO26's end-to-end head included, whose two
            branches are both weighted; `SegmentationModel`, `OBBModel`, `RTDETRDetectionModel`.
        rule: "interpolate" or "scale", as `WeightedDetectionLoss` has them.

    Returns:
        What to set as `model.criterion`; it continues where the model's own one is. RT-DETR's wants its weights before
        each batch (`WeightedRTDETRLoss`); the others find them in the batch.

    Raises:
        ArgumentError: The model's loss is another one, or `rule` is.

    Examples:
        ```python
        model.criterion = weighted_criterion(model, rule="scale")
        ```
    """
    stock = getattr(model, "criterion", None) or model.init_criterion()
    if isinstance(stock, E2ELoss) and type(stock.one2many) in _WEIGHTED:
        weighted = E2ELoss(model, partial(_WEIGHTED[type(stock.one2many)], rule=rule))
        vars(weighted).update({name: value for name, value in vars(stock).items() if isinstance(value, int | float)})
        return weighted
    if type(stock) in _WEIGHTED:
        return _WEIGHTED[type(stock)](model, rule=rule)
    if isinstance(stock, RTDETRDetectionLoss) and stock.vfl is not None:
        return WeightedRTDETRLoss(stock.nc, rule=rule)
    raise ArgumentError(
        "model must be a YOLO or RT-DETR model for boxes, oriented boxes or masks, got one whose loss is "
        f"{type(stock).__name__}"
    )


_WEIGHTED = {
    v8DetectionLoss: WeightedDetectionLoss,
    v8SegmentationLoss: WeightedSegmentationLoss,
    SegmentLoss26: WeightedSegmentationLoss26,
    v8OBBLoss: WeightedOBBLoss,
}
_WEIGHTED |= {weighted: weighted for weighted in _WEIGHTED.values()}  # to replace one by another rule's
