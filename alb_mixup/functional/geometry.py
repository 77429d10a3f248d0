"""Where the reference lies on the canvas, and what that does to its pixels, boxes and keypoints."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from alb_mixup.functional import Array, extremes
from alb_mixup.functional.resize import resize, resize_window

FitMode = Literal["contain", "cover", "stretch", "canvas"]
FIT_MODES: tuple[str, ...] = get_args(FitMode)

# Boxes travel as normalized float32: at 4,000 pixels that is worth 5e-4 of one. What is thinner than this after a crop
# is rounding noise of a box that ends on the border, not something to detect.
_NOTHING_LEFT_PX = 1e-3
_PLAIN_SIDE = 1e-4
_ROUNDING = 1e-6  # of the image's side: some steps of float32


class Placement(NamedTuple):
    """How one image lies on a canvas: resized to `size_hw`, its top-left pixel at (`top`, `left`).

    Attributes:
        canvas_hw: (height, width) of the canvas, in pixels.
        size_hw: (height, width) that the image is resized to, in pixels.
        top: Row of the image's first row on the canvas; negative where the image is cropped.
        left: Column of the image's first column on the canvas; negative where the image is cropped.
    """

    canvas_hw: tuple[int, int]
    size_hw: tuple[int, int]
    top: int = 0
    left: int = 0

    @property
    def fills(self) -> bool:
        """Whether the image covers the canvas edge to edge, so that normalized coordinates are the same on both."""
        return self.size_hw == self.canvas_hw

    @property
    def crops(self) -> bool:
        """Whether the canvas cuts a part of the image off."""
        return self.size_hw[0] > self.canvas_hw[0] or self.size_hw[1] > self.canvas_hw[1]

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas that the image covers, where it is not cropped."""
        return slice(self.top, self.top + self.size_hw[0]), slice(self.left, self.left + self.size_hw[1])

    def outside(self) -> list[tuple[slice, slice]]:
        """Rows and columns of the canvas that the image does not reach: above and below it, left and right of it."""
        (height, width), (rows, cols) = self.canvas_hw, self.inside
        wide = [(part, slice(0, width)) for part in (slice(0, rows.start), slice(rows.stop, height))]
        high = [(rows, part) for part in (slice(0, cols.start), slice(cols.stop, width))]
        return [band for band in wide + high if all(part.start < part.stop for part in band)]


@lru_cache(maxsize=1024)  # in a training run few sizes meet, again and again
def place(primary_hw: tuple[int, int], reference_hw: tuple[int, int], fit_mode: str) -> tuple[Placement, Placement]:
    """Place the primary and the reference on their common canvas.

    Args:
        primary_hw: (height, width) of the primary image.
        reference_hw: (height, width) of the reference image.
        fit_mode: "contain" (letterbox), "cover" (centre crop), "stretch", or "canvas" (neither image scaled, both at
            the top left of a canvas that holds them: the rule of arXiv 1902.04103).

    Returns:
        Placement of the primary and of the reference. Sides are rounded to the nearest pixel, halves up; an odd pixel
        left over is at the bottom or right.
    """
    if primary_hw == reference_hw:
        return Placement(primary_hw, primary_hw), Placement(primary_hw, primary_hw)
    if fit_mode == "canvas":
        canvas = (max(primary_hw[0], reference_hw[0]), max(primary_hw[1], reference_hw[1]))
        return Placement(canvas, primary_hw), Placement(canvas, reference_hw)
    height, width = primary_hw
    scales = height / reference_hw[0], width / reference_hw[1]
    if fit_mode == "contain":
        scale = min(scales)
        size = max(1, _nearest(reference_hw[0] * scale)), max(1, _nearest(reference_hw[1] * scale))
    elif fit_mode == "cover":
        scale = max(scales)
        size = max(height, _nearest(reference_hw[0] * scale)), max(width, _nearest(reference_hw[1] * scale))
    else:
        size = primary_hw
    top, left = _centre(height, size[0]), _centre(width, size[1])
    return Placement(primary_hw, primary_hw), Placement(primary_hw, size, top, left)


def _nearest(value: float) -> int:
    return int(value + 0.5)


def _centre(canvas: int, side: int) -> int:
    """Offset that centres `side`: an odd pixel over, empty or cropped, goes to the far end."""
    return (canvas - side) // 2 if side <= canvas else -((side - canvas) // 2)


def fit_image(image: Array, placement: Placement, fill: float | Sequence[float], interpolation: int) -> Array:
    """Lay an image or a mask onto its canvas.

    Args:
        image: (H, W) or (H, W, C) for any C, of a dtype that OpenCV resizes (uint8, uint16, int16, float32, float64);
            with nearest neighbour, of any dtype.
        placement: Where it goes.
        fill: Value, or one per channel, where the image does not reach.
        interpolation: OpenCV flag.

    Returns:
        Array of `placement.canvas_hw` and the dtype and channels of `image`; `image` itself where nothing is to do.

    Raises:
        cv2.error: OpenCV does not resize this dtype with this interpolation.
    """
    (height, width), (size_h, size_w) = placement.canvas_hw, placement.size_hw
    if placement.canvas_hw == placement.size_hw == image.shape[:2]:
        return image
    if size_h >= height and size_w >= width:
        top_left = -placement.top, -placement.left
        return resize_window(image, placement.size_hw, top_left, placement.canvas_hw, interpolation)
    canvas = np.empty((height, width, *image.shape[2:]), image.dtype)
    canvas[placement.inside] = resize(image, placement.size_hw, interpolation)
    for band in placement.outside():
        fill_pixels(canvas[band], fill)
    return canvas


def fill_pixels(pixels: Array, fill: float | Sequence[float]) -> None:
    """Write `fill` into (H, W) or (H, W, C), whole rows at a time: broadcasting C values to each pixel is far slower.

    Args:
        pixels: Written to.
        fill: Value, or one for each channel.
    """
    row = np.empty(pixels.shape[1:], pixels.dtype)
    row[...] = fill
    pixels[...] = row


def normalize_bboxes(bboxes: Array, bbox_format: str, hw: tuple[int, int], out: Array) -> Array:
    """Convert horizontal boxes to normalized xyxy, to the same bits as Albumentations.

    Coordinates are written one after the other, not box by box: NumPy walks through rows of two or four values several
    times slower (benchmarks/RESULTS.md, "Inside Compose").

    Args:
        bboxes: (N, 4+) float32 in `bbox_format`, of which four columns are read.
        bbox_format: "pascal_voc", "coco" or "cxcywh" (pixels), "yolo" or "albumentations" (shares of the sides).
        hw: (height, width) of the image, in pixels.
        out: (4, N) float32, written to: x_min, y_min, x_max, y_max.

    Returns:
        `out`.
    """
    corners = bboxes.T[:4]
    if bbox_format == "coco":
        corners = np.concatenate((corners[:2], corners[2:] + corners[:2]))
    elif bbox_format in {"yolo", "cxcywh"}:
        halves = corners[2:] / 2
        corners = np.concatenate((corners[:2] - halves, corners[:2] + halves))
    return np.divide(corners, _sides((1, 1) if bbox_format in {"yolo", "albumentations"} else hw), out=out)


@lru_cache(maxsize=1024)
def _sides(hw: tuple[int, int]) -> Array:
    return np.array((hw[1], hw[0], hw[1], hw[0]), np.float32)[:, None]


def are_plain(corners: Array) -> bool:
    """Tell whether boxes are beyond doubt: inside of the image, no side as short as 1e-4 of it.

    Nothing clips, drops or refuses such boxes; of others, NaN included, this says nothing.

    Args:
        corners: (4, N) normalized x_min, y_min, x_max, y_max, N > 0.
    """
    lowest, highest = extremes(corners)
    if not (lowest >= 0.0 and highest <= 1.0):
        return False
    sides = (corners[2:] - corners[:2]).reshape(-1)
    return bool(sides.item(sides.argmin()) > _PLAIN_SIDE)


def have_extent(bboxes: Array) -> Array:
    """Tell which boxes are there: of one that is cut off where it ends, float32 may leave a side next to 0.

    Args:
        bboxes: (N, 4+) normalized xyxy, float32.

    Returns:
        (N,) bool.
    """
    return np.asarray(np.all(bboxes[:, 2:4] - bboxes[:, :2] > _ROUNDING, axis=1))


def fit_bboxes(bboxes: Array, placement: Placement) -> tuple[Array, Array | None]:
    """Move boxes with the image that they belong to; where it is cropped, clip them and drop those with nothing left.

    Args:
        bboxes: (N, 4+) normalized xyxy of the image, further columns untouched.
        placement: Where the image goes.

    Returns:
        (M, 4+) array of the same dtype, normalized xyxy of the canvas, M <= N; `bboxes` itself where they stay. And
        which of the N are among them, bool (N,); None where all are.
    """
    if placement.fills:
        return bboxes, None
    moved = _affine(bboxes, placement)
    if not placement.crops:
        return moved.astype(bboxes.dtype), None
    moved[:, :4] = moved[:, :4].clip(0.0, 1.0)
    height, width = placement.canvas_hw
    sides = (moved[:, 2:4] - moved[:, :2]) * (width, height)
    kept: Array = np.all(sides > _NOTHING_LEFT_PX, axis=1)
    return moved[kept].astype(bboxes.dtype), kept


def fit_oriented_bboxes(bboxes: Array, placement: Placement) -> tuple[Array, Array | None]:
    """Move oriented boxes with their image; where it is cropped, drop those that lie outside of the canvas.

    They are not clipped: what is left of a rotated rectangle is no rectangle. Angles are true only where both axes
    scale alike, so "stretch" must not come here.

    Args:
        bboxes: (N, 5+) normalized xyxy of the unrotated rectangle and its angle in degrees, further columns untouched.
        placement: Where the image goes.

    Returns:
        (M, 5+) array of the same dtype, M <= N; `bboxes` itself where they stay. And which of the N are among them,
        bool (N,); None where all are.
    """
    if placement.fills:
        return bboxes, None
    moved = _affine(bboxes, placement)
    if not placement.crops:
        return moved.astype(bboxes.dtype), None
    pixels = moved[:, :4] * (placement.canvas_hw[::-1] * 2)
    centres, halves = (pixels[:, :2] + pixels[:, 2:]) / 2, (pixels[:, 2:] - pixels[:, :2]) / 2
    cosines, sines = np.abs(np.cos(np.deg2rad(moved[:, 4]))), np.abs(np.sin(np.deg2rad(moved[:, 4])))
    reach = np.stack([halves[:, 0] * cosines + halves[:, 1] * sines, halves[:, 0] * sines + halves[:, 1] * cosines], 1)
    far = np.array(placement.canvas_hw[::-1]) - _NOTHING_LEFT_PX
    kept: Array = np.all((centres + reach > _NOTHING_LEFT_PX) & (centres - reach < far), axis=1)
    return moved[kept].astype(bboxes.dtype), kept


def _affine(bboxes: Array, placement: Placement) -> NDArray[np.float64]:
    (height, width), (size_h, size_w) = placement.canvas_hw, placement.size_hw
    moved = bboxes.astype(np.float64)
    moved[:, [0, 2]] = (moved[:, [0, 2]] * size_w + placement.left) / width
    moved[:, [1, 3]] = (moved[:, [1, 3]] * size_h + placement.top) / height
    return moved


def fit_keypoints(keypoints: Array, source_hw: tuple[int, int], placement: Placement, centre: float) -> Array:
    """Move keypoints with the image that they belong to; those outside of the canvas stay, as after any crop.

    Args:
        keypoints: (N, 5+) columns x, y, z, angle, scale in pixels of the image, further columns untouched.
        source_hw: (height, width) of the image.
        placement: Where the image goes.
        centre: Where in its pixel a whole number lies: 0.5 in the middle, as a resized image's pixels do, 0 at the
            corner.

    Returns:
        New (N, 5+) array of the same dtype, in pixels of the canvas; the scale column by the larger of both scales.
    """
    if len(keypoints) == 0:  # Albumentations drops the columns with the rows
        return keypoints
    scale_y, scale_x = placement.size_hw[0] / source_hw[0], placement.size_hw[1] / source_hw[1]
    moved = keypoints.astype(np.float64)
    moved[:, 0] = (moved[:, 0] + centre) * scale_x - centre + placement.left
    moved[:, 1] = (moved[:, 1] + centre) * scale_y - centre + placement.top
    moved[:, 4] *= max(scale_x, scale_y)
    return moved.astype(keypoints.dtype)
