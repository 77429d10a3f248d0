"""Pascal VOC, written."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from alb_mixup.errors import ArgumentError
from alb_mixup.generation.layout import Layout, WrittenImage, decimal, stem


class VocLayout(Layout):
    """`JPEGImages/`, `Annotations/`, `ImageSets/Main/train.txt`; a weight is the object's `<mixup_weight>`.

    Corners are 1-based and name the last pixel of the box. They have their fractions; where strict, they are whole
    pixels, as the development kit has them. A box that would then begin and end at the same pixel, which readers take
    for an empty one, is made a pixel wider. `<difficult>` is 0. The layout holds no masks and no keypoints.
    """

    images = "JPEGImages"
    unwritable_name = re.compile("^$|^\\s|\\s$|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

    def __init__(self, classes: Sequence[str], **held: Any) -> None:
        super().__init__(classes, **held)
        what = "masks" if self.masks else "keypoints"
        if self.masks or self.keypoint_names is not None:
            raise ArgumentError(
                f"output_format must be able to hold {what}, got 'voc', which has boxes alone: take 'coco', or open "
                f"the dataset without {what}"
            )

    def label_file(self, image: WrittenImage) -> tuple[str, str]:
        """The image's XML."""
        height, width = image.hw
        root = ElementTree.Element("annotation")
        _child(root, "folder", self.images)
        _child(root, "filename", image.name)
        size = _child(root, "size")
        for name, side in (("width", width), ("height", height), ("depth", 3)):
            _child(size, name, str(side))
        corners = self._corners(np.asarray(image.xyxy, np.float64).reshape(-1, 4), image.hw)
        has_weights = self._has_weights(image)
        for class_id, box, weight in zip(image.class_ids, corners, image.weights, strict=True):
            item = _child(root, "object")
            _child(item, "name", self.classes[class_id])
            _child(item, "difficult", "0")
            if has_weights:
                _child(item, "mixup_weight", decimal(weight))
            bndbox = _child(item, "bndbox")
            for name, text in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
                _child(bndbox, name, text)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, "unicode").replace("\r", "&#13;")  # a plain one is read as a line feed
        return f"Annotations/{stem(image.name)}.xml", f"{text}\n"

    def _corners(self, xyxy: NDArray[np.float64], hw: tuple[int, int]) -> list[list[str]]:
        low, high = xyxy[:, :2] + 1, xyxy[:, 2:]
        if self.strict:
            low, high = np.rint(low), np.rint(high)
            low -= (high <= low) & (high >= hw[::-1])  # at the far border there is room on this side only
            high = np.maximum(high, low + 1)
            return [[str(int(value)) for value in box] for box in np.concatenate([low, high], axis=1)]
        texts = [[decimal(value) for value in box] for box in np.concatenate([low, high], axis=1)]
        return [_unequal(box) for box in texts]

    def index_files(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[tuple[str, Iterator[str]]]:
        """The split `train`: all images."""
        yield "ImageSets/Main/train.txt", (f"{stem(image.name)}\n" for image in images())


def _unequal(corners: list[str]) -> list[str]:
    """Keep a box of exactly one pixel apart from a click without a drag, which has equal corners."""
    for low, high in ((0, 2), (1, 3)):
        if corners[low] == corners[high]:
            corners[high] = decimal(np.nextafter(np.float32(corners[high]), np.float32(np.inf)))
    return corners


def _child(parent: ElementTree.Element, tag: str, text: str | None = None) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    element.text = text
    return element
