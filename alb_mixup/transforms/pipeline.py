"""The stock pipeline around MixUp."""

from collections.abc import Sequence
from typing import Any

import albumentations as A


def detection_pipeline(transforms: Sequence[Any], bbox_format: str, seed: int | None = None) -> A.Compose:
    """Build the stock pipeline for samples of this package's datasets.

    Args:
        transforms: Albumentations transforms.
        bbox_format: Format of the boxes in and out.
        seed: Seed of the pipeline's randomness.

    Returns:
        `A.Compose` with the label fields `labels` and `mixup_weight`; its transforms remember the last record
        (`get_applied_params()`).
    """
    return A.Compose(
        list(transforms),
        bbox_params=A.BboxParams(bbox_format, label_fields=["labels", "mixup_weight"]),
        seed=seed,
        save_applied_params=True,
    )
