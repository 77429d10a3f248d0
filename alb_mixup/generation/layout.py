"""How a layout says what is in a set: its face, and what all layouts have in common."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from alb_mixup.errors import ArgumentError


class WrittenImage(NamedTuple):
    """One image with its boxes, as a layout writes it.

    Attributes:
        name: File name of the image.
        hw: Height and width.
        xyxy: (N, 4) corners in pixels, 0-based, half-open.
        class_ids: N positions in the classes.
        weights: N weights.
        masks: N masks of that size, each as COCO's compressed run lengths; None: the set has none.
        keypoints: Of each box, x, y and visibility (0 not labelled, 1 hidden, 2 visible) of the keypoints of its class,
            in their order, as one flat list; None: the set has none.
    """

    name: str
    hw: tuple[int, int]
    xyxy: Any
    class_ids: Sequence[int]
    weights: Sequence[float]
    masks: Sequence[str] | None = None
    keypoints: Sequence[Sequence[float]] | None = None


class Layout:
    """Where a layout keeps what. Texts come in pieces, so that no file of a large set is ever held whole.

    Args:
        classes: Class names.
        weights: Whether to write the weights, of images where one is not 1.
        strict: Whether files must be as strict readers of the layout want them, whatever is lost by it.
        val: Validation images, for a layout that names them.
        masks: Whether images have masks.
        keypoint_names: Where they have keypoints, the names of those of each class.
        skeletons: Pairs of keypoints of each class that belong together, numbered from 1.

    Raises:
        ArgumentError: The layout cannot hold this.
    """

    images: ClassVar[str]
    unwritable_name = re.compile("[\ud800-\udfff]")  # lone surrogates, which UTF-8 does not have

    def __init__(
        self,
        classes: Sequence[str],
        *,
        weights: bool,
        strict: bool = False,
        val: str | None = None,
        masks: bool = False,
        keypoint_names: Sequence[Sequence[str]] | None = None,
        skeletons: Sequence[Sequence[tuple[int, int]]] | None = None,
    ) -> None:
        for name in classes:
            if self.unwritable_name.search(name):
                raise ArgumentError(
                    f"output_format must be able to hold every class name, got one that cannot hold {name!r}: take "
                    "another format (XML keeps no space around a name and no control character), or rename the class"
                )
        self.classes, self.val, self.strict = tuple(classes), val, strict
        self.weights, self.masks = weights, masks
        self.keypoint_names, self.skeletons = keypoint_names, skeletons

    def _has_weights(self, image: WrittenImage) -> bool:
        """Whether an image's weights are to be written: 1 is what a missing one means."""
        return self.weights and any(weight != 1 for weight in image.weights)

    def label_file(self, image: WrittenImage) -> tuple[str, str] | None:
        """Path and text of the image's own annotation file; None where the layout has one file for all."""

    def files(self, image: WrittenImage, encoded: bytes) -> dict[str, bytes]:
        """Contents, by path, of an image's file and of its own annotation file, where it has one."""
        label_file = self.label_file(image)
        files = {f"{self.images}/{image.name}": encoded}
        return files if label_file is None else files | {label_file[0]: label_file[1].encode()}

    def index_files(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[tuple[str, Iterator[str]]]:
        """Paths and texts of the files about the whole set.

        Args:
            images: Goes through all images, each time it is called.
        """
        raise NotImplementedError


def short(value: float) -> float:
    """A float32 as the shortest decimal that reads back as the same."""
    return float(str(np.float32(value)))


def decimal(value: float) -> str:
    """A float32 as text, whole numbers without a point."""
    return repr(short(value)).removesuffix(".0")


def stem(name: str) -> str:
    """A file name without its suffix."""
    return name.rpartition(".")[0]
