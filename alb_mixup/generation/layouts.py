"""The layouts that are written: what the readers of `alb_mixup.datasets` read."""

from typing import Any

from alb_mixup.generation.coco_layout import CocoLayout
from alb_mixup.generation.layout import Layout
from alb_mixup.generation.record import Annotated
from alb_mixup.generation.voc_layout import VocLayout
from alb_mixup.generation.yolo_layout import YoloLayout

LAYOUTS: dict[str, type[Layout]] = {"coco": CocoLayout, "yolo": YoloLayout, "voc": VocLayout}


def layout_of(samples: Annotated, output_format: str, val: Any, *, weights: bool, strict: bool) -> Layout:
    """Build the layout of a set.

    Args:
        samples: What is written, or what says the same of it.
        output_format: A key of `LAYOUTS`.
        val: Validation images, or None.
        weights: As for `Layout`.
        strict: As for `Layout`.

    Raises:
        ArgumentError: The layout cannot hold this.
    """
    return LAYOUTS[output_format](
        samples.classes,
        weights=weights,
        strict=strict,
        val=None if val is None else str(val),
        masks=samples.has_masks,
        keypoint_names=samples.keypoint_names,
        skeletons=samples.skeletons,
    )
