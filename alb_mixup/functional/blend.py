"""Pixels: the weighted sum of two images."""

from collections.abc import Sequence

import cv2
import numpy as np

from alb_mixup.functional import Array
from alb_mixup.functional.geometry import Placement, fill_pixels, fit_image
from alb_mixup.functional.resize import resize


def blend(image: Array, other: Array, ratio: float, out: Array | None = None) -> Array:
    """Blend two images: `ratio * image + (1 - ratio) * other`.

    Args:
        image: (H, W), (H, W, 1) or (H, W, C) for any C, uint8 [0, 255] or float32 (any range), any colour order.
        other: Same shape and dtype.
        ratio: Share of `image` in [0, 1].
        out: Where to write: same shape and dtype, pixels of a row side by side; may be `image` or `other` itself.
            None: a new C-contiguous array.

    Returns:
        `out`, same shape and dtype: uint8 rounded to nearest and saturated, float32 unclipped. An image whose share is
        0 leaves nothing, not even NaN.
    """
    if ratio < 0.5:  # the larger share first: swapping the images with `ratio` and `1 - ratio` is then the same sum
        image, other, ratio = other, image, 1.0 - ratio
    if ratio == 1.0:  # a sum with 0 times the other would keep its NaN and infinities
        if out is None:
            return np.array(image, order="C")
        np.copyto(out, image)
        return out
    # `addWeighted` drops the last axis of (H, W, 1) and stops at 128 channels (OpenCV 5) or 512; rows of values have
    # neither problem. `reshape` copies only where the layout is no run of pixels (negative strides, channels first),
    # which OpenCV would walk through 12 times slower than the copy takes (benchmarks/RESULTS.md, "Kernel").
    into = None if out is None else _rows(out)
    blended = cv2.addWeighted(_rows(image), ratio, _rows(other), 1.0 - ratio, 0.0, into)
    return blended.reshape(image.shape) if out is None else out


def blend_placed(
    image: Array,
    other: Array,
    placement: Placement,
    ratio: float,
    fill: float | Sequence[float],
    interpolation: int,
) -> Array:
    """Blend an image with another that lies somewhere on it, resized straight into the result.

    No canvas in between (benchmarks/RESULTS.md, "Resizing"): besides its bytes it costs that the C library may give
    the memory of two images back after each call, and map every page of the next ones anew (there, "Pages").

    Args:
        image: (H, W) or (H, W, C), as large as the canvas, uint8 or float32.
        other: Image of the same dtype and channels, any size.
        placement: Where `other` goes.
        ratio: Share of `image` in [0, 1].
        fill: Value, or one for each channel, of the share of `other` where it does not reach.
        interpolation: OpenCV flag.

    Returns:
        New array of the shape and dtype of `image`.
    """
    if placement.fills and other.shape == image.shape:
        return blend(image, other, ratio)
    if placement.crops:
        return blend(image, fit_image(other, placement, fill, interpolation), ratio)
    mixed = np.empty(image.shape, image.dtype)
    inside = placement.inside
    part = resize(other, placement.size_hw, interpolation, mixed[inside])
    blend(image[inside], part, ratio, mixed[inside])
    for band in placement.outside():
        fill_pixels(mixed[band], fill)
        blend(image[band], mixed[band], ratio, mixed[band])
    return mixed


def _rows(image: Array) -> Array:
    """View (H, W, C) as (H, W * C) where the strides allow it, else copy."""
    return image.reshape(image.shape[0], -1)
