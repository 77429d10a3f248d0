"""One look at the call: which of its values are targets, of which kind, and how large its image is."""

from collections.abc import Mapping
from typing import Any

from alb_mixup._support.checks import checked_pixels
from alb_mixup.errors import SampleError

_IMAGES = frozenset({"image", "images"})
_PIXEL_TARGETS = _IMAGES | {"mask", "masks"}
ROW_TARGETS = {"bboxes": "bbox_params", "keypoints": "keypoint_params"}  # and the setting of A.Compose that they need
_UNSUPPORTED_TARGETS = frozenset({"volume", "volumes", "mask3d", "masks3d"})


class Primary:
    """What a call brings, looked at once.

    Args:
        data: The call's values.
        additional_targets: Kind of each additional target, by its key.
        processors: The running pipeline's processors, by kind.

    Attributes:
        data: A copy of `data`, which may come to hold this object.
        processors: As given.
        pixels: Kind of each image and mask, such as "masks", by its key, in the order in which they came.
        rows: Kind of the boxes and points, "bboxes" or "keypoints", by their keys.

    Raises:
        SampleError: A target cannot be mixed, or the pipeline's boxes or keypoints are missing.
    """

    def __init__(
        self, data: Mapping[str, Any], additional_targets: Mapping[str, str], processors: Mapping[str, Any]
    ) -> None:
        self.data, self.processors = dict(data), processors
        self.pixels: dict[str, str] = {}
        self.rows: dict[str, str] = {}
        for key, value in data.items():
            kind = additional_targets.get(key, key)
            if value is None:
                continue
            if kind in _PIXEL_TARGETS:
                self.pixels[key] = kind
            elif kind in ROW_TARGETS:
                self.rows[key] = kind
            elif kind in _UNSUPPORTED_TARGETS:
                raise SampleError(
                    f"targets must be such as MixUp mixes: images, masks, bboxes and keypoints, got {key}: apply it in "
                    "a pipeline without them"
                )
        if not processors.keys() <= self.rows.keys():
            missing = min(processors.keys() - self.rows.keys())
            raise SampleError(
                f"data must have every target that the pipeline has settings for ({ROW_TARGETS[missing]}), got no "
                f"{missing!r}: give an empty one where there is nothing; A.SelectiveChannelTransform hands on the "
                "image alone, so put MixUp before or after it"
            )

    @property
    def hw(self) -> tuple[int, int]:
        """(height, width) of the image, in pixels.

        Raises:
            SampleError: No image came.
        """
        for key, kind in self.pixels.items():
            if kind in _IMAGES:
                return checked_pixels(key, self.data[key] if kind == "image" else self.data[key][0]).shape[:2]
        raise SampleError(
            f"data must have an image for MixUp to blend, got {', '.join(self.data)}: call the pipeline with image= or "
            "images="
        )
