"""The partner: one drawn sample, each target in the pipeline's own terms, or an error that says what is wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from alb_mixup import _backend
from alb_mixup._support.checks import channels, checked_pixels, is_pixels
from alb_mixup.errors import SampleError
from alb_mixup.functional import Array

_DICTS = (dict, Mapping)  # in this order: to ask an abstract class takes longer
_IMAGE_DTYPES = (np.uint8, np.float32)


class Partner:
    """One drawn sample, asked for its targets by the primary's.

    Args:
        sample: Dict shaped like the pipeline's own input; labels at the top level, or under `bbox_labels` and
            `keypoint_labels`.
        where: What messages call the sample, e.g. "reference[3]".
        hw: (height, width) of the whole image, which its annotations belong to, where `sample["image"]` may have fewer
            pixels; None: it is whole.
        bbox_format: Format of its boxes; None: the pipeline's.

    Attributes:
        where: As given.
        bbox_format: As given.
        hw: (height, width) of the whole image.

    Raises:
        SampleError: It is not a dict, or has no image.
    """

    def __init__(self, sample: Any, where: str, hw: tuple[int, int] | None, bbox_format: str | None) -> None:
        self.where, self.bbox_format = where, bbox_format
        if not isinstance(sample, _DICTS):
            raise SampleError(
                f"{where} must be a dict shaped like the pipeline's own input, got {type(sample).__name__}: wrap the "
                "dataset in one whose __getitem__ returns {'image': ..., 'bboxes': ..., and the label fields}"
            )
        self._sample = _backend.without_tensors(sample, where)
        # a dataset of the user's may say it as a list
        self.hw: tuple[int, int] = self._size() if hw is None else (hw[0], hw[1])

    def _size(self) -> tuple[int, int]:
        image, clip = self._sample.get("image"), self._sample.get("images")
        if image is None and clip is not None and len(clip):
            image = clip[0]
        height, width = self._checked("image", self.get("image") if image is None else image).shape[:2]
        return height, width

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

    def several(self, key: str) -> Any:
        """Return a target of the sample that holds several images or masks.

        Raises:
            SampleError: There is none, or it is one thing.
        """
        value = self.get(key)
        if isinstance(value, str) or not hasattr(value, "__len__"):
            raise SampleError(
                f"{self.where}[{key!r}] must be an array or a list of arrays, got {type(value).__name__}: put one "
                "in a list"
            )
        return value

    def image(self, key: str, like: Array) -> Array:
        """Return an image that can be blended with `like`: its dtype and its channels."""
        _check_blendable(key, like)
        if key != "image":
            return self._alike(key, self._checked(key, self.get(key)), like, self.hw)
        image = self._sample.get("image")
        if image is None and self._sample.get("images") is not None:
            raise SampleError(
                f"{self.where} must have an 'image' for the primary's image, got a clip under 'images': draw partners "
                "from images, or give the primary as a clip of as many frames"
            )
        if isinstance(image, np.ndarray) and image.shape == like.shape and image.dtype == like.dtype:
            return image
        image = self._checked(key, self.get(key))
        return self._alike(key, image, like, image.shape[:2])

    def frames(self, key: str, still: str, like: Any, blendable: bool) -> list[Array]:
        """Return one image or mask for each frame of a clip: the frames of the partner's clip, or its image for all.

        Args:
            key: Target, such as "images".
            still: What serves for all frames where the partner has no clip, such as "image".
            like: (T, H, W) or (T, H, W, C), or a list of frames.
            blendable: Whether they are to be blended, which masks are not.
        """
        if not len(like):
            return []
        if blendable:
            _check_blendable(key, like[0])
        clip = self._sample.get(key)
        if clip is None and self._sample.get(still) is not None:
            image = self._checked(still, self.get(still))
            return [self._alike(still, image, like[0], image.shape[:2])] * len(like)
        clip = self.several(key)
        if len(clip) != len(like):
            raise SampleError(
                f"{self.where}[{key!r}] must have as many frames as the primary's {key}, {len(like)}, got {len(clip)}: "
                "cut one, or give an 'image' for all frames"
            )
        return [self._alike(key, self._checked(key, frame), like[0], self.hw) for frame in clip]

    def mask(self, key: str, like: Array) -> Array:
        """Return a semantic mask of `like`'s dtype and channels."""
        return self._alike(key, self._checked(key, self.get(key)), like, self.hw)

    def masks(self, key: str, like: Any) -> Array:
        """Return instance masks as (N, H, W) or (N, H, W, C), as `like` has them; N may be 0."""
        value = self.several(key)
        if len(value) == 0:
            return np.zeros((0, *self.hw, *np.shape(like)[3:]), getattr(like, "dtype", np.uint8))
        try:
            masks = np.stack([np.asarray(mask) for mask in value])
        except ValueError as error:
            raise SampleError(
                f"{self.where}[{key!r}] must be masks of one shape, got {error}: give (N, H, W) or a list of (H, W)"
            ) from error
        if len(like) == 0 and not isinstance(like, np.ndarray):
            return masks
        model = np.asarray(like[0]) if len(like) else np.empty(like.shape[1:], like.dtype)
        self._check_fit(key, masks[0], model, self.hw)
        return masks.reshape(len(masks), *self.hw, *model.shape[2:])

    def _checked(self, key: str, value: Any) -> Array:
        """Return an image or mask: (H, W) or (H, W, C), no side empty."""
        return value if is_pixels(value) else checked_pixels(f"{self.where}[{key!r}]", value)

    def _alike(self, key: str, value: Array, like: Array, hw: tuple[int, ...]) -> Array:
        self._check_fit(key, value, like, hw)
        if value.ndim == like.ndim:
            return value
        return value.reshape(*value.shape[:2], *like.shape[2:])  # AlbumentationsX holds (H, W) as (H, W, 1)

    def _check_fit(self, key: str, value: Array, like: Array, hw: tuple[int, ...]) -> None:
        if value.dtype != like.dtype:
            raise SampleError(
                f"{self.where}[{key!r}] must have the primary's dtype {like.dtype}, got {value.dtype}: convert one"
            )
        if value.shape[:2] != hw:
            raise SampleError(
                f"{self.where}[{key!r}] must be as large as its image {hw}, got {value.shape[:2]}: resize both alike"
            )
        if channels(value.shape) != channels(like.shape):
            raise SampleError(
                f"{self.where}[{key!r}] must have the primary's {channels(like.shape)} channels, got "
                f"{channels(value.shape)}: convert one"
            )


def _check_blendable(key: str, like: Array) -> None:
    if like.dtype not in _IMAGE_DTYPES:
        raise SampleError(f"{key} must be uint8 or float32, got {like.dtype}: convert it before MixUp")
