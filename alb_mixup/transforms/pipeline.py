"""The pipeline around MixUp."""

from collections.abc import Iterator, Sequence
from typing import Any

import albumentations as A

from alb_mixup import _backend
from alb_mixup.transforms.mixup import MixUp


def detection_pipeline(
    transforms: Sequence[Any],
    bbox_format: str,
    seed: int | None = None,
    label_fields: Sequence[str] = ("labels", "mixup_weight"),
    keypoint_fields: Sequence[str] | None = None,
) -> A.Compose:
    """Build the stock pipeline for samples of this package's datasets.

    Args:
        transforms: Albumentations transforms.
        bbox_format: Format of the boxes in and out.
        seed: Seed of the pipeline's randomness.
        label_fields: Names of what each box has one value of.
        keypoint_fields: Names of what each keypoint has one value of; None: samples have no keypoints.

    Returns:
        `A.Compose`, whose transforms remember the last record (`get_applied_params()`).
    """
    return _backend.compose(
        transforms,
        bbox_params=A.BboxParams(bbox_format, label_fields=list(label_fields)),
        keypoint_params=None if keypoint_fields is None else _backend.keypoint_params(keypoint_fields),
        seed=seed,
        save_applied_params=True,
    )


def mixups_of(transform: Any) -> Iterator[MixUp]:
    """Find the MixUps at or below a transform, in the order in which they stand."""
    if isinstance(transform, MixUp):
        yield transform
    for child in getattr(transform, "transforms", ()):
        yield from mixups_of(child)
