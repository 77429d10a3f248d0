"""Instance masks between Ultralytics, which holds polygons, and pipelines, which take and return pixels."""

from typing import Any

import cv2
import numpy as np
from ultralytics.data.augment import Format, LetterBox
from ultralytics.data.utils import polygons2masks

from alb_mixup.errors import SampleError

INDEX_FIELD = "mask_index"


def drawn(segments: Any, size: tuple[int, int]) -> Any:
    """Draw each of N polygons, (N, P, 2) in pixels, as a mask: uint8 (N, H, W), 0 and 1."""
    masks = polygons2masks(size, segments, color=1, downsample_ratio=1) if len(segments) else []
    return np.array(masks, np.uint8).reshape(-1, *size)


def of_boxes(out: dict[str, Any]) -> list[Any]:
    """Return the mask of each box that a pipeline has left, in the boxes' order.

    Raises:
        SampleError: Boxes were dropped, and nothing tells whose the masks are.
    """
    masks, count = list(out["masks"]), len(out["bboxes"])
    if INDEX_FIELD in out:
        return [masks[int(index)] for index in out[INDEX_FIELD]]
    if len(masks) != count:
        raise SampleError(
            f"masks must be one for each of {count} boxes, got {len(masks)}: the pipeline drops boxes, and "
            f"Albumentations drops no masks; list {INDEX_FIELD!r} in BboxParams(label_fields=...) and in "
            "MixUp(index_fields=...)"
        )
    return masks


class MaskLetterBox:
    """Letterboxes the masks of a sample as Ultralytics' `LetterBox` is going to letterbox its image.

    Args:
        new_shape: (height, width), or both in one.
    """

    def __init__(self, new_shape: Any) -> None:
        self.new_shape = new_shape

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Return the labels with their masks so large as the image is going to be."""
        shape = labels.get("rect_shape", self.new_shape)
        letterbox = LetterBox(new_shape=shape, padding_value=0, interpolation=cv2.INTER_NEAREST)
        return labels | {"pixel_masks": [letterbox(image=mask) for mask in labels["pixel_masks"]]}


class MaskFormat(Format):  # type: ignore[misc, unused-ignore]
    """Ultralytics' last step, with masks that are pixels already.

    Where masks overlap, the smaller one lies above, and boxes are put in the order of their masks; so are weights.
    """

    def apply_instances(self, labels: dict[str, Any], params: Any = None) -> Any:
        """Make tensors of boxes, classes and masks."""
        self._masks: list[Any] = labels.pop("pixel_masks")
        self._order: Any = []
        labels = super().apply_instances(labels, params)
        if len(self._order):
            labels["weights"] = labels["weights"][self._order]
        return labels

    def _format_segments(self, instances: Any, cls: Any, w: int, h: int) -> Any:
        size = (w // self.mask_ratio, h // self.mask_ratio)
        masks = np.stack([cv2.resize(np.ascontiguousarray(mask), size).reshape(size[::-1]) for mask in self._masks])
        if not self.mask_overlap:
            return masks, instances, cls
        self._order = order = np.argsort(-masks.sum((1, 2), dtype=np.int64), kind="stable")
        numbers = np.zeros(size[::-1], np.int32 if len(masks) > 255 else np.uint8)
        for number, index in enumerate(order, start=1):
            numbers[masks[index] > 0] = number
        return numbers[None], instances[order], cls[order]
