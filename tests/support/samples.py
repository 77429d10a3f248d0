"""Tiny samples, references and pipelines."""

import copy
import inspect
import warnings
from collections.abc import Sequence

import albumentations as A
import numpy as np

from alb_mixup import MixUp

LABEL_FIELDS = ("labels", "mixup_weight")
HAS_ORIENTED_BOXES = "bbox_type" in inspect.signature(A.BboxParams).parameters
IS_X = HAS_ORIENTED_BOXES  # AlbumentationsX, whose behaviour differs from 2.0.8's where a test says so


class Reference(Sequence):
    """What a user may hand over: no list, no dataset of ours."""

    def __init__(self, samples, bbox_format=None):
        self.samples = samples
        self.drawn = []
        if bbox_format is not None:
            self.bbox_format = bbox_format

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        self.drawn.append(index)
        return self.samples[index]


class Flaky(Reference):
    """A reference some of whose files cannot be read."""

    def __init__(self, samples, unreadable):
        super().__init__(samples)
        self.unreadable = unreadable

    def __getitem__(self, index):
        if index in self.unreadable:
            raise OSError(f"cannot read {index}.png")
        return super().__getitem__(index)


def picture(seed=0, height=24, width=32, channels=3, dtype=np.uint8):
    """Noise in [0, 255] (uint8) or [0, 1) (float32); `channels=None` for (H, W)."""
    shape = (height, width) if channels is None else (height, width, channels)
    generator = np.random.default_rng(seed)
    if dtype == np.uint8:
        return generator.integers(0, 256, shape, dtype=np.uint8)
    return generator.random(shape).astype(dtype)


def sample(seed=0, labels=("cat", "dog"), height=24, width=32, **more):
    """A sample with one pascal_voc box for each label (two if None), as lists; `more` adds keys, None removes one."""
    count = 2 if labels is None else len(labels)
    boxes = [[1.0 + 2 * i, 2.0 + i, 11.0 + 2 * i, 14.0 + i] for i in range(count)]
    labels = list(labels) if isinstance(labels, tuple) else labels
    made = {"image": picture(seed, height, width), "bboxes": boxes, "labels": labels, "mixup_weight": [1.0] * count}
    return {key: value for key, value in (made | more).items() if value is not None}


def as_arrays(made):
    """The same sample with arrays for lists."""
    boxes = np.array(made["bboxes"], np.float32).reshape(-1, 4)
    weights = np.array(made["mixup_weight"], np.float32)
    return made | {"bboxes": boxes, "labels": np.array(made["labels"]), "mixup_weight": weights}


def pipeline(*transforms, label_fields=LABEL_FIELDS, bbox_format="pascal_voc", seed=0, **settings):
    """A stock pipeline."""
    params = A.BboxParams(bbox_format, label_fields=list(label_fields))
    return A.Compose(list(transforms), bbox_params=params, seed=seed, **settings)


def keypoint_params(keypoint_format="xy", label_fields=("parts",)):
    """KeypointParams; AlbumentationsX warns that labels without a mapping serve no purpose, but they do."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "label_fields are set but label_mapping is not provided")
        return A.KeypointParams(keypoint_format, label_fields=list(label_fields))


def mixing(reference, *, label_fields=LABEL_FIELDS, bbox_format="pascal_voc", **settings):
    """A pipeline of one MixUp that always applies, λ = 0.75 unless said otherwise."""
    settings = {"ratio_range": (0.75, 0.75), "p": 1.0} | settings
    return pipeline(MixUp(reference, **settings), label_fields=label_fields, bbox_format=bbox_format)


def record_of(transform):
    """The last record of a transform in a pipeline with `save_applied_params=True`."""
    return transform.get_applied_params()


def same(left, right):
    """Whether two samples are equal bit by bit, types included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def frozen(value):
    """A copy to compare with later."""
    return copy.deepcopy(value)
