"""YOLO in the layout of Ultralytics, written."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.shapes import draw_runs, runs_from
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.boxes import from_xyxy
from alb_mixup.functional.outline import outline_of
from alb_mixup.generation.layout import Layout, WrittenImage, decimal, stem


class YoloLayout(Layout):
    """`data.yaml`, `images/train/`, `labels/train/`; a weight is the 6th column of all rows of its file.

    A mask is a polygon around it, which fills holes and joins parts by lines without area; that of an object without a
    pixel is its box. Keypoints are x, y and visibility behind the box, as many for each class, with `kpt_shape`, their
    names and, where they speak of left and right, `flip_idx` in the data.yaml. Rows hold one of masks, keypoints and
    weights.

    The data.yaml names validation images only where they were given: mixes are for training. Ultralytics asks for some.
    """

    images = "images/train"

    def __init__(self, classes: Sequence[str], **held: Any) -> None:
        super().__init__(classes, **held)
        shapes = [*(["masks"] if self.masks else []), *(["keypoints"] if self.keypoint_names is not None else [])]
        if len(shapes) > 1:
            raise ArgumentError(
                "output_format must be able to hold masks beside keypoints, got 'yolo', whose rows hold one of them: "
                "take 'coco', or open the dataset without one"
            )
        if shapes and self.weights:
            raise ArgumentError(
                f"drop_weights must be True for {shapes[0]} with output_format='yolo', got False: its rows hold no "
                f"weight beside them; drop the weights, take 'coco', or open the dataset without {shapes[0]}"
            )
        self._points = max(map(len, self.keypoint_names or ()), default=0)
        if self.keypoint_names is not None and not self._points:
            raise ArgumentError("dataset must have keypoints in some class, got none in any: open it without keypoints")

    def label_file(self, image: WrittenImage) -> tuple[str, str]:
        """One row a box: class, x centre, y centre, width, height in shares of the sides, and what it has beside."""
        rows: Any = from_xyxy(image.xyxy, "yolo", image.hw)
        if image.masks is not None:
            rows = [self._polygon(image, row) for row in range(len(rows))]
        elif image.keypoints is not None:
            rows = [[*box, *self._pose(image, row)] for row, box in enumerate(rows)]
        elif self._has_weights(image):
            if max(image.weights) > 1:
                raise SampleError(
                    f"mixup_weight must be in [0, 1] with output_format='yolo', got {max(image.weights):g}: take "
                    "another format, or drop_weights=True"
                )
            rows = np.column_stack([rows, image.weights])
        text = (
            " ".join([str(class_id), *map(decimal, row)]) for class_id, row in zip(image.class_ids, rows, strict=True)
        )
        return f"labels/train/{stem(image.name)}.txt", "".join(f"{line}\n" for line in text)

    def _polygon(self, image: WrittenImage, row: int) -> NDArray[np.float64]:
        height, width = image.hw
        ring = outline_of(draw_runs(runs_from((image.masks or ())[row], image.hw), image.hw))
        if not len(ring):
            left, top, right, bottom = image.xyxy[row]
            ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return (ring / [width, height]).ravel()

    def _pose(self, image: WrittenImage, row: int) -> list[float]:
        """Keypoints in shares of the sides; one outside of the image is not labelled, for readers refuse it."""
        height, width = image.hw
        points = np.zeros((self._points, 3))
        own = np.reshape((image.keypoints or ())[row], (-1, 3))
        inside = (own[:, 2] > 0) & ((own[:, :2] >= 0) & (own[:, :2] <= [width, height])).all(axis=1)
        points[: len(own)][inside] = own[inside] / [width, height, 1]
        return points.ravel().tolist()

    def index_files(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[tuple[str, Iterator[str]]]:
        """The data.yaml, paths in it relative to its own folder."""
        val = {} if self.val is None else {"val": self.val}
        content = {"train": self.images, **val, "names": dict(enumerate(self.classes)), **self._keypoints()}
        # PyYAML writes NEL as it is, and reads it as a line break: then all beyond ASCII is escaped
        is_plain = not any("\x85" in name for name in self.classes)
        text = yaml.safe_dump(content, allow_unicode=is_plain, sort_keys=False)
        hint = "" if val else "# val: add your validation images, not mixed ones\n"
        yield "data.yaml", iter([text, hint])

    def _keypoints(self) -> dict[str, Any]:
        if self.keypoint_names is None:
            return {}
        names = [[*own, *map(str, range(len(own), self._points))] for own in self.keypoint_names if own]
        swapped = [_mirrored(own) for own in names]
        flip = {} if None in swapped or any(order != swapped[0] for order in swapped) else {"flip_idx": swapped[0]}
        of_class = {number: list(own) for number, own in enumerate(self.keypoint_names) if own}
        return {"kpt_shape": [self._points, 3], **flip, "kpt_names": of_class}


def _mirrored(names: Sequence[str]) -> list[int] | None:
    """Which keypoint each is in a mirror, by what their names say of left and right; None where they do not tell."""
    sides = {"left": "right", "right": "left"}
    other = [re.sub("left|right", lambda found: sides[found[0]], name) for name in names]
    if other == list(names) or set(other) != set(names):
        return None
    return [names.index(name) for name in other]
