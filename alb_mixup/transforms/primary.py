"""One look at the call: which of its values are targets, of which kind, and how large its image is."""

from collections.abc import Callable, Container, Mapping
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
        find_processors: Finds the running pipeline's processors.

    Attributes:
        data: As given.
        kinds: Kind of each of the call's values that is not None, such as "bboxes", by its key; the key itself where it
            is no target.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        additional_targets: Mapping[str, str],
        find_processors: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.data, self._find_processors = data, find_processors
        # not cached properties, whose lock takes longer than what they keep
        self._processors: Mapping[str, Any] | None = None
        self._hw: tuple[int, int] | None = None
        self.kinds = {key: additional_targets.get(key, key) for key, value in data.items() if value is not None}

    @property
    def processors(self) -> Mapping[str, Any]:
        """The running pipeline's processors, by kind."""
        if self._processors is None:
            self._processors = self._find_processors()
        return self._processors

    @property
    def hw(self) -> tuple[int, int]:
        """(height, width) of the image, in pixels.

        Raises:
            SampleError: No image came.
        """
        if self._hw is not None:
            return self._hw
        for key, kind in self.kinds.items():
            if kind in {"image", "images"}:
                pixels = self.data[key] if kind == "image" else self.data[key][0]
                self._hw = checked_pixels(key, pixels).shape[:2]
                return self._hw
        raise SampleError(
            f"data must have an image for MixUp to blend, got {', '.join(self.data)}: call the pipeline with image= or "
            "images="
        )

    def keys(self, kinds: Container[str]) -> list[str]:
        """Return the keys of targets of some kinds, in the order in which they came."""
        return [key for key, kind in self.kinds.items() if kind in kinds]

    def check_targets(self) -> None:
        """Refuse targets that cannot be mixed, and a call that lacks the pipeline's boxes or keypoints.

        Raises:
            SampleError: There is such a target.
        """
        if not _UNSUPPORTED_TARGETS.isdisjoint(self.kinds.values()):
            refused = self.keys(_UNSUPPORTED_TARGETS)
            raise SampleError(
                f"targets must be such as MixUp mixes: images, masks, bboxes and keypoints, got {', '.join(refused)}: "
                "apply it in a pipeline without them"
            )
        missing = [kind for kind in self.processors if kind not in self.kinds]
        if missing:
            raise SampleError(
                f"data must have every target that the pipeline has settings for ({ROW_TARGETS[min(missing)]}), got no "
                f"{min(missing)!r}: give an empty one where there is nothing; A.SelectiveChannelTransform hands on the "
                "image alone, so put MixUp before or after it"
            )
