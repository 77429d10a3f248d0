"""A sample, checked and brought into the one form that is drawn."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alb_mixup._support.text import printable
from alb_mixup.datasets.protocols import format_of
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.boxes import BBOX_FORMATS, to_xyxy

_NAME_LENGTH = 24
_USUAL_FORMAT = "pascal_voc"
_ROBOFLOW = re.compile(r"(_(jpe?g|png|bmp|webp|tiff?))?\.rf\.[0-9A-Za-z]{16,}$", re.IGNORECASE)


@dataclass(frozen=True)
class Scene:
    """A checked sample: (H, W) or (H, W, 3) pixels, boxes as absolute xyxy and degrees, with N of all else."""

    image: NDArray[Any]
    xyxy: NDArray[np.float64]
    angles: NDArray[np.float64]
    names: list[str]
    tags: list[str]
    weights: NDArray[np.float64]
    of_partner: NDArray[np.bool_]


def read_scene(sample: Mapping[str, Any], bbox_format: str | None) -> Scene:
    """Check a sample and bring it into the one form that is drawn.

    Args:
        sample: As for `plot`.
        bbox_format: As for `plot`.

    Raises:
        ArgumentError: `bbox_format` is unknown.
        SampleError: The sample cannot be drawn.
    """
    bbox_format = bbox_format or format_of(sample) or _USUAL_FORMAT
    if bbox_format not in BBOX_FORMATS:
        raise ArgumentError(
            f"bbox_format must be one of {', '.join(BBOX_FORMATS)}, got {bbox_format!r}: None takes the sample's own"
        )
    if not isinstance(sample, Mapping) or "image" not in sample:
        got = f"keys {sorted(map(str, sample))}" if isinstance(sample, Mapping) else type(sample).__name__
        raise SampleError(
            f"sample must be a dict with an 'image', as a pipeline takes and returns it, got {got}: give dataset[0]"
        )
    image = _pixels(sample["image"])
    xyxy, angles = _boxes(sample.get("bboxes"), bbox_format, image.shape[:2])
    labels = _column(sample, "labels", len(xyxy))
    weights = _column(sample, "mixup_weight", len(xyxy))
    names = [""] * len(xyxy) if labels is None else [_name(label) for label in labels]
    shares = np.ones(len(xyxy)) if weights is None else _weights(weights)
    tags = names if weights is None else [f"{name} {w:.2f}".strip() for name, w in zip(names, shares, strict=True)]
    sides = _column(sample, "of_partner", len(xyxy))
    of_partner = np.zeros(len(xyxy), bool) if sides is None else np.array(sides, bool)
    return Scene(image, xyxy, angles, names, tags, shares, of_partner)


def _pixels(image: object) -> NDArray[Any]:
    """Check the image and take what can be drawn of it: (H, W) or (H, W, 3), uint8 or float32 in 0 to 1."""
    if not isinstance(image, np.ndarray):
        raise SampleError(f"image must be a numpy array of (H, W) or (H, W, C), got {type(image).__name__}: convert it")
    if image.size == 0 or image.ndim not in {2, 3} or (image.ndim == 3 and image.shape[2] not in {1, 3, 4}):
        raise SampleError(
            f"image must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) to be drawn, got shape {image.shape}: "
            "choose three channels, or move them last"
        )
    if image.ndim == 3:
        image = image[..., 0] if image.shape[2] == 1 else image[..., :3]
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise SampleError(f"image must be uint8 in 0 to 255 or float in 0 to 1 to be drawn, got dtype {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= -0.5 and high <= 1.5):  # interpolation overshoots a little; NaN is caught too
        raise SampleError(
            f"image as {image.dtype} must be in 0 to 1, got {low:g} to {high:g}: rescale it, or plot before Normalize"
        )
    return np.asarray(np.clip(image, 0, 1), dtype=np.float32)


def _boxes(bboxes: Any, bbox_format: str, hw: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read boxes of any format as absolute xyxy (N, 4) and angles in degrees (N,)."""
    try:
        rows = np.array([] if bboxes is None else bboxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SampleError(f"bboxes must be rows of numbers, all of one length, got others: {error}") from error
    if rows.size == 0:
        return np.zeros((0, 4)), np.zeros(0)
    if rows.ndim != 2 or rows.shape[1] not in {4, 5} or not np.isfinite(rows).all():
        raise SampleError(
            "bboxes must be finite and of shape (N, 4), or (N, 5) with an angle in degrees, "
            f"got shape {rows.shape}, {np.count_nonzero(~np.isfinite(rows))} values not finite: "
            "class ids belong into labels"
        )
    xyxy = to_xyxy(rows, bbox_format, hw)
    turned = np.flatnonzero((xyxy[:, 2:] < xyxy[:, :2]).any(axis=1))
    if len(turned):
        other = "pascal_voc" if bbox_format == "coco" else "coco"
        raise SampleError(
            f"bboxes must have their far corner beyond the near one, got {rows[turned[0], :4].tolist()} read as "
            f"{bbox_format!r}: say the format that they are in, such as bbox_format={other!r}"
        )
    return xyxy, rows[:, 4] if rows.shape[1] == 5 else np.zeros(len(rows))


def _column(sample: Mapping[str, Any], key: str, count: int) -> list[Any] | None:
    values = sample.get(key)
    if values is None:
        return None
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise SampleError(
            f"{key} must be a list or array with one value a box, got {type(values).__name__}: give a list"
        )
    column = list(values)
    if len(column) != count:
        raise SampleError(f"{key} must have one value a box, got {len(column)} for {count} boxes")
    return column


def _weights(values: list[Any]) -> NDArray[np.float64]:
    try:
        weights = np.array(values, dtype=np.float64).reshape(len(values))
    except (TypeError, ValueError) as error:
        raise SampleError(f"mixup_weight must be one number a box, got others: {error}") from error
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise SampleError(f"mixup_weight must be finite and at least 0, got {weights.tolist()}: correct them")
    return weights


def _name(label: Any) -> str:
    """Write a class name on one short line; the floats that Albumentations makes of integer labels are integers."""
    whole = isinstance(label, float | np.floating) and float(label).is_integer()
    text = printable(" ".join(str(int(label) if whole else label).split()))
    return text if len(text) <= _NAME_LENGTH else text[: _NAME_LENGTH - 1] + "…"


def file_title(stem: str, length: int) -> str:
    """Shorten a file's name: the hash that Roboflow adds goes first, then the beginning, which names often share."""
    title = printable(_ROBOFLOW.sub("", stem))
    return title if len(title) <= length else f"…{title[1 - length :]}"
