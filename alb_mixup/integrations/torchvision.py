"""The losses of torchvision's detectors, with the boxes' weights.

```python
weight_loss(model)  # fasterrcnn_*, maskrcnn_*, keypointrcnn_*, retinanet_*, fcos_*
for images, targets in DataLoader(data, collate_fn=TorchvisionCollate(dataset.classes), ...):
    losses = model(images, targets)
```

**What is weighted.** With w the weight of the box that a region or anchor is matched to: box, mask, keypoint and
centre-ness terms are multiplied by w; the class term is w · (its loss as an object) + (1 - w) · (its loss as
background) with `rule="interpolate"`, w · (its loss as an object) with `rule="scale"`. Background stays at 1. Matching
and sampling know no weights.

**What normalizes.** What the stock loss divides by, which no weight changes: the sampled regions of Faster R-CNN, the
matched regions of masks, the visible points of keypoints, the matched anchors of RetinaNet (of each image) and FCOS (of
the batch). With all weights 1, or none given, losses are the stock ones to the bit: it is the stock code that runs.

**What is not.** The region proposal network of the R-CNNs takes every box for a whole one: it proposes, the weighted
heads judge. SSD is refused: it picks its negatives by their loss, three for each match, so that w · background would
change which locations count. Train it with hard labels of boxes that can be seen:
`MixUp(dataset, ratio_range=(0.45, 0.55))`, or `MixUp(dataset, min_weight=0.3)`.

**torchvision.transforms.v2** after a pipeline: `tv_tensors.BoundingBoxes` and `Mask` are tensors, which the losses take
as they are, and transforms of v2 pass `weights` on untouched. `SanitizeBoundingBoxes` alone drops boxes, and with them
`labels` and masks. Tell it of the weights, or they are refused as too many:
`SanitizeBoundingBoxes(labels_getter=lambda pair: (pair[1]["labels"], pair[1]["weights"]))(image, target)`.
"""

from collections.abc import Sequence
from typing import Any

from alb_mixup.errors import ArgumentError
from alb_mixup.integrations._extras import needs

with needs("torchvision"):
    import torch
    from torchvision.models.detection.fcos import FCOSHead
    from torchvision.models.detection.retinanet import RetinaNetHead
    from torchvision.models.detection.roi_heads import (
        RoIHeads,
        fastrcnn_loss,
        keypointrcnn_loss,
        keypoints_to_heatmap,
        maskrcnn_loss,
    )
    from torchvision.models.detection.ssd import SSD

    from alb_mixup.integrations._rebinding import with_names
    from alb_mixup.integrations._weighting import WeightedSums, checked_rule, eagerly, warn_without_weights, weights_of

_COLLATE = "TorchvisionCollate"


def weight_loss(model: Any, rule: str = "interpolate") -> None:
    """Let a detector's losses read `weights` from its targets; see this module for what is weighted.

    Args:
        model: A Faster, Mask or Keypoint R-CNN, a RetinaNet or an FCOS of torchvision. Its targets are dicts of
            `boxes`, `labels` and `weights` float (N,) in [0, 1]; without `weights`, all are 1.
        rule: "interpolate": what is matched to a box is an object by w and background by 1 - w; "scale": its loss is
            multiplied by w.

    Raises:
        ArgumentError: It is another model, has heads of its own, or is weighted already; or there is no such rule.
        InstallationError: This version of torchvision computes its losses in another way.

    Warns:
        MissingWeightsWarning: Once, when targets that it is trained with have no weights.

    Examples:
        >>> from torchvision.models.detection import retinanet_resnet50_fpn
        >>> from alb_mixup.integrations.torchvision import weight_loss
        >>> model = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4)
        >>> weight_loss(model)
    """
    checked_rule(rule)
    if isinstance(model, SSD):
        raise ArgumentError(
            "model must not be SSD, which picks its negatives by their loss, got one: take Faster R-CNN, RetinaNet or "
            "FCOS, or train it with hard labels of boxes that can be seen, MixUp(dataset, ratio_range=(0.45, 0.55))"
        )
    heads: Any = getattr(model, "roi_heads", getattr(model, "head", None))
    if type(heads) not in _WEIGHTED:
        raise ArgumentError(
            "model must have torchvision's own heads of Faster, Mask or Keypoint R-CNN, RetinaNet or FCOS, got "
            f"{type(model).__name__} with {type(heads).__name__}: weight_loss goes once, before other changes; for "
            "heads of your own, weight your own loss"
        )
    if type(heads) is RoIHeads:
        _weighted_forward(heads)  # so that an unknown version is found before the training
    heads.__class__, heads.rule = _WEIGHTED[type(heads)], rule


class _WeightedRoIHeads(RoIHeads):  # type: ignore[misc, unused-ignore]
    rule: str

    def forward(self, features: Any, proposals: Any, image_shapes: Any, targets: Any = None) -> Any:
        if not self.training or targets is None:
            return super().forward(features, proposals, image_shapes, targets)
        return self._trained(features, proposals, image_shapes, targets)

    @eagerly
    def _trained(self, features: Any, proposals: Any, image_shapes: Any, targets: Any) -> Any:
        if weights_of(targets) is None:
            warn_without_weights(self, targets, _COLLATE)
            return super().forward(features, proposals, image_shapes, targets)
        return _weighted_forward(self)(self, features, proposals, image_shapes, targets)

    def select_training_samples(self, proposals: Any, targets: Any) -> Any:
        samples = super().select_training_samples(proposals, targets)
        _, matched, labels, _ = samples
        weights = weights_of(targets) or [target["boxes"].new_ones(len(target["boxes"])) for target in targets]
        self._weights = torch.cat([_of_locations(*each) for each in zip(weights, matched, labels, strict=True)])
        return samples

    def _regions(self, logits: Any, regression: Any, labels: Sequence[Any], goals: Sequence[Any]) -> tuple[Any, Any]:
        """Return the class and box terms of regions; a label of 0 is the background."""
        self._positive = self._weights[torch.cat(list(labels)) > 0]
        with WeightedSums(self._weights, self._positive, times=2):
            class_term, box_term = fastrcnn_loss(logits, regression, labels, goals)
        if self.rule == "interpolate":
            background = [torch.zeros_like(each) for each in labels]
            with WeightedSums(1 - self._weights, self._positive[:0], times=2):
                class_term = class_term + fastrcnn_loss(logits, regression, background, goals)[0]
        return class_term, box_term

    def _masks(self, *args: Any) -> Any:
        """Return the mask term of matched regions."""
        with WeightedSums(self._positive):
            return maskrcnn_loss(*args)

    def _keypoints(self, logits: Any, *args: Any) -> Any:
        """Return the term of the visible points of matched regions."""
        visible: list[Any] = []

        def recorded(*args: Any) -> Any:
            heatmaps, valid = keypoints_to_heatmap(*args)
            visible.append(valid.bool().flatten())
            return heatmaps, valid

        stock = with_names(keypointrcnn_loss, keypoints_to_heatmap=recorded)(logits, *args)
        weights = self._positive.repeat_interleave(logits.shape[1])[torch.cat(visible)]
        if not len(weights):
            return stock
        with WeightedSums(weights):
            return keypointrcnn_loss(logits, *args)


def _weighted_forward(heads: Any) -> Any:
    """Return the stock forward of R-CNN heads with weighted losses in it."""
    losses = {
        f"{name}rcnn_loss": getattr(heads, f"_{kind}", None)
        for name, kind in (("fast", "regions"), ("mask", "masks"), ("keypoint", "keypoints"))
    }
    return with_names(RoIHeads.forward, **losses)


class _WeightedRetinaNetHead(RetinaNetHead):  # type: ignore[misc, unused-ignore]
    rule: str

    @eagerly
    def compute_loss(self, targets: Any, head_outputs: Any, anchors: Any, matched_idxs: Any) -> dict[str, torch.Tensor]:
        """Average both terms of the images; -1 is background, -2 is between the thresholds."""
        weights = weights_of(targets)
        if weights is None:
            warn_without_weights(self, targets, _COLLATE)
            stock: dict[str, torch.Tensor] = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
            return stock
        sums: dict[str, Any] = {"classification": 0, "bbox_regression": 0}
        for i, (target, matched) in enumerate(zip(targets, matched_idxs, strict=True)):
            outputs = {key: value[i : i + 1] for key, value in head_outputs.items()}
            of_anchors = _of_locations(weights[i], matched, matched + 1)
            found, judged = matched >= 0, matched != self.classification_head.BETWEEN_THRESHOLDS
            with WeightedSums(of_anchors[judged]):
                sums["classification"] += self.classification_head.compute_loss([target], outputs, [matched])
            with WeightedSums(of_anchors[found]):
                sums["bbox_regression"] += self.regression_head.compute_loss([target], outputs, [anchors[i]], [matched])
            if self.rule == "interpolate":
                with WeightedSums(1 - of_anchors[judged]):
                    term = self.classification_head.compute_loss([target], outputs, [matched.where(~found, -1)])
                sums["classification"] += term / max(1, int(found.sum()))
        return {key: value / len(targets) for key, value in sums.items()}


class _WeightedFCOSHead(FCOSHead):  # type: ignore[misc, unused-ignore]
    rule: str

    @eagerly
    def compute_loss(self, targets: Any, head_outputs: Any, anchors: Any, matched_idxs: Any) -> dict[str, torch.Tensor]:
        """Return the three terms; -1 is background."""
        stock, weights = super().compute_loss, weights_of(targets)
        if weights is None:
            warn_without_weights(self, targets, _COLLATE)
            plain: dict[str, torch.Tensor] = stock(targets, head_outputs, anchors, matched_idxs)
            return plain
        pairs = zip(weights, matched_idxs, strict=True)
        of_points = torch.stack([_of_locations(each, matched, matched + 1) for each, matched in pairs])
        found = torch.stack(list(matched_idxs)) >= 0
        with WeightedSums(of_points, of_points[found], times=3):
            terms: dict[str, torch.Tensor] = stock(targets, head_outputs, anchors, matched_idxs)
        if self.rule == "interpolate":
            nothing = [torch.full_like(matched, -1) for matched in matched_idxs]
            with WeightedSums(1 - of_points, of_points[:0, 0], times=3):
                background = stock(targets, head_outputs, anchors, nothing)["classification"]
            terms["classification"] = terms["classification"] + background / max(1, int(found.sum()))
        return terms


def _of_locations(weights: torch.Tensor, matched: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Return the weights of locations: of the boxes that they are matched to where `positive` > 0, 1 elsewhere."""
    found = positive > 0
    of_locations = torch.ones_like(found, dtype=torch.float32)
    of_locations[found] = weights[matched[found]].float()
    return of_locations


_WEIGHTED = {RoIHeads: _WeightedRoIHeads, RetinaNetHead: _WeightedRetinaNetHead, FCOSHead: _WeightedFCOSHead}
