"""Pixels: the weighted sum of two images of one shape."""

import cv2

from alb_mixup.functional import Array


def blend(image: Array, other: Array, ratio: float) -> Array:
    """Blend two images: `ratio * image + (1 - ratio) * other`.

    Args:
        image: (H, W), (H, W, 1) or (H, W, C) for any C, uint8 [0, 255] or float32 (any range), any colour order.
        other: Same shape and dtype.
        ratio: Share of `image` in [0, 1].

    Returns:
        New C-contiguous array of the same shape and dtype: uint8 rounded to nearest and saturated, float32 unclipped.
    """
    if ratio < 0.5:  # the larger share first: swapping the images with `ratio` and `1 - ratio` is then the same sum
        image, other, ratio = other, image, 1.0 - ratio
    # `addWeighted` drops the last axis of (H, W, 1) and stops at 128 channels (OpenCV 5) or 512; rows of values have
    # neither problem. `reshape` copies only where the layout is no run of pixels (negative strides, channels first),
    # which OpenCV would walk through 12 times slower than the copy takes.
    blended = cv2.addWeighted(_rows(image), ratio, _rows(other), 1.0 - ratio, 0.0)
    return blended.reshape(image.shape)


def _rows(image: Array) -> Array:
    """View (H, W, C) as (H, W * C) where the strides allow it, else copy."""
    return image.reshape(image.shape[0], -1)
