"""One look at the call: which of its values are targets, of which kind, and how large its image is."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from alb_mixup._support.checks import checked_pixels
from alb_mixup.errors import SampleError

PIXEL_TARGETS = frozenset({"image", "images", "mask", "masks"})
ROW_TARGETS = {"bboxes": "bbox_params", "keypoints": "keypoint_params"}  # and the setting of A.Compose that they need
_UNSUPPORTED_TARGETS = frozenset({"volume", "volumes", "mask3d", "masks3d"})


class Primary:
    """What a call brings, looked at once in each hook.

    Args:
        data: The call's values.
        additional_targets: Kind of each additional target, by its key.

    Attributes:
        data: As given.
        kinds: Kind of each of the call's values that is not None, such as "bboxes", by its key; the key itself where it
            is no target.
    """

    def __init__(self, data: Mapping[str, Any], additional_targets: Mapping[str, str]) -> None:
        self.data = data
        self.kinds = {key: additional_targets.get(key, key) for key, value in data.items() if value is not None}

    @cached_property
    def hw(self) -> tuple[int, int]:
        """(height, width) of the image, in pixels.

        Raises:
            SampleError: No image came.
        """
        for key, kind in self.kinds.items():
            if kind in {"image", "images"}:
                height, width = checked_pixels(key, self.data[key] if kind == "image" else self.data[key][0]).shape[:2]
                return height, width
        raise SampleError(
            f"data must have an image for MixUp to blend, got {', '.join(self.data)}: call the pipeline with image= or "
            "images="
        )

    def keys(self, *kinds: str) -> list[str]:
        """Return the keys of targets of some kinds, in the order in which they came."""
        return [key for key, kind in self.kinds.items() if kind in kinds]

    def check_targets(self, processors: Mapping[str, Any]) -> None:
        """Refuse targets that cannot be mixed, and a call that lacks the pipeline's boxes or keypoints.

        Args:
            processors: The running pipeline's, by kind.

        Raises:
            SampleError: There is such a target.
        """
        refused = self.keys(*_UNSUPPORTED_TARGETS)
        if refused:
            raise SampleError(
                f"targets must be such as MixUp mixes: images, masks, bboxes and keypoints, got {', '.join(refused)}: "
                "apply it in a pipeline without them"
            )
        missing = [kind for kind in ROW_TARGETS if processors.get(kind) is not None and kind not in self.kinds]
        if missing:
            raise SampleError(
                f"data must have every target that the pipeline has settings for ({ROW_TARGETS[missing[0]]}), got no "
                f"{missing[0]!r}: give an empty one where there is nothing; A.SelectiveChannelTransform hands on the "
                "image alone, so put MixUp before or after it"
            )
