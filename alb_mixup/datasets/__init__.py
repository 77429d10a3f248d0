"""Readers of labelled image datasets, each a sequence of samples for `A.Compose`."""

from alb_mixup.datasets._open import open_dataset
from alb_mixup.datasets._sample import sample_dataset
from alb_mixup.datasets._spec import buildable, from_spec
from alb_mixup.datasets.base import DetectionDataset
from alb_mixup.datasets.cached import CachedDataset
from alb_mixup.datasets.coco import CocoDataset
from alb_mixup.datasets.disk import DiskCache
from alb_mixup.datasets.pseudo import PseudoLabelDataset
from alb_mixup.datasets.recent import RecentSamples
from alb_mixup.datasets.voc import VocDataset
from alb_mixup.datasets.yolo import YoloDataset

__all__ = [
    "CachedDataset",
    "CocoDataset",
    "DetectionDataset",
    "DiskCache",
    "PseudoLabelDataset",
    "RecentSamples",
    "VocDataset",
    "YoloDataset",
    "buildable",
    "from_spec",
    "open_dataset",
    "sample_dataset",
]
