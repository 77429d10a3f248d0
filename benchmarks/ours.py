"""Our cases, and the floors below them."""

from typing import Any

import albumentations as A
import cv2
import numpy as np

from alb_mixup import MixUp
from alb_mixup.functional.blend import blend
from alb_mixup.functional.weights import join_weighted_rows
from benchmarks.harness import SIDE, Case, sample


def compose(*transforms: Any) -> A.Compose:
    """Return the stock pipeline of two label fields."""
    return A.Compose(list(transforms), bbox_params=A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"]))


def mixup_case(n_boxes: int, side: int = SIDE) -> Case:
    """MixUp alone in a Compose, an in-memory reference of the same size and as many boxes."""
    pipeline, primary = compose(MixUp([sample(n_boxes, side, seed=1)], p=1.0)), sample(n_boxes, side)
    return lambda: pipeline(**primary)


def noop_case(n_boxes: int) -> Case:
    """A Compose that does nothing."""
    pipeline, primary = compose(A.NoOp(p=1.0)), sample(n_boxes)
    return lambda: pipeline(**primary)


class _Unchecked(A.DualTransform):  # type: ignore[misc, unused-ignore]
    """The least that a transform could do: `cv2.addWeighted`, and rows appended that are ready to be."""

    _targets = A.HorizontalFlip._targets

    def __init__(self, other: Any) -> None:
        super().__init__(p=1.0)
        self.other = other

    def apply(self, img: Any, **_: Any) -> Any:
        return cv2.addWeighted(img, 0.6, self.other, 0.4, 0.0)

    def apply_to_bboxes(self, bboxes: Any, **_: Any) -> Any:
        return np.concatenate([bboxes, bboxes])


def floor_case(n_boxes: int) -> Case:
    """The least that a transform of both images' boxes costs in a Compose."""
    pipeline, primary = compose(_Unchecked(sample(n_boxes, seed=1)["image"])), sample(n_boxes)
    return lambda: pipeline(**primary)


def direct_case(n_boxes: int) -> Case:
    """Our functional kernels on arrays: λ drawn, pixels blended, rows joined and weighed; no checks, no Compose."""
    parts = [sample(n_boxes, seed=seed) for seed in (0, 1)]
    rows = [
        np.hstack([part["bboxes"], np.zeros((n_boxes, 1), np.float32), part["mixup_weight"][:, None]]) for part in parts
    ]
    generator = np.random.default_rng(0)

    def call() -> Any:
        ratio = generator.beta(1.5, 1.5)
        return blend(parts[0]["image"], parts[1]["image"], ratio), join_weighted_rows(*rows, -1, ratio)

    return call


def blend_case(_: int = 0, side: int = SIDE) -> Case:
    """`cv2.addWeighted`, nothing else."""
    image, other = sample(0, side)["image"], sample(0, side, seed=1)["image"]
    return lambda: cv2.addWeighted(image, 0.6, other, 0.4, 0.0)


KERNELS, INSIDE, NOOP, BLEND = (
    "ours, functional kernels",
    "ours, MixUp inside Compose",
    "A.Compose([A.NoOp()])",
    "cv2.addWeighted",
)
OURS = {KERNELS: direct_case, INSIDE: mixup_case, NOOP: noop_case, BLEND: blend_case}
