"""Axis-aligned boxes from any format to absolute corners, and back."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# As `A.BboxParams` names them; "cxcywh" (centre and size in pixels) is AlbumentationsX's alone.
BBOX_FORMATS = ("pascal_voc", "coco", "yolo", "albumentations", "cxcywh")


def to_xyxy(bboxes: ArrayLike, bbox_format: str, hw: tuple[int, int]) -> NDArray[np.float64]:
    """Convert boxes to x_min, y_min, x_max, y_max in pixels, 0-based, half-open.

    Args:
        bboxes: (N, 4) or more columns, of which the first four are read; N may be 0.
        bbox_format: One of `BBOX_FORMATS`, what the boxes are in.
        hw: Height and width of their image; (1, 1) keeps shares of the sides as they are.

    Returns:
        New float64 (N, 4) array.
    """
    rows = np.asarray(bboxes, np.float64)
    xyxy = rows[:, :4].copy() if rows.size else np.zeros((0, 4))
    if bbox_format in {"yolo", "cxcywh"}:
        xyxy[:, :2] -= xyxy[:, 2:] / 2
    if bbox_format in {"yolo", "cxcywh", "coco"}:
        xyxy[:, 2:] += xyxy[:, :2]
    if bbox_format in {"yolo", "albumentations"}:
        xyxy *= [hw[1], hw[0], hw[1], hw[0]]
    return xyxy


def from_xyxy(xyxy: ArrayLike, bbox_format: str, hw: tuple[int, int]) -> NDArray[np.float64]:
    """Convert x_min, y_min, x_max, y_max in pixels, 0-based, half-open, to another format: the inverse of `to_xyxy`.

    Args:
        xyxy: (N, 4).
        bbox_format: One of `BBOX_FORMATS`, what to convert to.
        hw: Height and width of their image; (1, 1) keeps shares of the sides as they are.

    Returns:
        New float64 (N, 4) array.
    """
    bboxes = np.array(xyxy, np.float64).reshape(-1, 4)
    if bbox_format in {"yolo", "albumentations"}:
        bboxes /= [hw[1], hw[0], hw[1], hw[0]]
    if bbox_format in {"yolo", "cxcywh", "coco"}:
        bboxes[:, 2:] -= bboxes[:, :2]
    if bbox_format in {"yolo", "cxcywh"}:
        bboxes[:, :2] += bboxes[:, 2:] / 2
    return bboxes
