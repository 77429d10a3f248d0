"""MixUp written a second time, from its specification alone: float64, fractions and plain loops.

It shares no code with the package. It borrows `A.Resize`, to ask where a point goes, and `cv2.resize`, because
OpenCV is what defines "bilinear" here; where the resized pixels go, and what becomes of them, is worked out below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np

FIT_MODES = ("contain", "cover", "stretch", "canvas")
BBOX_FORMATS = ("pascal_voc", "coco", "yolo", "albumentations")


def point_centre() -> float:
    """Return where in its pixel a keypoint at whole numbers lies, which the installed Albumentations decides."""
    resize = A.Compose([A.Resize(2, 2)], keypoint_params=A.KeypointParams("xy", remove_invisible=False))
    return float(np.ravel(resize(image=np.zeros((1, 1, 3), np.uint8), keypoints=[[0.0, 0.0]])["keypoints"])[0])


POINT_CENTRE = point_centre()


class Placement(NamedTuple):
    """Where a whole image lies on the canvas: its size there, and its corner (negative where the canvas crops it)."""

    height: int
    width: int
    top: int
    left: int


def nearest(value: Fraction) -> int:
    """The nearest integer. The specification is silent on exact halves: they go up here, and the tests avoid them."""
    return math.floor(value + Fraction(1, 2))


def uniform_scale(canvas_hw: tuple[int, int], source_hw: tuple[int, int], fit_mode: str) -> Fraction:
    scales = [Fraction(canvas_side, source_side) for canvas_side, source_side in zip(canvas_hw, source_hw, strict=True)]
    return min(scales) if fit_mode == "contain" else max(scales)


def rounding_is_ambiguous(canvas_hw: tuple[int, int], source_hw: tuple[int, int], fit_mode: str) -> bool:
    """Whether a scaled side is exactly half-way between two integers."""
    if fit_mode not in ("contain", "cover"):
        return False
    scale = uniform_scale(canvas_hw, source_hw, fit_mode)
    return any((side * scale) % 1 == Fraction(1, 2) for side in source_hw)


def place_reference(canvas_hw: tuple[int, int], source_hw: tuple[int, int], fit_mode: str) -> Placement:
    if fit_mode == "canvas":
        return Placement(*source_hw, top=0, left=0)
    if fit_mode == "stretch":
        return Placement(*canvas_hw, top=0, left=0)
    scale = uniform_scale(canvas_hw, source_hw, fit_mode)
    sides, corner = [], []
    for canvas_side, source_side in zip(canvas_hw, source_hw, strict=True):
        side = nearest(source_side * scale)
        if fit_mode == "contain":
            side = max(side, 1)
            corner.append((canvas_side - side) // 2)
        elif fit_mode == "cover":
            side = max(side, canvas_side)
            corner.append(-((side - canvas_side) // 2))
        else:
            raise ValueError(f"no such fit_mode: {fit_mode}")
        sides.append(side)
    return Placement(*sides, *corner)


def resample(image: np.ndarray, height: int, width: int, interpolation: int) -> np.ndarray:
    """By OpenCV, up to four channels in one call and more of them one by one. Nothing is done where the size is right.

    Bilinear grey levels do not depend on how many channels go through together; OpenCV's bicubic ones do, by one level.
    """
    if image.shape[:2] == (height, width):
        return image.copy()
    channels = image.reshape(*image.shape[:2], -1)
    if image.dtype == bool:
        channels = channels.astype(np.uint8)
    together = channels.shape[2] if channels.shape[2] <= 4 else 1
    resized = [
        cv2.resize(
            np.ascontiguousarray(channels[:, :, first : first + together]), (width, height), interpolation=interpolation
        ).reshape(height, width, together)
        for first in range(0, channels.shape[2], together)
    ]
    return np.concatenate(resized, axis=-1).reshape(height, width, *image.shape[2:])


def paint(
    image: np.ndarray, place: Placement, canvas_hw: tuple[int, int], fill: float | Sequence[float], interpolation: int
) -> np.ndarray:
    """The canvas, in float64, with the image on it and `fill` where the image does not reach."""
    pixels = resample(image, place.height, place.width, interpolation)
    canvas = np.empty((*canvas_hw, *image.shape[2:]), dtype=np.float64)
    canvas[...] = np.asarray(fill, dtype=np.float64)
    first = max(place.left, 0)
    last = min(place.left + place.width, canvas_hw[1])
    for row in range(canvas_hw[0]):
        if 0 <= row - place.top < place.height:
            canvas[row, first:last] = pixels[row - place.top, first - place.left : last - place.left]
    return canvas


def to_pixels(box: Sequence[float], bbox_format: str, height: int, width: int) -> list[float]:
    """One box of any format as (x_min, y_min, x_max, y_max) in pixels, in float64."""
    a, b, c, d = (float(value) for value in box[:4])
    if bbox_format == "pascal_voc":
        return [a, b, c, d]
    if bbox_format == "coco":
        return [a, b, a + c, b + d]
    if bbox_format == "albumentations":
        return [a * width, b * height, c * width, d * height]
    if bbox_format == "yolo":
        return [(a - c / 2) * width, (b - d / 2) * height, (a + c / 2) * width, (b + d / 2) * height]
    raise ValueError(f"no such box format: {bbox_format}")


def from_pixels(box: Sequence[float], bbox_format: str, height: int, width: int) -> list[float]:
    """The other way round."""
    x_min, y_min, x_max, y_max = (float(value) for value in box)
    if bbox_format == "pascal_voc":
        return [x_min, y_min, x_max, y_max]
    if bbox_format == "coco":
        return [x_min, y_min, x_max - x_min, y_max - y_min]
    if bbox_format == "albumentations":
        return [x_min / width, y_min / height, x_max / width, y_max / height]
    if bbox_format == "yolo":
        return [
            (x_min + x_max) / 2 / width,
            (y_min + y_max) / 2 / height,
            (x_max - x_min) / width,
            (y_max - y_min) / height,
        ]
    raise ValueError(f"no such box format: {bbox_format}")


def move_point(x: float, y: float, place: Placement, source_hw: tuple[int, int]) -> tuple[float, float]:
    """Each axis has the exact scale of its pixels: the rounded side over the side."""
    return x * place.width / source_hw[1] + place.left, y * place.height / source_hw[0] + place.top


def clip(value: float, limit: float) -> float:
    return min(max(value, 0.0), float(limit))


def mix(
    primary: dict[str, Any],
    reference: dict[str, Any],
    ratio: float,
    fit_mode: str = "contain",
    *,
    fill: float | Sequence[float] = 0,
    fill_mask: float = 0,
    bbox_format_primary: str = "pascal_voc",
    bbox_format_reference: str = "pascal_voc",
    weighting: str = "ratio",
    min_weight: float = 0.0,
    interpolation: int = cv2.INTER_LINEAR,
    mask_interpolation: int = cv2.INTER_NEAREST,
) -> dict[str, Any]:
    """What MixUp has to answer.

    Returns:
        image: float64, before any rounding to grey levels. image_dtype: what the answer's dtype has to be.
        bboxes: float64 (N, 4), pascal_voc pixels on the output canvas, the primary's first.
        labels, mixup_weight, sources: lists of length N; a source is "primary" or "reference".
        keypoints: float64 (K, 2), with keypoint_labels, outside the canvas too. masks: a list. mask: an array.
        The targets are those that the primary has.
    """
    sources = {"primary": primary, "reference": reference}
    sizes = {name: sample["image"].shape[:2] for name, sample in sources.items()}
    shares = {"primary": ratio, "reference": 1.0 - ratio}
    formats = {"primary": bbox_format_primary, "reference": bbox_format_reference}

    canvas_hw = sizes["primary"]
    if fit_mode == "canvas":
        canvas_hw = tuple(max(sides) for sides in zip(*sizes.values(), strict=True))
    places = {
        "primary": Placement(*sizes["primary"], top=0, left=0),
        "reference": place_reference(canvas_hw, sizes["reference"], fit_mode),
    }

    mixed: dict[str, Any] = {"image_dtype": primary["image"].dtype}
    mixed["image"] = sum(
        shares[name] * paint(sample["image"], places[name], canvas_hw, fill, interpolation)
        for name, sample in sources.items()
    )

    gone = {name: set() for name in sources}  # boxes that are dropped, whose masks go with them
    if "bboxes" in primary:
        mixed |= {"bboxes": [], "labels": [], "mixup_weight": [], "sources": []}
        for name, sample in sources.items():
            for index, box in enumerate(sample["bboxes"]):
                corners = to_pixels(box, formats[name], *sizes[name])
                x_min, y_min = move_point(*corners[:2], places[name], sizes[name])
                x_max, y_max = move_point(*corners[2:], places[name], sizes[name])
                x_min, x_max = clip(x_min, canvas_hw[1]), clip(x_max, canvas_hw[1])
                y_min, y_max = clip(y_min, canvas_hw[0]), clip(y_max, canvas_hw[0])
                if x_max <= x_min or y_max <= y_min:
                    gone[name].add(index)
                    continue
                weight = float(sample["mixup_weight"][index]) if "mixup_weight" in sample else 1.0
                if weighting == "ratio":
                    weight *= shares[name]
                if weight < min_weight:
                    gone[name].add(index)
                    continue
                mixed["bboxes"].append([x_min, y_min, x_max, y_max])
                mixed["labels"].append(sample["labels"][index])
                mixed["mixup_weight"].append(weight)
                mixed["sources"].append(name)
        mixed["bboxes"] = np.array(mixed["bboxes"], dtype=np.float64).reshape(-1, 4)

    if "keypoints" in primary:
        mixed |= {"keypoints": [], "keypoint_labels": []}
        for name, sample in sources.items():
            for index, (x, y) in enumerate(sample["keypoints"]):
                moved = move_point(float(x) + POINT_CENTRE, float(y) + POINT_CENTRE, places[name], sizes[name])
                mixed["keypoints"].append((moved[0] - POINT_CENTRE, moved[1] - POINT_CENTRE))
                mixed["keypoint_labels"].append(sample["keypoint_labels"][index])
        mixed["keypoints"] = np.array(mixed["keypoints"], dtype=np.float64).reshape(-1, 2)

    if "masks" in primary:
        mixed["masks"] = [
            paint(mask, places[name], canvas_hw, fill_mask, mask_interpolation)
            for name, sample in sources.items()
            for index, mask in enumerate(sample["masks"])
            if index not in gone[name] or len(sample["masks"]) != len(sample["bboxes"])
        ]

    if "mask" in primary:
        name = "primary" if ratio >= 0.5 else "reference"
        mixed["mask"] = paint(sources[name]["mask"], places[name], canvas_hw, fill_mask, mask_interpolation)

    return mixed


def disagreements(
    output: dict[str, Any],
    expected: dict[str, Any],
    bbox_format: str = "pascal_voc",
    *,
    image_tolerance: float = 1.0,
    bbox_tolerance: float = 0.01,
    weight_tolerance: float = 1e-6,
) -> list[str]:
    """All that differs between an answer of the transform and one of `mix`, one line each; empty where they agree."""
    found: list[str] = []

    def compare(name: str, got: Any, wanted: Any, tolerance: float) -> None:
        got, wanted = np.asarray(got), np.asarray(wanted)
        if got.shape != wanted.shape:
            found.append(f"{name}: shape {got.shape}, expected {wanted.shape}")
        elif got.size:
            error = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
            if not error.max() <= tolerance:  # a NaN must not pass
                where = tuple(int(index) for index in np.unravel_index(error.argmax(), error.shape))
                found.append(f"{name}{list(where)}: {got[where]}, expected {wanted[where]} within {tolerance}")

    if output["image"].dtype != expected["image_dtype"]:
        found.append(f"image: dtype {output['image'].dtype}, expected {expected['image_dtype']}")
    compare("image", output["image"], expected["image"], image_tolerance)

    if "bboxes" in expected:
        height, width = output["image"].shape[:2]
        corners = [to_pixels(box, bbox_format, height, width) for box in output["bboxes"]]
        compare("bboxes", np.array(corners, dtype=np.float64).reshape(-1, 4), expected["bboxes"], bbox_tolerance)
        if list(output["labels"]) != expected["labels"]:
            found.append(f"labels: {list(output['labels'])}, expected {expected['labels']}")
        if "mixup_weight" in output:
            compare("mixup_weight", output["mixup_weight"], expected["mixup_weight"], weight_tolerance)

    if "keypoints" in expected:
        points = np.asarray(output["keypoints"], dtype=np.float64).reshape(-1, 2)
        compare("keypoints", points, expected["keypoints"], bbox_tolerance)
        if list(output["keypoint_labels"]) != expected["keypoint_labels"]:
            found.append(f"keypoint_labels: {list(output['keypoint_labels'])}, expected {expected['keypoint_labels']}")

    if "masks" in expected:
        if len(output["masks"]) != len(expected["masks"]):
            found.append(f"masks: {len(output['masks'])} of them, expected {len(expected['masks'])}")
        else:
            for index, (got, wanted) in enumerate(zip(output["masks"], expected["masks"], strict=True)):
                compare(f"masks[{index}]", got, wanted, 0)

    if "mask" in expected:
        compare("mask", output["mask"], expected["mask"], 0)

    return found
