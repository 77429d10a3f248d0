"""The detectors of Ultralytics, for the documentation's table; their losses are in test_ultralytics*.py.

They are not in the table of tests: what their class and box terms are divided by follows from the scores, and so, with
"interpolate", from the weights.
"""

import copy
import os
import tempfile

os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="yolo-config-"))
os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}

import torch
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import (
    DetectionModel,
    OBBModel,
    PoseModel,
    RTDETRDetectionModel,
    SegmentationModel,
)

from alb_mixup.integrations.ultralytics import weighted_criterion
from tests.integrations.detectors.table import Detector
from tests.support.rtdetr import TINY_RTDETR


class OfUltralytics(Detector):
    """A model of Ultralytics and its batch, a dict of the rows of all images."""

    framework = "ultralytics"
    in_table_of_tests = False

    def batch(self):
        masks = torch.zeros(2, 16, 16)
        masks[0, 3:9, 3:9], masks[0, 8:14, 6:12], masks[1, 4:10, 4:12] = 1, 2, 1
        bboxes = torch.tensor([[0.4, 0.4, 0.4, 0.4], [0.6, 0.7, 0.4, 0.4], [0.5, 0.45, 0.5, 0.4]])
        if self.build is yolo11_obb:
            bboxes = torch.cat([bboxes, torch.tensor([[0.1], [0.5], [0.7]])], 1)
        return {
            "img": torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)),
            "batch_idx": torch.tensor([0.0, 0, 1]),
            "cls": torch.tensor([[0.0], [1], [2]]),
            "bboxes": bboxes,
            "masks": masks,
            "sem_masks": torch.zeros(2, 16, 16),
            "weights": torch.ones(3),
        }

    def targets(self, batch):
        return [batch]

    def weight(self, model, rule):
        model.criterion = weighted_criterion(model, rule)

    def losses(self, model, batch):
        if hasattr(model, "criterion") and isinstance(model, RTDETRDetectionModel):
            model.criterion.weights = batch["weights"]
        total, terms = model.loss(batch)
        return total.sum(), dict(enumerate(terms))


def _model(kind, config):
    model = kind(copy.deepcopy(config), nc=3, verbose=False)
    model.args, model.nc = get_cfg(), 3
    return model


def yolo11():
    return _model(DetectionModel, "yolo11n.yaml")


def yolo26():
    return _model(DetectionModel, "yolo26n.yaml")


def yolo11_segment():
    return _model(SegmentationModel, "yolo11n-seg.yaml")


def yolo26_segment():
    return _model(SegmentationModel, "yolo26n-seg.yaml")


def yolo11_obb():
    return _model(OBBModel, "yolo11n-obb.yaml")


def rt_detr():
    return _model(RTDETRDetectionModel, TINY_RTDETR)


DETECTORS = [
    OfUltralytics("YOLO11 and other detection", yolo11, terms=()),
    OfUltralytics("YOLO26, end to end", yolo26, terms=()),
    OfUltralytics("YOLO11 segmentation", yolo11_segment, terms=()),
    OfUltralytics("YOLO26 segmentation", yolo26_segment, terms=()),
    OfUltralytics("YOLO oriented boxes", yolo11_obb, terms=()),
    OfUltralytics("RT-DETR", rt_detr, terms=()),
]
REFUSED = [("YOLO pose", lambda: weighted_criterion(_model(PoseModel, "yolo11n-pose.yaml")))]
