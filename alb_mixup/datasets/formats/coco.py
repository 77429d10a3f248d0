"""COCO."""

import os
from collections.abc import Sequence
from typing import Any

from alb_mixup.datasets.annotations.keypoints import NO_KEYPOINTS, PackedKeypoints, keypoints_from_coco
from alb_mixup.datasets.annotations.shapes import PackedShapes, Shape, shape_from_coco
from alb_mixup.datasets.annotations.shared import SharedArrays
from alb_mixup.datasets.annotations.validate import InvalidLog, OnInvalid
from alb_mixup.datasets.base import DetectionDataset, absolute_path, checked_classes
from alb_mixup.datasets.formats.coco_json import collector_paused, columns_of, load_coco
from alb_mixup.datasets.formats.coco_reader import CocoReader
from alb_mixup.functional.boxes import to_xyxy


class CocoDataset(DetectionDataset):
    """A dataset in COCO's instances format: one JSON file with `images`, `annotations` and `categories`.

    - **Images** are found by their `file_name`, or the end of their `coco_url` (LVIS), below the folder `images`. None
      looks at the usual neighbours of the JSON file: its own folder (Roboflow), `images/`, `data/` (FiftyOne), the
      split in the file's name (`instances_train2017.json`: `train2017/` and `images/train2017/`), and the same beside
      a folder named `annotations/`. A name stands for a file that differs from it in case, in its form of Unicode, or
      in being URL-quoted, where there is one such. A path of another machine (absolute, a URL, or leading out) is
      shortened from its beginning, to what is in the folder and is no other image's; nothing outside of it is ever
      opened.
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
        annotations: The JSON file.
        images: The images' folder. None: it is looked for as described.
        classes: The class names in your order; annotations of any other are then invalid. None: all categories.
        keep_crowd: Keep annotations with `iscrowd`, whose one box stands for many objects. They are left out by
            default, as in COCO's own evaluation, and are not counted as invalid.
        masks: Add `masks` to each sample: uint8 (N, H, W), 0 and 1, one a box, from polygons or run lengths exactly
            as pycocotools draws them; the filled box where an annotation has no segmentation, or an unreadable one,
            which is then listed in `invalid`. Albumentations drops no mask along with its box: number the boxes in a
            label field where the pipeline may drop some.
        keypoints: Add to each sample the P labelled keypoints (visibility above 0) of its boxes: `keypoints`, float32
            (P, 2), x and y in pixels; `keypoint_labels`, list of P names; `keypoint_visibility`, float32 (P,), 1
            hidden, 2 visible; `keypoint_boxes`, float32 (P,), the position of the keypoint's box in this sample's
            `bboxes`.
        on_invalid: What to do about malformed entries, missing images, unknown categories, and boxes that are not
            finite, without area or beyond the image. `"drop"`: leave them out, with one warning that counts them and
            names the first. `"raise"`: stop at the first. `"clip"`: clip boxes that reach beyond the image, drop the
            rest, with the same warning. A bad box costs the box, a bad image its boxes too.

    Raises:
        ArgumentError: An argument breaks its constraint.
        DatasetError: No such file or folder, no COCO instances file, or none of its images is found.
        AnnotationError: An annotation is invalid and `on_invalid` is `"raise"`.

    Source:
        "Data format" on https://cocodataset.org.

    Examples:
        >>> dataset = CocoDataset("annotations/instances_val2017.json", masks=True)  # doctest: +SKIP
        >>> dataset[0]["masks"].shape  # doctest: +SKIP
        (20, 426, 640)
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
        reader.found.left_out = {"crowd": reader.not_chosen}
        shapes = reader.read_each("segmentation", shape_from_coco, Shape(), "its box is its mask") if masks else None
        points = reader.read_each("keypoints", keypoints_from_coco, NO_KEYPOINTS, "it has none") if keypoints else None
        packed, kept = reader.pack()
        self.has_masks = masks
        self._shapes = None if shapes is None else PackedShapes.pack([shapes[row] for row in kept])
        self._keypoints = None if points is None else PackedKeypoints.pack([points[row] for row in kept])
        if self._keypoints is not None:
            self.keypoint_names = self._keypoints.names(packed.class_ids, reader.keypoint_names)
            self.skeletons = reader.skeletons
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
            found=reader.found,
        )

    def annotations(self, index: int) -> dict[str, Any]:
        """The boxes of image `index`, and its masks and keypoints where they were asked for, without its pixels.

        Returns:
            A dict of fresh objects: those of `DetectionDataset.annotations`, `masks`, and `keypoints` with their
            label fields, as the class describes them.

        Raises:
            IndexError: There is no such image.
        """
        found = super().annotations(index)
        rows = self._annotations.rows(self._image_number(index))
        if self._shapes is not None:
            hw = self.image_size(index)
            found["masks"] = self._shapes.masks(rows, to_xyxy(found["bboxes"], self.bbox_format, hw), hw)
        if self._keypoints is not None and self.keypoint_names is not None:
            names = [self.keypoint_names[class_id] for class_id in self._annotations.class_ids[rows]]
            found |= self._keypoints.targets(rows, names)
        return found

    def _parts(self) -> list[SharedArrays]:
        return [part for part in (self._shapes, self._keypoints) if part is not None]
