"""Datasets in COCO, YOLO and Pascal VOC layout, as text: what the readers of `alb_mixup.datasets` read, written."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, ClassVar, NamedTuple
from xml.etree import ElementTree

import numpy as np
import yaml
from numpy.typing import NDArray

from alb_mixup.errors import ArgumentError
from alb_mixup.functional.boxes import from_xyxy


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
        weights: Whether to write the weights; without them, files are as strict readers of the layout want them.
        val: Validation images, for a layout that names them.
    """

    images: ClassVar[str]
    unwritable_name = re.compile("[\ud800-\udfff]")  # lone surrogates, which UTF-8 does not have

    def __init__(self, classes: Sequence[str], *, weights: bool, val: str | None = None) -> None:
        for name in classes:
            if self.unwritable_name.search(name):
                raise ArgumentError(
                    f"output_format must be able to hold every class name, got one that cannot hold {name!r}: take "
                    "another format (XML keeps no space around a name and no control character), or rename the class"
                )
        self.classes, self.weights, self.val = tuple(classes), weights, val

    def label_file(self, image: WrittenImage) -> tuple[str, str] | None:
        """Path and text of the image's own annotation file; None where the layout has one file for all."""

    def index_files(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[tuple[str, Iterator[str]]]:
        """Paths and texts of the files about the whole set.

        Args:
            images: Goes through all images, each time it is called.
        """
        raise NotImplementedError


class CocoLayout(Layout):
    """`annotations.json`, `images/`; a weight is the annotation's key `mixup_weight`."""

    images = "images"

    def index_files(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[tuple[str, Iterator[str]]]:
        """The instances file: ids from 1, in the order of the images; boxes are x, y, width, height in pixels."""
        yield "annotations.json", self._instances(images)

    def _instances(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[str]:
        categories = [{"id": number, "name": name} for number, name in enumerate(self.classes, 1)]
        yield f'{{"categories": {_json(categories)},\n"images": ['
        yield from _items(_image_entry(number, image) for number, image in enumerate(images(), 1))
        yield '],\n"annotations": ['
        yield from _items(self._annotations(images()))
        yield "]}\n"

    def _annotations(self, images: Iterable[WrittenImage]) -> Iterator[dict[str, Any]]:
        ids = count(1)
        for image_id, image in enumerate(images, 1):
            boxes = from_xyxy(image.xyxy, "coco", image.hw)
            for box, class_id, weight in zip(boxes, image.class_ids, image.weights, strict=True):
                bbox = [_short(value) for value in box]
                entry = {"id": next(ids), "image_id": image_id, "category_id": class_id + 1, "bbox": bbox}
                entry |= {"area": _short(bbox[2] * bbox[3]), "iscrowd": 0}
                yield entry | ({"mixup_weight": _short(weight)} if self.weights else {})


class YoloLayout(Layout):
    """`data.yaml`, `images/train/`, `labels/train/`; a weight is the row's 6th column.

    The data.yaml names validation images only where they were given: mixes are for training. Ultralytics asks for some.
    """

    images = "images/train"

    def label_file(self, image: WrittenImage) -> tuple[str, str]:
        """One row a box: class, x centre, y centre, width, height in shares of the sides, weight."""
        boxes = from_xyxy(image.xyxy, "yolo", image.hw)
        rows = [[str(class_id), *map(_text, box)] for class_id, box in zip(image.class_ids, boxes, strict=True)]
        if self.weights:
            rows = [[*row, _text(weight)] for row, weight in zip(rows, image.weights, strict=True)]
        return f"labels/train/{_stem(image.name)}.txt", "".join(f"{' '.join(row)}\n" for row in rows)

    def index_files(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[tuple[str, Iterator[str]]]:
        """The data.yaml, paths in it relative to its own folder."""
        val = {} if self.val is None else {"val": self.val}
        content = {"train": self.images, **val, "names": dict(enumerate(self.classes))}
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        hint = "" if val else "# val: add your validation images, not mixed ones\n"
        yield "data.yaml", iter([text, hint])


class VocLayout(Layout):
    """`JPEGImages/`, `Annotations/`, `ImageSets/Main/train.txt`; a weight is the object's `<mixup_weight>`.

    Corners are 1-based and name the last pixel of the box. With weights they have their fractions; without, they are
    whole pixels, as the development kit has them. A box that would then begin and end at the same pixel, which readers
    take for an empty one, is made a pixel wider.
    """

    images = "JPEGImages"
    unwritable_name = re.compile("^$|^\\s|\\s$|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

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
        for class_id, box, weight in zip(image.class_ids, corners, image.weights, strict=True):
            item = _child(root, "object")
            _child(item, "name", self.classes[class_id])
            _child(item, "difficult", "0")
            if self.weights:
                _child(item, "mixup_weight", _text(weight))
            bndbox = _child(item, "bndbox")
            for name, text in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
                _child(bndbox, name, text)
        ElementTree.indent(root)
        return f"Annotations/{_stem(image.name)}.xml", ElementTree.tostring(root, "unicode") + "\n"

    def _corners(self, xyxy: NDArray[np.float64], hw: tuple[int, int]) -> list[list[str]]:
        low, high = xyxy[:, :2] + 1, xyxy[:, 2:]
        if not self.weights:
            low, high = np.rint(low), np.rint(high)
            low -= (high <= low) & (high >= hw[::-1])  # at the far border there is room on this side only
            high = np.maximum(high, low + 1)
            return [[str(int(value)) for value in box] for box in np.concatenate([low, high], axis=1)]
        texts = [[_text(value) for value in box] for box in np.concatenate([low, high], axis=1)]
        return [_unequal(box) for box in texts]

    def index_files(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[tuple[str, Iterator[str]]]:
        """The split `train`: all images."""
        yield "ImageSets/Main/train.txt", (f"{_stem(image.name)}\n" for image in images())


LAYOUTS: dict[str, type[Layout]] = {"coco": CocoLayout, "yolo": YoloLayout, "voc": VocLayout}


def _unequal(corners: list[str]) -> list[str]:
    """Keep a box of exactly one pixel apart from a click without a drag, which has equal corners."""
    for low, high in ((0, 2), (1, 3)):
        if corners[low] == corners[high]:
            corners[high] = _text(np.nextafter(np.float32(corners[high]), np.float32(np.inf)))
    return corners


def _short(value: float) -> float:
    """A float32 as the shortest decimal that reads back as the same."""
    return float(str(np.float32(value)))


def _text(value: float) -> str:
    return repr(_short(value)).removesuffix(".0")


def _image_entry(number: int, image: WrittenImage) -> dict[str, Any]:
    height, width = image.hw
    return {"id": number, "file_name": image.name, "width": width, "height": height}


def _items(entries: Iterable[Any]) -> Iterator[str]:
    for number, entry in enumerate(entries):
        yield f"{',' if number else ''}\n{_json(entry)}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _child(parent: ElementTree.Element, tag: str, text: str | None = None) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    element.text = text
    return element
