"""Ultralytics' RT-DETR loss, in which each box has a weight."""

from types import SimpleNamespace
from typing import Any

import torch
from torch.nn import functional as F
from ultralytics.models.utils.loss import DETRLoss, RTDETRDetectionLoss
from ultralytics.utils.loss import VarifocalLoss
from ultralytics.utils.metrics import bbox_iou

from alb_mixup.integrations._rebinding import with_names
from alb_mixup.integrations._weighting import check_one_each, checked_rule, warn_without_weights


class WeightedRTDETRLoss(RTDETRDetectionLoss):  # type: ignore[misc, unused-ignore]
    """Ultralytics' RT-DETR loss, each box's terms weighted by `weights`.

    Boxes are matched to queries as without weights, in each decoder layer, in the encoder and among denoising queries.
    With w the weight of the box that a query was matched to, and VFL its varifocal loss over all classes, as an object
    or as background, the query has

    | | class term | box terms (L1, GIoU) | w = 0 |
    |---|---|---|---|
    | "interpolate" | w·VFL(object) + (1 - w)·VFL(background) | × w | background |
    | "scale" | w·VFL(object) | × w | ignored: no gradient |

    Queries without a box are background, of weight 1. All terms are divided by what they are divided by in the stock
    loss, the number of boxes: the loss is linear in each weight. With all weights 1, or `weights` None, both are the
    stock loss and its gradients to the bit. The weight of a box in VFL is its IoU; a query's noisy class or box is
    drawn as without weights.

    Ultralytics' `RTDETRDetectionModel.loss` hands no weights to its criterion: set `criterion.weights` before each
    batch, as `mixup_trainer` does.

    Sources: VarifocalNet, arXiv 2008.13367; DETRs Beat YOLOs on Real-time Object Detection, arXiv 2304.08069.

    Args:
        nc: How many classes there are.
        rule: "interpolate" or "scale".

    Attributes:
        weights: One for each row, float32 (N,), of the batch, in its order; None: all 1.

    Raises:
        ArgumentError: `rule` is another one.
        SampleError: On a call, `weights` are not one for each box.

    Warns:
        MissingWeightsWarning: Once, when it is trained without `weights`.

    Examples:
        ```python
        model.criterion = WeightedRTDETRLoss(model.nc, rule="scale")
        model.criterion.weights = batch["weights"]
        loss, items = model.loss(batch)
        ```
    """

    def __init__(self, nc: int, *, rule: str = "interpolate") -> None:
        self.vfl: Any
        super().__init__(nc=nc, use_vfl=True)
        self.vfl = _WeightedVarifocalLoss(self.vfl, checked_rule(rule))
        self.weights: torch.Tensor | None = None
        self._matched: Any = None

    @property
    def rule(self) -> str:
        """What a weight means to the class term."""
        return str(self.vfl.rule)

    def forward(self, preds: Any, batch: Any, *args: Any, **settings: Any) -> Any:
        """Compute the loss of a batch, as `RTDETRDetectionLoss` does."""
        if self.weights is None:
            warn_without_weights(self, [{}], "mixup_trainer, which sets criterion.weights before each batch")
        else:
            check_one_each(self.weights, batch["bboxes"])
        return super().forward(preds, batch, *args, **settings)

    def _get_index(self, match_indices: Any) -> Any:
        """Keep which query of which image, (images, queries), was matched to which box."""
        self._matched = super()._get_index(match_indices)
        return self._matched

    def _get_loss_class(self, pred_scores: torch.Tensor, *args: Any, **settings: Any) -> Any:
        self.vfl.weights = None
        if self.weights is not None:
            queries, boxes = self._matched
            of_queries = torch.ones(pred_scores.shape[:2], device=pred_scores.device)
            of_queries[queries] = self.weights.to(of_queries)[boxes.to(of_queries.device)]
            self.vfl.weights = of_queries
        return super()._get_loss_class(pred_scores, *args, **settings)

    def _get_loss_bbox(self, pred_bboxes: torch.Tensor, *args: Any, **settings: Any) -> Any:
        if self.weights is None or not len(pred_bboxes):
            return super()._get_loss_bbox(pred_bboxes, *args, **settings)
        _, boxes = self._matched
        weights = self.weights.to(pred_bboxes)[boxes.to(pred_bboxes.device)].unsqueeze(-1)

        def weighted_l1(found: torch.Tensor, wanted: torch.Tensor, **reduction: Any) -> torch.Tensor:
            return F.l1_loss(found * weights, wanted * weights, **reduction)

        def weighted_iou(*boxes: torch.Tensor, **kind: Any) -> torch.Tensor:
            return 1.0 - weights * (1.0 - bbox_iou(*boxes, **kind))  # of which the loss takes 1 - IoU

        stock = with_names(DETRLoss._get_loss_bbox, F=SimpleNamespace(l1_loss=weighted_l1), bbox_iou=weighted_iou)
        return stock(self, pred_bboxes, *args, **settings)


class _WeightedVarifocalLoss(VarifocalLoss):  # type: ignore[misc, unused-ignore]
    """Varifocal loss with a weight for each location, (images, queries)."""

    def __init__(self, stock: VarifocalLoss, rule: str) -> None:
        super().__init__(stock.gamma, stock.alpha)
        self.rule = rule
        self.weights: torch.Tensor | None = None

    def forward(self, pred_score: torch.Tensor, gt_score: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compute the sum over all locations and classes, each location's terms weighted."""
        if self.weights is None:
            return super().forward(pred_score, gt_score, label)
        loss = self._times(self.weights)(self, pred_score, gt_score, label)
        if self.rule == "interpolate":
            as_background = self._times(1 - self.weights)
            loss = loss + as_background(self, pred_score, torch.zeros_like(gt_score), torch.zeros_like(label))
        return loss

    @staticmethod
    def _times(weights: torch.Tensor) -> Any:
        """Return the stock computation, whose elements are multiplied by weights before they are summed."""

        def weighted(*args: torch.Tensor, **settings: Any) -> torch.Tensor:
            return F.binary_cross_entropy_with_logits(*args, **settings) * weights.unsqueeze(-1)

        names = SimpleNamespace(binary_cross_entropy_with_logits=weighted)
        return with_names(VarifocalLoss.forward, F=names)
