"""COCO."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.keypoints import PackedKeypoints, keypoints_from_coco
from alb_mixup.datasets.annotations.packed import PackedAnnotations
from alb_mixup.datasets.annotations.shapes import PackedShapes, shape_from_coco
from alb_mixup.datasets.annotations.validate import BoxTable, InvalidLog, OnInvalid, pack_valid
from alb_mixup.datasets.base import DetectionDataset, absolute_path, checked_classes
from alb_mixup.datasets.formats.coco_json import (
    Columns,
    collector_paused,
    columns_of,
    image_file,
    load_coco,
    read_categories,
    sound_columns,
    stated_size,
)
from alb_mixup.datasets.formats.listing import Listing, find_images
from alb_mixup.datasets.images.decode import image_size
from alb_mixup.errors import ImageReadError
from alb_mixup.functional.boxes import to_xyxy

_Part = TypeVar("_Part")
_LEFT_OUT, _UNKNOWN = -1, -2  # instead of an image's number: it is invalid itself, there is none such


class CocoDataset(DetectionDataset):
    """A dataset in COCO's instances format: one JSON file with `images`, `annotations` and `categories`.

    - **Images** are found by their `file_name` below the folder `images`. None looks at the usual neighbours of the
      JSON file: its own folder (Roboflow), `images/`, the split in the file's name (`instances_train2017.json`:
      `train2017/` and `images/train2017/`), and the same beside a folder named `annotations/`. A `file_name` that
      leads out of the folder is refused.
    - **Background**: an image without annotations is kept, in the order of `images`.
    - **Classes** are the names of `categories`, in the order of their ids, which may be sparse. Categories of one
      name are one class.
    - **Boxes** are `"coco"`: x_min, y_min, width, height in pixels, as written. Up to 1 pixel beyond the image is
      rounding, and is clipped without a word; more is invalid.
    - **Size and orientation**: `width` and `height` decide whether a photograph with an EXIF orientation is turned
      (see `DetectionDataset`); where they are missing or 0, the image is asked, turned as viewers show it.
    - **Weights**: a key `mixup_weight` on an annotation, finite and not negative, becomes its `mixup_weight`.

    `root` is the images' folder. In `invalid`, `file` is the JSON file's name, and `object_index` the position in
    `annotations`.

    Args:
        annotations: the JSON file.
        images: the images' folder. None: it is looked for as described.
        classes: the class names in your order; annotations of any other are then invalid. None: all categories.
        keep_crowd: keep annotations with `iscrowd`, whose one box stands for many objects. They are left out by
            default, as in COCO's own evaluation, and are not counted as invalid.
        masks: add `masks` to each sample: uint8 (N, H, W), 0 and 1, one a box, from polygons or run lengths exactly
            as pycocotools draws them; the filled box where an annotation has no segmentation. Albumentations drops
            no mask along with its box: number the boxes in a label field where the pipeline may drop some.
        keypoints: add to each sample the P labelled keypoints (visibility above 0) of its boxes: `keypoints`, float32
            (P, 2), x and y in pixels; `keypoint_labels`, list of P names; `keypoint_visibility`, float32 (P,), 1
            hidden, 2 visible; `keypoint_boxes`, float32 (P,), the position of the keypoint's box in this sample's
            `bboxes`.
        on_invalid: what to do about malformed entries, missing images, unknown categories, and boxes that are not
            finite, without area or beyond the image. `"drop"`: leave them out, with one warning that counts them and
            names the first. `"raise"`: stop at the first. `"clip"`: clip boxes that reach beyond the image, drop the
            rest, with the same warning. A bad box costs the box, a bad image its boxes too.

    Raises:
        ArgumentError: an argument breaks its constraint.
        DatasetError: no such file or folder, no COCO instances file, or none of its images is found.
        AnnotationError: an annotation is invalid and `on_invalid` is `"raise"`.

    Sources:
        "Data format" on https://cocodataset.org.
    """

    bbox_format = "coco"

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        classes: Sequence[str] | None = None,
        keep_crowd: bool = False,
        masks: bool = False,
        keypoints: bool = False,
        on_invalid: OnInvalid = "drop",
    ) -> None:
        path = absolute_path(annotations, "annotations", "a COCO JSON file")
        folder = None if images is None else absolute_path(images, "images")
        given_classes = checked_classes(classes)
        log = InvalidLog(path.parent, on_invalid)
        with collector_paused():
            reader = CocoReader(load_coco(path), path, folder, given_classes, log)
            reader.select(columns_of, lambda columns: keep_crowd | ~columns.crowd)
        shapes = reader.read_each("segmentation", shape_from_coco) if masks else None
        points = reader.read_each("keypoints", lambda value, _: keypoints_from_coco(value)) if keypoints else None
        packed, kept = reader.pack()
        self._shapes = None if shapes is None else PackedShapes.pack([shapes[row] for row in kept])
        self._keypoints = None if points is None else PackedKeypoints.pack([points[row] for row in kept])
        self._keypoint_names = reader.keypoint_names
        super().__init__(
            root=reader.root,
            split=None,
            classes=reader.classes,
            annotations=packed,
            log=log,
            spec={
                "dataset": "CocoDataset",
                "annotations": path.as_posix(),
                "images": reader.root.as_posix(),
                "classes": None if given_classes is None else list(given_classes),
                "keep_crowd": keep_crowd,
                "masks": masks,
                "keypoints": keypoints,
                "on_invalid": on_invalid,
            },
        )

    def annotations(self, index: int) -> dict[str, Any]:
        """The boxes of image `index`, and its masks and keypoints where they were asked for, without its pixels.

        Returns:
            A dict of fresh objects: those of `DetectionDataset.annotations`, `masks`, and `keypoints` with their
            label fields, as the class describes them.

        Raises:
            IndexError: there is no such image.
        """
        found = super().annotations(index)
        rows = self._annotations.rows(self._image_number(index))
        if self._shapes is not None:
            hw = self.image_size(index)
            found["masks"] = self._shapes.masks(rows, to_xyxy(found["bboxes"], self.bbox_format, hw), hw)
        if self._keypoints is not None:
            names = [self._keypoint_names[class_id] for class_id in self._annotations.class_ids[rows]]
            found |= self._keypoints.targets(rows, names)
        return found


class CocoReader:
    """Reads one file: its categories and images at once, then the annotations as columns, sorted by image.

    Args:
        data: the lists of the file; emptied of its images.
        path: the file, or what messages call it.
        images: the images' folder; None: it is looked for beside the file.
        classes: the class names; None: all categories.
        log: takes what is invalid.
        results: what messages call the file of the annotations, where it is another.
    """

    def __init__(
        self,
        data: dict[str, list[Any]],
        path: Path,
        images: Path | None,
        classes: Sequence[str] | None,
        log: InvalidLog,
        results: str | None = None,
    ) -> None:
        self._file, self._log, self._results = path.name, log, results or path.name
        self._data = data
        self._read_categories(path, classes)
        self._read_images(path, images)

    def _read_categories(self, path: Path, classes: Sequence[str] | None) -> None:
        categories = read_categories(self._data["categories"], path)
        names = dict.fromkeys(category.name for category in categories.values())
        self.classes = tuple(classes or names)
        ids = {name: number for number, name in enumerate(self.classes)}
        self._names = {key: category.name for key, category in categories.items()}
        self._class_of = {key: ids[name] for key, name in self._names.items() if name in ids}
        keypoints = {category.name: category.keypoints for category in categories.values()}
        self.keypoint_names = tuple(keypoints.get(name, ()) for name in self.classes)

    def _read_images(self, path: Path, images: Path | None) -> None:
        named = [(number, entry, self._named(number, entry)) for number, entry in enumerate(self._data.pop("images"))]
        listing = find_images(path, images, [file for _, _, file in named if file is not None])
        self.root = listing.root
        self._image_of: dict[Any, int] = {}
        self._files: list[str] = []
        self._sizes: list[tuple[int, int]] = []
        for number, entry, file in named:
            if file is not None:
                self._add_image(number, entry, file, listing)

    def _named(self, number: int, entry: Any) -> str | None:
        try:
            hash(entry["id"])
            return image_file(entry["file_name"])
        except KeyError as error:
            self._log.add(self._file, None, f"images[{number}] has no {error}")
        except (TypeError, ValueError) as error:
            self._log.add(self._file, None, f"images[{number}]: {error}")
        return None

    def _add_image(self, number: int, entry: dict[str, Any], file: str, listing: Listing) -> None:
        key = entry["id"]
        try:
            if key in self._image_of:
                raise ValueError("its id is that of an image before it")
            self._image_of[key] = _LEFT_OUT
            if file not in listing:
                raise ValueError("its image is missing")
            size = stated_size(entry) or image_size(self.root / file)
        except (ValueError, ImageReadError) as error:
            self._log.add(self._file, None, f"images[{number}], {file!r}, id {key!r}: {error}")
        else:
            self._image_of[key] = len(self._files)
            self._files.append(file)
            self._sizes.append(size)

    def select(self, read: Callable[[Sequence[Any]], Columns], choose: Callable[[Columns], NDArray[np.bool_]]) -> None:
        """Find the annotations to keep, sorted by image.

        Args:
            read: turns annotations into columns.
            choose: says which of them are wanted, bool (m,).
        """
        columns, positions = sound_columns(self._data["annotations"], self._results, self._log, read)
        count = len(positions)
        image = np.fromiter([self._image_of.get(key, _UNKNOWN) for key in columns.image_ids], np.int64, count)
        class_ids = np.fromiter([self._class_of.get(key, _UNKNOWN) for key in columns.category_ids], np.int32, count)
        wanted = choose(columns)
        for row in np.flatnonzero(wanted & ((image == _UNKNOWN) | ((class_ids == _UNKNOWN) & (image >= 0)))):
            self._log_unknown(int(positions[row]), columns, int(row), unknown_image=bool(image[row] == _UNKNOWN))
        rows = np.flatnonzero(wanted & (image >= 0) & (class_ids >= 0))
        rows = rows[np.argsort(image[rows], kind="stable")]
        written = columns.boxes[rows]
        with np.errstate(over="ignore", invalid="ignore"):  # not finite, so refused below
            xyxy = to_xyxy(written, "coco", (1, 1))
        self._table = BoxTable(
            image=image[rows],
            object_index=positions[rows],
            xyxy=xyxy,
            written=written,
            class_ids=class_ids[rows],
            weights=columns.weights[rows],
        )

    def _log_unknown(self, position: int, columns: Columns, row: int, *, unknown_image: bool) -> None:
        category = columns.category_ids[row]
        if unknown_image:
            reason = f"unknown image_id {columns.image_ids[row]!r}: it is not among the images"
        elif category in self._names:
            reason = f"unknown class {self._names[category]!r}: it is not among the classes given"
        else:
            reason = f"unknown category_id {category!r}: it is not among the categories"
        self._log.add(self._results, position, reason)

    def read_each(self, key: str, read: Callable[[Any, tuple[int, int]], _Part]) -> dict[int, _Part]:
        """Read one more part of each annotation, by its position; what cannot be read is logged and left out."""
        found: dict[int, _Part] = {}
        for position, image in zip(self._table.object_index.tolist(), self._table.image.tolist(), strict=True):
            try:
                found[position] = read(self._data["annotations"][position].get(key), self._sizes[image])
            except ValueError as error:  # noqa: PERF203
                self._log.add(self._results, position, str(error))
        self._table = self._table.rows(np.isin(self._table.object_index, list(found)))
        return found

    def pack(self) -> tuple[PackedAnnotations, list[int]]:
        """Check the boxes, log the invalid, and pack the rest; also the positions of those that are left."""
        packed, kept = pack_valid(
            self._table,
            files=self._files,
            annotation_files=[self._results] * len(self._files),
            sizes=np.array(self._sizes, np.int32).reshape(-1, 2),
            log=self._log,
            bbox_format="coco",
        )
        return packed, self._table.object_index[kept].tolist()
