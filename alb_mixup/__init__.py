"""MixUp for object detection as an Albumentations transform, boxes and their weights included."""

# First, so that in our own program Ctrl-C is one line while all else is imported.
from alb_mixup._support import interrupt as _interrupt  # noqa: F401
from alb_mixup._version import __version__
from alb_mixup.datasets import (
    Background,
    CachedDataset,
    ClassWeights,
    CocoDataset,
    DiskCache,
    MosaicDataset,
    PseudoLabelDataset,
    RecentSamples,
    RepeatFactor,
    VocDataset,
    YoloDataset,
    open_dataset,
    sample_dataset,
)
from alb_mixup.generation.run import generate
from alb_mixup.transforms.mixup import MixUp
from alb_mixup.view.explorer import explore, mix_pair
from alb_mixup.view.pages import plot_samples
from alb_mixup.view.plot import plot
from alb_mixup.view.report import report

__all__ = [
    "Background",
    "CachedDataset",
    "ClassWeights",
    "CocoDataset",
    "DiskCache",
    "MixUp",
    "MosaicDataset",
    "PseudoLabelDataset",
    "RecentSamples",
    "RepeatFactor",
    "VocDataset",
    "YoloDataset",
    "__version__",
    "explore",
    "generate",
    "mix_pair",
    "open_dataset",
    "plot",
    "plot_samples",
    "report",
    "sample_dataset",
]

for _name in __all__:  # public names say where they are imported from, and files may move
    if _name != "__version__":
        globals()[_name].__module__ = __name__
