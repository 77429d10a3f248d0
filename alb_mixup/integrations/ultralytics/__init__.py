"""Ultralytics YOLO: training images go through your own `A.Compose`, and each box's weight reaches the loss."""

from alb_mixup.integrations._extras import needs

with needs("ultralytics"):
    from alb_mixup.integrations.ultralytics.detr import WeightedRTDETRLoss
    from alb_mixup.integrations.ultralytics.loss import (
        WeightedDetectionLoss,
        WeightedOBBLoss,
        WeightedSegmentationLoss,
        weighted_criterion,
    )
    from alb_mixup.integrations.ultralytics.trainer import MixUpTrainer, mixup_trainer

__all__ = [
    "MixUpTrainer",
    "WeightedDetectionLoss",
    "WeightedOBBLoss",
    "WeightedRTDETRLoss",
    "WeightedSegmentationLoss",
    "mixup_trainer",
    "weighted_criterion",
]
