"""Pipelines around MixUp written a second time: what flips, crops, padding and MixUp make of a sample.

Like `tests/oracle.py`, on which it builds, it shares no code with the package and calls no Albumentations. Boxes, masks
and points know here whose they are (`owner`), which the package has to infer from positions and index fields.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from tests.oracle import (
    POINT_CENTRE,
    Placement,
    clip,
    move_point,
    paint,
    place_reference,
    rounding_is_ambiguous,
)

_CLOSE = 0.02  # pixels: what float32 may decide either way


class AmbiguousError(Exception):
    """Whether something is kept hangs on the last bits of a float32."""


@dataclass(frozen=True)
class Box:
    """One box: x_min, y_min, x_max, y_max in pixels, its label fields, and what it is called."""

    corners: tuple[float, float, float, float]
    owner: str
    weight: float = 1.0
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """One keypoint, and the box that it belongs to (None: to none)."""

    x: float
    y: float
    owner: str | None
    label: Any


@dataclass
class Scene:
    """A sample as a pipeline sees it.

    Attributes:
        hw: Height and width.
        kinds: Kind of each pixel target, by its key.
        pixels: Its arrays, float64: one for image and mask, any number for images and masks.
        owners: Of each target of kind "masks": which boxes the masks belong to.
        boxes: By key. points: of "keypoints", or None where that is no target.
        numbered: Whether a label field numbers the boxes. pointed: whether one of the points names their boxes.
        lost: Whether the last look dropped boxes that lie outside of the image.
        astray: Whether positions no longer tell which box a point belongs to.
        tolerance: What rounding to grey levels may have cost so far.
    """

    hw: tuple[int, int]
    kinds: dict[str, str]
    pixels: dict[str, list[np.ndarray]]
    owners: dict[str, list[str]] = field(default_factory=dict)
    boxes: dict[str, list[Box]] = field(default_factory=dict)
    points: list[Point] | None = None
    numbered: bool = False
    pointed: bool = False
    lost: bool = False
    astray: bool = False
    tolerance: float = 0.0
    uint8: bool = True

    @property
    def is_clip(self) -> bool:
        return "images" in self.kinds

    # --- transforms of one image ---

    def moved(
        self,
        hw: tuple[int, int],
        pixels: Callable[[np.ndarray, str], np.ndarray],
        corner: Callable[[float, float], tuple[float, float]],
        point: Callable[[float, float], tuple[float, float]],
    ) -> Scene:
        """Apply a geometric transform: to arrays of a kind, to corners of boxes, to points."""
        made = copy.copy(self)
        made.hw = hw
        made.pixels = {key: [pixels(part, self.kinds[key]) for part in parts] for key, parts in self.pixels.items()}
        made.boxes = {}
        for key, boxes in self.boxes.items():
            made.boxes[key] = []
            for box in boxes:
                (x0, y0), (x1, y1) = corner(*box.corners[:2]), corner(*box.corners[2:])
                sides = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
                made.boxes[key].append(replace(box, corners=sides))
        if self.points is not None:
            made.points = [replace(one, **dict(zip("xy", point(one.x, one.y), strict=True))) for one in self.points]
        return made

    def flipped(self, axis: int) -> Scene:
        height, width = self.hw
        if axis == 1:
            flip, mirror = (lambda x, y: (width - x, y)), (lambda x, y: (width - 1 - x, y))
        else:
            flip, mirror = (lambda x, y: (x, height - y)), (lambda x, y: (x, height - 1 - y))
        return self.moved(self.hw, lambda part, _: np.flip(part, axis), flip, mirror)

    def transposed(self) -> Scene:
        def swap(x: float, y: float) -> tuple[float, float]:
            return y, x

        return self.moved(self.hw[::-1], lambda part, _: part.swapaxes(0, 1), swap, swap)

    def turned(self, quarters: int) -> Scene:
        """Rotate counter-clockwise: a transpose and a flip, as often as asked."""
        made = self
        for _ in range(quarters % 4):
            made = made.transposed().flipped(0)
        return made

    def cropped(self, left: int, top: int, right: int, bottom: int) -> Scene:
        def shift(x: float, y: float) -> tuple[float, float]:
            return x - left, y - top

        return self.moved((bottom - top, right - left), lambda part, _: part[top:bottom, left:right], shift, shift)

    def padded(self, left: int, top: int, right: int, bottom: int, fill: float, fill_mask: float) -> Scene:
        height, width = self.hw

        def pad(part: np.ndarray, kind: str) -> np.ndarray:
            canvas = np.full((height + top + bottom, width + left + right, *part.shape[2:]), 0, np.float64)
            canvas[...] = fill_mask if kind in {"mask", "masks"} else fill
            canvas[top : top + height, left : left + width] = part
            return canvas

        def shift(x: float, y: float) -> tuple[float, float]:
            return x + left, y + top

        return self.moved((height + top + bottom, width + left + right), pad, shift, shift)

    def in_channels(self, channels: Sequence[int], transform: Callable[[Scene], Scene]) -> Scene:
        """Apply a transform to some channels of the image alone."""
        image = self.pixels["image"][0]
        part = Scene(self.hw, {"image": "image"}, {"image": [image[..., list(channels)]]})
        changed = image.copy()
        changed[..., list(channels)] = transform(part).pixels["image"][0]
        made = copy.copy(self)
        made.pixels = {**self.pixels, "image": [changed]}
        return made

    # --- what Albumentations does after each transform ---

    def filtered(self, min_area: float = 0.0, *, with_belongings: bool = False) -> Scene:
        """Clip boxes to the image and drop those with nothing, or too little, left; drop points outside of it."""
        made, (height, width) = copy.copy(self), self.hw
        made.boxes = {}
        made.lost = False
        gone: set[str] = set()
        for key, boxes in self.boxes.items():
            kept = []
            for box in boxes:
                x0, y0, x1, y1 = box.corners
                sides = (clip(x0, width), clip(y0, height), clip(x1, width), clip(y1, height))
                across, down = sides[2] - sides[0], sides[3] - sides[1]
                raw = min(min(x1, width) - max(x0, 0), min(y1, height) - max(y0, 0))
                if abs(raw) < _CLOSE or (min_area and abs(across * down - min_area) < _CLOSE * (across + down + 1)):
                    raise AmbiguousError
                if raw > 0 and across * down >= min_area:
                    kept.append(replace(box, corners=sides))
                elif key == "bboxes":
                    gone.add(box.owner)
                    made.lost |= raw < 0
            made.boxes[key] = kept
        if gone and with_belongings:
            made = made.without(gone)
        elif gone and not self.numbered:
            made.astray = True
        if self.points is not None:
            made.points = []
            for point in self.points if not (gone and with_belongings) else made_points(self, gone):
                x, y = point.x + POINT_CENTRE, point.y + POINT_CENTRE  # their place among the pixels' borders
                if min(abs(x), abs(x - width), abs(y), abs(y - height)) < 1e-3:
                    raise AmbiguousError
                if 0 <= x < width and 0 <= y < height:
                    made.points.append(point)
        return made

    def without(self, gone: set[str]) -> Scene:
        """Drop boxes, and what belongs to them."""
        made = copy.copy(self)
        count = len(self.boxes["bboxes"])
        # `self` may have lost the boxes already; masks are the boxes' where there was one for each.
        count += len(gone - {box.owner for box in self.boxes["bboxes"]})
        made.boxes = {**self.boxes, "bboxes": [box for box in self.boxes["bboxes"] if box.owner not in gone]}
        if not self.is_clip:
            made.pixels, made.owners = dict(self.pixels), dict(self.owners)
            for key, owners in self.owners.items():
                if self.numbered or len(owners) == count:
                    left = [i for i, owner in enumerate(owners) if owner not in gone]
                    made.pixels[key] = [self.pixels[key][i] for i in left]
                    made.owners[key] = [owners[i] for i in left]
        if self.points is not None:
            made.points = made_points(self, gone)
        return made

    # --- MixUp ---

    def mixed(self, partner: Scene, ratio: float, node: dict[str, Any], interpolation: int) -> Scene:
        """Mix with a partner.

        Args:
            partner: The partner.
            ratio: The share of this one.
            node: Settings of MixUp: fit, fill, fill_mask, min_weight, weighting.
            interpolation: OpenCV flag for images; masks take the nearest.
        """
        canvas = self.hw
        if node["fit"] == "canvas":
            canvas = (max(self.hw[0], partner.hw[0]), max(self.hw[1], partner.hw[1]))
        elif rounding_is_ambiguous(canvas, partner.hw, node["fit"]):
            raise AmbiguousError
        places = (Placement(*self.hw, 0, 0), place_reference(canvas, partner.hw, node["fit"]))
        sides = ((self, places[0], ratio), (partner, places[1], 1.0 - ratio))

        made = copy.copy(self)
        made.hw, made.boxes = canvas, {}
        made.astray = self.astray or partner.astray
        resized = places[1][:2] != partner.hw
        made.tolerance = max(self.tolerance, partner.tolerance + resized) + (1.0 if self.uint8 else 1e-5)

        # boxes, and what belongs to those that are dropped
        left = []
        for scene, place, share in sides:
            gone = set()
            for key, boxes in scene.boxes.items():
                kept = []
                for box in boxes:
                    fitted = _fitted(box, place, scene.hw, canvas, clips=scene is partner)
                    weight = box.weight * (share if node["weighting"] == "ratio" else 1.0)
                    if abs(weight - node["min_weight"]) < 1e-5 and node["min_weight"]:
                        raise AmbiguousError
                    if fitted is None or weight < node["min_weight"]:
                        gone |= {box.owner} if key == "bboxes" else set()
                    else:
                        kept.append(replace(box, corners=fitted, weight=weight))
                made.boxes.setdefault(key, []).extend(kept)
            left.append(scene.without(gone) if gone else scene)

        if self.points is not None:
            made.points = []
            for scene, (_, place, _) in zip(left, sides, strict=True):
                for point in scene.points or []:
                    x, y = move_point(point.x + POINT_CENTRE, point.y + POINT_CENTRE, place, scene.hw)
                    made.points.append(replace(point, x=x - POINT_CENTRE, y=y - POINT_CENTRE))

        made.pixels, made.owners = {}, {}
        larger = 0 if ratio >= 0.5 else 1
        for key, kind in self.kinds.items():
            if kind in {"image", "images"}:
                made.pixels[key] = self._blended(key, partner, sides, canvas, node["fill"], interpolation)
            elif kind == "mask" or self.is_clip:
                scene, place, _ = sides[larger]
                parts = scene.pixels[key] if key in scene.pixels else scene.pixels["mask"] * len(self.pixels[key])
                made.pixels[key] = [paint(_bytes(part), place, canvas, node["fill_mask"], cv2.INTER_NEAREST)
                                    for part in parts]  # fmt: skip
            else:
                made.pixels[key] = [paint(_bytes(part), place, canvas, node["fill_mask"], cv2.INTER_NEAREST)
                                    for scene, (_, place, _) in zip(left, sides, strict=True)
                                    for part in scene.pixels[key]]  # fmt: skip
                made.owners[key] = [owner for scene in left for owner in scene.owners[key]]
        return made

    def _blended(
        self,
        key: str,
        partner: Scene,
        sides: Sequence[tuple[Scene, Placement, float]],
        canvas: tuple[int, int],
        fill: float,
        interpolation: int,
    ) -> list[np.ndarray]:
        theirs = partner.pixels.get(key) or partner.pixels["image"] * len(self.pixels[key])
        frames = []
        for pair in zip(self.pixels[key], theirs, strict=True):
            mix = sum(
                share * paint(self._stored(frame), place, canvas, fill, interpolation)
                for frame, (_, place, share) in zip(pair, sides, strict=True)
                if share
            )
            frames.append(np.rint(mix).clip(0, 255) if self.uint8 else mix)
        return frames

    def _stored(self, frame: np.ndarray) -> np.ndarray:
        return _bytes(frame) if self.uint8 else frame.astype(np.float32)


def made_points(scene: Scene, gone: set[str]) -> list[Point]:
    """Points without those of boxes that are gone; where no field says so, none belongs to a box."""
    return [point for point in scene.points or [] if not scene.pointed or point.owner not in gone]


def _bytes(part: np.ndarray) -> np.ndarray:
    return np.rint(part).astype(np.uint8)


def _fitted(
    box: Box, place: Placement, source_hw: tuple[int, int], canvas: tuple[int, int], *, clips: bool
) -> tuple[float, float, float, float] | None:
    """Move a box with its image; clip a partner's where it is cropped; None where nothing is left."""
    x0, y0 = move_point(*box.corners[:2], place, source_hw)
    x1, y1 = move_point(*box.corners[2:], place, source_hw)
    if clips and (place.height > canvas[0] or place.width > canvas[1]):
        left = min(min(x1, canvas[1]) - max(x0, 0), min(y1, canvas[0]) - max(y0, 0))
        if abs(left) < _CLOSE:
            raise AmbiguousError
        if left < 0:
            return None
        return clip(x0, canvas[1]), clip(y0, canvas[0]), clip(x1, canvas[1]), clip(y1, canvas[0])
    return x0, y0, x1, y1
