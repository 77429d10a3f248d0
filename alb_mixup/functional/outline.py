"""Masks as single polygons, for formats that hold nothing else."""

import cv2
import numpy as np
from numpy.typing import NDArray

from alb_mixup.functional import Array

_INSET = 1 / 64  # of a pixel: the outline lies within the mask, and survives being rounded to shares of the sides


def outline_of(mask: Array) -> NDArray[np.float64]:
    """Draw one polygon around a mask.

    It runs along the outer edges of the mask's pixels, a 64th of a pixel inside of them, so that filling it gives these
    pixels again, whether a pixel counts by its centre or by its being touched. Holes are filled. Where the mask has
    several parts, a line leads from one to the next and back, which has no area; what draws outlines too, as
    `cv2.fillPoly` does, draws this line.

    Args:
        mask: (H, W), 0 and others.

    Returns:
        (p, 2): x and y in pixels; p is 0 where the mask is empty, else at least 4.
    """
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(mask != 0, np.uint8))
    part = np.ascontiguousarray(mask[top : top + height, left : left + width] != 0, np.uint8)
    # Each pixel as 2 × 2, so that the centres that OpenCV walks through are on either side of every edge.
    fine = part.repeat(2, axis=0).repeat(2, axis=1)
    found, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE) if part.size else ((), None)
    rings = sorted((ring.reshape(-1, 2) for ring in found), key=lambda ring: tuple(ring[0]))
    if not rings:
        return np.zeros((0, 2))
    corners = _joined(rings)
    return corners // 2 + np.where(corners % 2, 1 - _INSET, _INSET) + [left, top]


def _joined(rings: list[Array]) -> Array:
    """Join rings to one: a short way from each to the next, and from the last one back."""
    ways, returns, begin = [], [], 0
    for number, ring in enumerate(rings):
        turned = np.roll(ring, -begin, axis=0)
        following = rings[min(number + 1, len(rings) - 1)]
        leave = _nearest(turned, following[0])
        begin = _nearest(following, turned[leave])
        ways.append(turned[: leave + 1])
        returns.append(np.concatenate([turned[leave:], turned[:1]]))
    joined = np.concatenate([*ways, *reversed(returns)])
    is_new = (joined != np.roll(joined, 1, axis=0)).any(axis=1)
    return np.asarray(joined[is_new])


def _nearest(corners: Array, point: Array) -> int:
    return int(np.abs(corners - point).sum(axis=1).argmin())
