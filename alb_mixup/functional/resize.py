"""Pixels at another size: OpenCV's, and the window of a resized image whose rest is never made."""

from collections.abc import Callable

import cv2
import numpy as np

from alb_mixup.functional import Array

_MOVES_BYTES = frozenset({cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT})
_SAME_SIZE = {1: np.uint8, 2: np.uint16, 4: np.int32, 8: np.float64}
# A resized image of more pixels than this, and this many times as large as its window and its source together, is not
# made as a whole. Below, OpenCV makes all of it and the window is cut out: it is faster, and the same to the bit as
# resizing anywhere else.
_WORTH_A_WINDOW = 2**22, 4


def resize(image: Array, size_hw: tuple[int, int], interpolation: int, out: Array | None = None) -> Array:
    """Resize an image or a mask of any number of channels.

    Args:
        image: (H, W) or (H, W, C) for any C, of a dtype that OpenCV resizes (uint8, uint16, int16, float32, float64);
            with nearest neighbour, of any dtype.
        size_hw: (height, width) wanted, in pixels.
        interpolation: OpenCV flag.
        out: Where OpenCV may put the result, in its shape and dtype; it does not always.

    Returns:
        Array of `size_hw`: `image` itself where it has that size, `out`, or a new one.

    Raises:
        cv2.error: OpenCV does not resize this dtype with this interpolation.
    """
    if image.shape[:2] == size_hw:
        return image
    limit = 4 if interpolation == cv2.INTER_AREA else 128  # channels at once: OpenCV 5 takes no more, 4 took 512
    if image.ndim == 3 and image.shape[2] > limit:
        parts = [resize(image[..., i : i + limit], size_hw, interpolation) for i in range(0, image.shape[2], limit)]
        return np.concatenate(parts, axis=2)
    values = np.ascontiguousarray(image)
    if interpolation in _MOVES_BYTES:  # so any dtype of that size will do: OpenCV has no bool, and mangles int64
        values = values.view(_SAME_SIZE.get(image.dtype.itemsize, image.dtype))
        out = None
    resized = cv2.resize(values, size_hw[::-1], out, interpolation=interpolation)
    return resized.reshape(*size_hw, *image.shape[2:]).view(image.dtype)  # OpenCV drops a last axis of 1


def outgrows(image_hw: tuple[int, int], size_hw: tuple[int, int], window_hw: tuple[int, int]) -> bool:
    """Tell whether a resized image would be far larger than both its source and the window that is wanted of it.

    Args:
        image_hw: (height, width) of the source, in pixels.
        size_hw: (height, width) of the resized image.
        window_hw: (height, width) of the window.
    """
    pixels, times = _WORTH_A_WINDOW
    wanted = image_hw[0] * image_hw[1] + window_hw[0] * window_hw[1]
    return size_hw[0] * size_hw[1] > max(pixels, times * wanted)


def resize_window(
    image: Array, size_hw: tuple[int, int], top_left: tuple[int, int], window_hw: tuple[int, int], interpolation: int
) -> Array:
    """Resize an image and return a window of the result; memory follows the image and the window, not `size_hw`.

    Args:
        image: As for `resize`.
        size_hw: (height, width) of the whole resized image, in pixels.
        top_left: Row and column of the resized image at which the window begins.
        window_hw: (height, width) of the window, which lies inside of the resized image.
        interpolation: OpenCV flag.

    Returns:
        Array of `window_hw` and the dtype and channels of `image`.

    Raises:
        cv2.error: OpenCV does not resize this dtype with this interpolation.
    """
    (top, left), (height, width) = top_left, window_hw
    if not outgrows(image.shape[:2], size_hw, window_hw):
        return resize(image, size_hw, interpolation)[top : top + height, left : left + width]
    resize(image[:1, :1], (1, 2), interpolation)  # refuses what OpenCV refuses
    rows, row_shares = _taps(np.arange(top, top + height), image.shape[0], size_hw[0], interpolation)
    cols, col_shares = _taps(np.arange(left, left + width), image.shape[1], size_hw[1], interpolation)
    if interpolation in _MOVES_BYTES:
        return image[rows[0][:, None], cols[0]]
    if height * image.shape[1] <= image.shape[0] * width:  # the smaller one in between
        values = _gather(_gather(image, rows, row_shares, 0), cols, col_shares, 1)
    else:
        values = _gather(_gather(image, cols, col_shares, 1), rows, row_shares, 0)
    if image.dtype.kind not in "iu":
        return values.astype(image.dtype)
    limits = np.iinfo(image.dtype)
    return np.rint(values).clip(limits.min, limits.max).astype(image.dtype)


def _gather(values: Array, positions: list[Array], shares: list[Array], axis: int) -> Array:
    shape = [1] * values.ndim
    shape[axis] = -1
    parts = (values.take(place, axis) * share.reshape(shape) for place, share in zip(positions, shares, strict=True))
    return sum(parts, np.zeros(()))


def _taps(wanted: Array, length: int, resized: int, interpolation: int) -> tuple[list[Array], list[Array]]:
    """Find which pixels of a line each pixel of the resized one is made of, and their shares, as OpenCV has them."""
    scale = 1.0 / (resized / length)
    if interpolation == cv2.INTER_NEAREST:
        return [np.floor(wanted * scale).astype(np.int64).clip(0, length - 1)], []
    if interpolation == cv2.INTER_NEAREST_EXACT:
        return [np.floor((wanted + 0.5) * scale).astype(np.int64).clip(0, length - 1)], []
    place = (wanted + 0.5) * scale - 0.5
    first = np.floor(place)
    if interpolation == cv2.INTER_AREA:  # enlarging, OpenCV lets the pixels of the source keep their areas
        first = np.floor(wanted * scale)
        share = (wanted + 1 - (first + 1) / scale).clip(0, 1)
        taps, kernel = _KERNELS[cv2.INTER_LINEAR]
        distances = [share, 1 - share]
    else:
        taps, kernel = _KERNELS.get(interpolation, _KERNELS[cv2.INTER_LINEAR])
        distances = [np.abs(place - first - tap) for tap in taps]
    shares = [kernel(distance) for distance in distances]
    total = sum(shares)
    return [(first + tap).astype(np.int64).clip(0, length - 1) for tap in taps], [share / total for share in shares]


def _linear(distance: Array) -> Array:
    return 1 - distance


def _cubic(distance: Array) -> Array:
    near = (1.25 * distance - 2.25) * distance**2 + 1
    far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
    return np.where(distance <= 1, near, far)


def _lanczos(distance: Array) -> Array:
    return np.sinc(distance) * np.sinc(distance / 4)


_KERNELS: dict[int, tuple[range, Callable[[Array], Array]]] = {
    cv2.INTER_LINEAR: (range(2), _linear),
    cv2.INTER_CUBIC: (range(-1, 3), _cubic),
    cv2.INTER_LANCZOS4: (range(-3, 5), _lanczos),
}
