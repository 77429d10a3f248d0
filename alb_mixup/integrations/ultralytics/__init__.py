"""Ultralytics YOLO: training images go through your own `A.Compose`, and each box's weight reaches the loss."""

from alb_mixup.integrations.ultralytics.loss import WeightedDetectionLoss, weighted_criterion
from alb_mixup.integrations.ultralytics.trainer import MixUpTrainer, mixup_trainer

__all__ = ["MixUpTrainer", "WeightedDetectionLoss", "mixup_trainer", "weighted_criterion"]
