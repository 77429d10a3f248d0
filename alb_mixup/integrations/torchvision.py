"""torchvision: Faster R-CNN's losses of regions, with the boxes' weights.

```python
weight_loss(model)  # fasterrcnn_*, and the box head of maskrcnn_* and keypointrcnn_*
for images, targets in DataLoader(data, collate_fn=TorchvisionCollate(dataset.classes), ...):
    losses = model(images, targets)
```

A region's cross-entropy and its box term are multiplied by the weight of the box that it was matched to; background
regions stay at 1. What normalizes them, the number of sampled regions, and their sampling and matching know no
weights; so does the region proposal network, for which every box is a whole one, and the masks and keypoints. With all
weights 1, or none given, losses are the stock ones to the bit.

The other detectors of torchvision (RetinaNet, FCOS, SSD) take hard labels alone: see `alb_mixup.integrations.torch`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss

from alb_mixup.errors import ArgumentError
from alb_mixup.integrations._rebinding import with_names


def weight_loss(model: Any) -> None:
    """Let a model's region losses read `weights` from its targets; see this module for what is weighted.

    Args:
        model: A Faster, Mask or Keypoint R-CNN of torchvision. Its targets are dicts of `boxes`, `labels` and `weights`
            float (N,); without `weights`, all are 1.

    Raises:
        ArgumentError: Its `roi_heads` are not the stock ones, or weighted already.
        InstallationError: This version of torchvision computes its losses in another way.
    """
    with_names(RoIHeads.forward, fastrcnn_loss=fastrcnn_loss)  # so that an unknown version is found before the training
    heads = getattr(model, "roi_heads", None)
    if type(heads) is not RoIHeads:
        raise ArgumentError(f"model must have torchvision's RoIHeads as roi_heads, got {type(heads)}")
    heads.__class__ = _WeightedRoIHeads


class _WeightedRoIHeads(RoIHeads):  # type: ignore[misc, unused-ignore]
    def forward(self, features: Any, proposals: Any, image_shapes: Any, targets: Any = None) -> Any:
        stock = with_names(RoIHeads.forward, fastrcnn_loss=self._weighted_loss)
        return stock(self, features, proposals, image_shapes, targets)

    def select_training_samples(self, proposals: Any, targets: Any) -> Any:
        proposals, matched, labels, regression_targets = super().select_training_samples(proposals, targets)
        weights = [
            target["weights"][chosen].where(of_regions > 0, 1.0)
            if len(target.get("weights", ()))
            else torch.ones(len(chosen), device=chosen.device)
            for target, chosen, of_regions in zip(targets, matched, labels, strict=True)
        ]
        self._weights = torch.cat(weights)
        return proposals, matched, labels, regression_targets

    def _weighted_loss(
        self, logits: torch.Tensor, regression: torch.Tensor, labels: Sequence[Any], targets: Sequence[Any]
    ) -> tuple[Any, Any]:
        """Sum the stock loss of the regions of each weight; both of its terms are divided by the number of regions."""
        weights, all_labels, all_targets = self._weights, torch.cat(labels), torch.cat(targets)
        parts = []
        for weight in weights.unique():  # few: one for each image of a mix
            rows = weights == weight
            part = fastrcnn_loss(logits[rows], regression[rows], [all_labels[rows]], [all_targets[rows]])
            share = weight * (rows.sum() / len(rows))
            parts.append([term * share for term in part])
        class_terms, box_terms = zip(*parts, strict=True)
        return sum(class_terms), sum(box_terms)
