"""Reading one reference sample: each target in the pipeline's own terms, or an error that says what is wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from alb_mixup import _backend
from alb_mixup.errors import SampleError
from alb_mixup.functional import Array

_IMAGE_DTYPES = (np.uint8, np.float32)
_LABEL_WRAPPERS = {"bboxes": "bbox_labels", "keypoints": "keypoint_labels"}  # AlbumentationsX's Mosaic metadata


class ReferenceSample:
    """One reference sample, asked for its targets by the primary's.

    Args:
        sample: Dict shaped like the pipeline's own input; labels at the top level, or under `bbox_labels` and
            `keypoint_labels`.
        where: How messages call it, e.g. "reference[3]".
        hw: (height, width) of the whole image, which its annotations belong to, where `sample["image"]` may have fewer
            pixels; None: it is whole.

    Raises:
        SampleError: It is no dict, or has no image.
    """

    def __init__(self, sample: Any, where: str, hw: tuple[int, int] | None = None) -> None:
        if not isinstance(sample, Mapping):
            raise SampleError(
                f"{where} must be a dict shaped like the pipeline's own input, got {type(sample).__name__}: wrap the "
                "dataset in one whose __getitem__ returns {'image': ..., 'bboxes': ..., and the label fields}"
            )
        self._sample, self._where = sample, where
        self._pixels_hw: tuple[int, int] = self.array("image").shape[:2]
        self.hw = self._pixels_hw if hw is None else hw

    def array(self, key: str) -> Array:
        """Return an image or mask: (H, W) or (H, W, C), no side empty."""
        return checked_pixels(f"{self._where}[{key!r}]", self._get(key))

    def image(self, key: str, like: Array) -> Array:
        """Return an image that can be blended with `like`: its dtype and its channels."""
        if like.dtype not in _IMAGE_DTYPES:
            raise SampleError(f"{key} must be uint8 or float32, got {like.dtype}: convert it before MixUp")
        return self._like("image" if key == "images" else key, like)

    def mask(self, key: str, like: Array) -> Array:
        """Return a semantic mask of `like`'s dtype and channels."""
        return self._like(key, like)

    def masks(self, key: str, like: Any) -> Array:
        """Return instance masks as (N, H, W) or (N, H, W, C), as `like` has them; N may be 0."""
        value = self._get(key)
        if len(value) == 0:
            return np.zeros((0, *self.hw, *np.shape(like)[3:]), getattr(like, "dtype", np.uint8))
        try:
            masks = np.stack([np.asarray(mask) for mask in value])
        except ValueError as error:
            raise SampleError(f"{self._where}[{key!r}] must be masks of one shape: {error}") from error
        if len(like) == 0 and not isinstance(like, np.ndarray):
            return masks
        model = np.asarray(like[0]) if len(like) else np.empty(like.shape[1:], like.dtype)
        self._check_fit(key, masks[0], model)
        return masks.reshape(len(masks), *self.hw, *model.shape[2:])

    def rows(
        self,
        key: str,
        data: Mapping[str, Any],
        columns: int,
        processor: Any,
        row_format: str | None,
        weight: str | None,
    ) -> Array:
        """Return boxes or keypoints with their encoded label fields, as the pipeline holds the primary's.

        Args:
            key: Target, such as "bboxes".
            data: The primary's targets.
            columns: How many columns the primary's rows have, encoded label fields included.
            processor: The pipeline's processor of this target.
            row_format: Format of the coordinates; None: the pipeline's.
            weight: Label field that is 1.0 where the sample lacks it.
        """
        name = processor.default_data_name
        try:
            coordinates = np.array(self._get(key), dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise SampleError(f"{self._where}[{key!r}] must be rows of numbers of one length: {error}") from error
        if coordinates.size == 0:
            return np.zeros((0, columns), np.float32)
        if coordinates.ndim != 2:
            raise SampleError(f"{self._where}[{key!r}] must be (N, columns), got shape {coordinates.shape}")
        parts = [coordinates]
        for field in processor.params.label_fields or ():
            labels = self._labels(name, field, len(coordinates), weight)
            parts.append(_backend.encode_labels(processor, name, field, labels, data.get(field)))
        try:
            rows = _backend.to_internal(processor, np.hstack(parts), self.hw, row_format)
        except ValueError as error:
            raise SampleError(f"{self._where}[{key!r}] is invalid: {error}") from error
        if len(data[key]) and rows.shape[1] != columns:
            raise SampleError(
                f"{self._where}[{key!r}] must have as many columns as the primary's, got {coordinates.shape[1]}: "
                f"{rows.shape[1]} with its label fields, {columns} in the primary"
            )
        return rows

    def _get(self, key: str) -> Any:
        value = self._sample.get(key)
        if value is None:
            raise SampleError(
                f"{self._where} must have every target of the primary, got no {key!r}: add it (an empty one where "
                f"there is nothing), or leave {key!r} out of the call; it has {', '.join(map(repr, self._sample))}"
            )
        return value

    def _like(self, key: str, like: Array) -> Array:
        value = self.array(key)
        self._check_fit(key, value, like)
        return value.reshape(*value.shape[:2], *like.shape[2:])  # AlbumentationsX holds (H, W) as (H, W, 1)

    def _check_fit(self, key: str, value: Array, like: Array) -> None:
        if value.dtype != like.dtype:
            raise SampleError(
                f"{self._where}[{key!r}] must have the primary's dtype {like.dtype}, got {value.dtype}: convert one"
            )
        if value.shape[:2] != (self._pixels_hw if key == "image" else self.hw):
            raise SampleError(f"{self._where}[{key!r}] must be as large as its image {self.hw}, got {value.shape[:2]}")
        if channels(value.shape) != channels(like.shape):
            raise SampleError(
                f"{self._where}[{key!r}] must have the primary's {channels(like.shape)} channels, got "
                f"{channels(value.shape)}: convert one"
            )

    def _labels(self, name: str, field: str, count: int, weight: str | None) -> Any:
        labels = self._sample.get(field)
        if labels is None:
            labels = (self._sample.get(_LABEL_WRAPPERS[name]) or {}).get(field)
        if labels is None and field == weight:
            return np.ones(count, np.float32)
        if labels is None:
            raise SampleError(
                f"{self._where} must have every label field of the pipeline, got no {field!r} for its {name}: add it, "
                f"one value for each row; it has {', '.join(map(repr, self._sample))}"
            )
        if isinstance(labels, str) or not hasattr(labels, "__len__") or np.ndim(labels) != 1:
            raise SampleError(f"{self._where}[{field!r}] must be a list or array, one value a row, got {labels!r}")
        if len(labels) != count:
            raise SampleError(
                f"{self._where}[{field!r}] must have one value for each of {count} {name}, got {len(labels)}"
            )
        if field == weight:
            check_finite(f"{self._where}[{field!r}]", labels)
        return labels


def checked_pixels(name: str, value: Any) -> Array:
    """Return an image or mask, (H, W) or (H, W, C), no side empty; refuse anything else."""
    if not isinstance(value, np.ndarray) or value.ndim not in {2, 3} or value.size == 0:
        got = f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise SampleError(f"{name} must be a non-empty array (H, W) or (H, W, C), got {got}")
    return value


def check_finite(name: str, weights: Any) -> None:
    """Refuse weights that are no numbers, or not finite."""
    try:
        finite = np.isfinite(np.asarray(weights, np.float32)).all()
    except (TypeError, ValueError) as error:
        raise SampleError(f"{name} must be numbers, got {weights!r}: {error}") from error
    if not finite:
        raise SampleError(f"{name} must be finite, got {weights!r}")


def channels(shape: tuple[int, ...]) -> int:
    """Count the channels of an image shape, (H, W) or (H, W, C)."""
    return shape[2] if len(shape) == 3 else 1
