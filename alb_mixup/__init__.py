"""MixUp for object detection as an Albumentations transform, boxes and their weights included."""

from alb_mixup.datasets import (
    CachedDataset,
    CocoDataset,
    DiskCache,
    PseudoLabelDataset,
    RecentSamples,
    VocDataset,
    YoloDataset,
    open_dataset,
    sample_dataset,
)
from alb_mixup.explore import explore
from alb_mixup.generate import generate
from alb_mixup.mosaic import MosaicDataset
from alb_mixup.plot import plot
from alb_mixup.transform import MixUp

__all__ = [
    "CachedDataset",
    "CocoDataset",
    "DiskCache",
    "MixUp",
    "MosaicDataset",
    "PseudoLabelDataset",
    "RecentSamples",
    "VocDataset",
    "YoloDataset",
    "__version__",
    "explore",
    "generate",
    "open_dataset",
    "plot",
    "sample_dataset",
]

__version__ = "0.1.0"
