"""Readers of labelled image datasets, each a sequence of samples for `A.Compose`."""

from alb_mixup.datasets.base import DetectionDataset
from alb_mixup.datasets.caches.cached import CachedDataset
from alb_mixup.datasets.caches.disk import DiskCache
from alb_mixup.datasets.caches.recent import RecentSamples
from alb_mixup.datasets.formats.coco import CocoDataset
from alb_mixup.datasets.formats.pseudo import PseudoLabelDataset
from alb_mixup.datasets.formats.voc import VocDataset
from alb_mixup.datasets.formats.yolo import YoloDataset
from alb_mixup.datasets.mosaic import MosaicDataset
from alb_mixup.datasets.open import open_dataset, sample_dataset
from alb_mixup.datasets.partner_weights import Background, ClassWeights, RepeatFactor
from alb_mixup.datasets.spec import from_spec

__all__ = [
    "Background",
    "CachedDataset",
    "ClassWeights",
    "CocoDataset",
    "DetectionDataset",
    "DiskCache",
    "MosaicDataset",
    "PseudoLabelDataset",
    "RecentSamples",
    "RepeatFactor",
    "VocDataset",
    "YoloDataset",
    "from_spec",
    "open_dataset",
    "sample_dataset",
]
