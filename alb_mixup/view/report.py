"""What a dataset holds, and what is wrong with it, as text."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets import DetectionDataset
from alb_mixup.functional.boxes import to_xyxy

# Sides of a square of the box's area, in pixels; 32 and 96 part COCO's small, medium and large.
_SIDES = (0, 8, 16, 32, 64, 96, 192, 384, np.inf)
_BAR = 40
_IMAGE_SIZES = 5


def report(dataset: DetectionDataset) -> str:
    """Count images, boxes, classes and sizes of a dataset, and name every invalid annotation that it found.

    Args:
        dataset: The dataset; no image is decoded.

    Returns:
        Lines of text.
    """
    sides, image_sizes, classes, empty = _survey(dataset)
    lines = [
        f"{type(dataset).__name__}: {len(dataset):,} images ({empty:,} without boxes), {len(sides):,} boxes, "
        f"{len(dataset.classes):,} classes",
        *_table("boxes of each class", dict(classes.most_common())),
        *_unused([name for name in dataset.classes if name not in classes]),
        *_table("boxes by side, px (square root of the area)", _histogram(sides)),
        *_table("image sizes, width × height", dict(image_sizes.most_common(_IMAGE_SIZES))),
    ]
    if len(image_sizes) > _IMAGE_SIZES:
        lines.append(f"  and {len(image_sizes) - _IMAGE_SIZES:,} more sizes")
    lines += ["", f"invalid annotations: {len(dataset.invalid):,}", *(f"  {record}" for record in dataset.invalid)]
    return "\n".join(lines)


def _survey(dataset: DetectionDataset) -> tuple[NDArray[np.float64], Counter[str], Counter[str], int]:
    areas, image_sizes, classes, empty = [np.zeros(0)], Counter[str](), Counter[str](), 0
    for index in range(len(dataset)):
        annotations, (height, width) = dataset.annotations(index), dataset.image_size(index)
        xyxy = to_xyxy(annotations["bboxes"], dataset.bbox_format, (height, width))
        areas.append((xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1))
        image_sizes[f"{width} × {height}"] += 1
        classes.update(annotations["labels"])
        empty += len(xyxy) == 0
    return np.sqrt(np.concatenate(areas)), image_sizes, classes, empty


def _histogram(sides: NDArray[np.float64]) -> dict[str, int]:
    counts, _ = np.histogram(sides, _SIDES)
    names = [f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}" for low, high in pairwise(_SIDES)]
    return dict(zip(names, counts.tolist(), strict=True))


def _unused(names: list[str]) -> list[str]:
    return [f"  without boxes: {', '.join(names)}"] if names else []


def _table(title: str, counts: dict[str, int]) -> list[str]:
    width, most = max(map(len, counts), default=0), max([1, *counts.values()])
    bars = {name: "█" * math.ceil(_BAR * count / most) for name, count in counts.items()}
    rows = [f"  {name:<{width}} {count:>9,} {bars[name]}".rstrip() for name, count in counts.items()]
    return ["", title, *rows]
