"""Reading one reference sample: each target in the pipeline's own terms, or an error that says what is wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from alb_mixup._support.checks import channels, checked_pixels, is_pixels
from alb_mixup.errors import SampleError
from alb_mixup.functional import Array

_DICTS = (dict, Mapping)  # in this order: to ask an abstract class takes longer
_IMAGE_DTYPES = (np.uint8, np.float32)


class ReferenceSample:
    """One reference sample, asked for its targets by the primary's.

    Args:
        sample: Dict shaped like the pipeline's own input; labels at the top level, or under `bbox_labels` and
            `keypoint_labels`.
        samples: What messages call the samples that it is one of, e.g. "reference".
        index: Its position there.
        hw: (height, width) of the whole image, which its annotations belong to, where `sample["image"]` may have fewer
            pixels; None: it is whole.

    Attributes:
        hw: (height, width) of the whole image.

    Raises:
        SampleError: It is no dict, or has no image.
    """

    def __init__(self, sample: Any, samples: str, index: int, hw: tuple[int, int] | None = None) -> None:
        self._sample, self._place = sample, (samples, index)
        if not isinstance(sample, _DICTS):
            raise SampleError(
                f"{self.where} must be a dict shaped like the pipeline's own input, got {type(sample).__name__}: wrap "
                "the dataset in one whose __getitem__ returns {'image': ..., 'bboxes': ..., and the label fields}"
            )
        self._image = self._array("image")
        self.hw: tuple[int, int] = self._image.shape[:2] if hw is None else (hw[0], hw[1])

    @property
    def where(self) -> str:
        """How messages call this sample, e.g. "reference[3]"."""
        return "{}[{}]".format(*self._place)

    @property
    def keys(self) -> str:
        """What the sample has, for messages."""
        return ", ".join(map(repr, self._sample))

    def find(self, key: str) -> Any:
        """Return a value of the sample, None where there is none."""
        return self._sample.get(key)

    def get(self, key: str) -> Any:
        """Return a target of the sample.

        Raises:
            SampleError: There is none.
        """
        value = self._sample.get(key)
        if value is None:
            raise SampleError(
                f"{self.where} must have every target of the primary, got no {key!r}: add it (an empty one where there "
                f"is nothing), or leave {key!r} out of the call; it has {self.keys}"
            )
        return value

    def image(self, key: str, like: Array) -> Array:
        """Return an image that can be blended with `like`: its dtype and its channels."""
        if like.dtype not in _IMAGE_DTYPES:
            raise SampleError(f"{key} must be uint8 or float32, got {like.dtype}: convert it before MixUp")
        if key not in {"image", "images"}:
            return self._alike(key, self._array(key), like)
        if self._image.shape == like.shape and self._image.dtype == like.dtype:
            return self._image
        return self._alike("image", self._image, like)

    def mask(self, key: str, like: Array) -> Array:
        """Return a semantic mask of `like`'s dtype and channels."""
        return self._alike(key, self._array(key), like)

    def masks(self, key: str, like: Any) -> Array:
        """Return instance masks as (N, H, W) or (N, H, W, C), as `like` has them; N may be 0."""
        value = self.get(key)
        if len(value) == 0:
            return np.zeros((0, *self.hw, *np.shape(like)[3:]), getattr(like, "dtype", np.uint8))
        try:
            masks = np.stack([np.asarray(mask) for mask in value])
        except ValueError as error:
            raise SampleError(f"{self.where}[{key!r}] must be masks of one shape: {error}") from error
        if len(like) == 0 and not isinstance(like, np.ndarray):
            return masks
        model = np.asarray(like[0]) if len(like) else np.empty(like.shape[1:], like.dtype)
        self._check_fit(key, masks[0], model)
        return masks.reshape(len(masks), *self.hw, *model.shape[2:])

    def _array(self, key: str) -> Array:
        """Return an image or mask: (H, W) or (H, W, C), no side empty."""
        value = self.get(key)
        return value if is_pixels(value) else checked_pixels(f"{self.where}[{key!r}]", value)

    def _alike(self, key: str, value: Array, like: Array) -> Array:
        self._check_fit(key, value, like)
        if value.ndim == like.ndim:
            return value
        return value.reshape(*value.shape[:2], *like.shape[2:])  # AlbumentationsX holds (H, W) as (H, W, 1)

    def _check_fit(self, key: str, value: Array, like: Array) -> None:
        if value.dtype != like.dtype:
            raise SampleError(
                f"{self.where}[{key!r}] must have the primary's dtype {like.dtype}, got {value.dtype}: convert one"
            )
        if value.shape[:2] != (self._image.shape[:2] if key == "image" else self.hw):
            raise SampleError(f"{self.where}[{key!r}] must be as large as its image {self.hw}, got {value.shape[:2]}")
        if channels(value.shape) != channels(like.shape):
            raise SampleError(
                f"{self.where}[{key!r}] must have the primary's {channels(like.shape)} channels, got "
                f"{channels(value.shape)}: convert one"
            )
