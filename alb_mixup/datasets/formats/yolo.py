"""YOLO, in the layout of Ultralytics."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from alb_mixup.datasets.annotations.packed import PackedAnnotations
from alb_mixup.datasets.annotations.shapes import PackedShapes
from alb_mixup.datasets.annotations.shared import SharedArrays
from alb_mixup.datasets.annotations.validate import BoxTable, InvalidLog, OnInvalid, pack_valid
from alb_mixup.datasets.base import DetectionDataset, Found, absolute_path, checked_classes
from alb_mixup.datasets.formats.listing import named_folder
from alb_mixup.datasets.formats.yolo_folder import YoloFolder, read_folder
from alb_mixup.datasets.formats.yolo_labels import labels_elsewhere, orphans
from alb_mixup.datasets.formats.yolo_txt import YoloRows, label_lines
from alb_mixup.datasets.formats.yolo_yaml import YoloIndex, read_index
from alb_mixup.errors import DatasetError
from alb_mixup.functional.boxes import to_xyxy


class YoloDataset(DetectionDataset):
    """A dataset in the YOLO layout of Ultralytics or darknet: images, and a text file of labels for each.

    - **data.yaml**: `path` is the root (the file's own folder where it is missing or does not exist), each split a
      folder, a text file with one image a line, or a list of these, and `names` a list or a dict of ids to names; `nc`
      alone names them `class_0`, ... Paths may be absolute, have backslashes, or begin with folders of another machine.
      A relative one that leads out of the root is refused.
    - **Without one**: a darknet .data file says the same. Otherwise images are those of `images/<split>`,
      `<split>/images`, `images` or the folder itself, and names those of `classes.txt` or `obj.names`.
    - **Labels**: the last folder `images` in an image's path becomes `labels`, and its suffix `.txt`; without such a
      folder, or where that file is missing, the two lie side by side. An empty file makes the image background, and so
      does a missing one, which `unlabelled` names.
    - **Rows**: a class and a box (x_center, y_center, width, height in shares of the image's sides), and optionally
      a weight in [0, 1] as a 6th number; or a class and a polygon, whose box is taken. The kind is decided row by row.
      The keypoints of pose rows are skipped. Equal rows are kept, each a box.
    - **Boxes** are `"yolo"`, as written. Up to 1 % of a side beyond the image is rounding, and is clipped without a
      word; more is invalid.
    - **Size and orientation**: the format states no size, so a photograph with an EXIF orientation is turned as
      viewers turn it, which is what Ultralytics does, and `image_size` asks the image.

    `root` is the folder below which all is. In `invalid`, `file` is the label file, `object_index` its 0-based line.

    Args:
        data: The data.yaml or .data file, or the folder.
        split: A split of it, such as `"train"`. None: `"train"` where there is one, or the only one.
        images: The folder of the split's images, below the root or a path of its own. None: as described.
        annotations: The folder of its labels, as well.
        classes: The class names in your order; any other in the data is then invalid. Where the dataset has no names,
            these are the names of 0, 1, ... None: all names, by id.
        masks: Add `masks` to each sample: uint8 (N, H, W), 0 and 1, one a box, the row's polygon or else its filled
            box. Albumentations drops no mask along with its box: number the boxes in a label field where the pipeline
            may drop some.
        on_invalid: What to do about malformed rows, unreadable label files, missing images, unknown classes, and boxes
            that are not finite, without area or beyond the image. `"drop"`: leave them out, with one warning that
            counts them and names the first. `"raise"`: stop at the first. `"clip"`: clip boxes that reach beyond the
            image, drop the rest, with the same warning. A bad row costs its box, a bad file its image.

    Raises:
        ArgumentError: An argument breaks its constraint.
        DatasetError: No such file, folder or split, nothing in it, or no class names.
        AnnotationError: An annotation is invalid and `on_invalid` is `"raise"`.

    Source:
        `check_det_dataset`, `img2label_paths` and `verify_image_label` of Ultralytics 8.

    Examples:
        >>> dataset = YoloDataset("cats/data.yaml", "val", classes=["cat"])  # doctest: +SKIP
        >>> dataset[0]["bboxes"].shape  # doctest: +SKIP
        (3, 4)
    """

    bbox_format = "yolo"

    def __init__(
        self,
        data: str | os.PathLike[str],
        split: str | None = "train",
        *,
        images: str | os.PathLike[str] | None = None,
        annotations: str | os.PathLike[str] | None = None,
        classes: Sequence[str] | None = None,
        masks: bool = False,
        on_invalid: OnInvalid = "drop",
    ) -> None:
        path = absolute_path(data, "data", "a data.yaml or of its folder")
        given_classes = checked_classes(classes)
        index = read_index(path)
        images = images and named_folder(images, index.root, "images").as_posix()
        annotations = annotations and named_folder(annotations, index.root, "annotations").as_posix()
        folder = read_folder(index, split, images, annotations)
        log = InvalidLog(folder.listing.root, on_invalid)
        reader = _Reader(index, folder, given_classes, log, keep_rings=masks)
        for image in folder.images:
            reader.read(image)
        reader.remark()
        packed, self._shapes = reader.pack()
        self.has_masks = masks
        super().__init__(
            root=folder.listing.root,
            split=folder.split,
            classes=reader.classes,
            annotations=packed,
            log=log,
            spec={
                "dataset": "YoloDataset",
                "data": path.as_posix(),
                "split": folder.split,
                "images": images,
                "annotations": annotations,
                "classes": None if given_classes is None else list(given_classes),
                "masks": masks,
                "on_invalid": on_invalid,
            },
            found=reader.found,
        )

    def annotations(self, index: int) -> dict[str, Any]:
        """The boxes of image `index`, and its masks where they were asked for, without its pixels.

        Returns:
            A dict of fresh objects: those of `DetectionDataset.annotations`, and `masks`.

        Raises:
            IndexError: There is no such image.
            ImageReadError: Masks were asked for, and the image that says their size is missing or not an image.
        """
        found = super().annotations(index)
        if self._shapes is not None:
            height, width = self.image_size(index)
            xyxy = to_xyxy(found["bboxes"], self.bbox_format, (height, width))
            rows = self._annotations.rows(self._image_number(index))
            found["masks"] = self._shapes.masks(rows, xyxy, (height, width), scale=(width, height))
        return found

    def _parts(self) -> list[SharedArrays]:
        return [] if self._shapes is None else [self._shapes]


class _Reader:
    """Reads label files one by one and collects their rows."""

    def __init__(
        self, index: YoloIndex, folder: YoloFolder, classes: Sequence[str] | None, log: InvalidLog, *, keep_rings: bool
    ) -> None:
        names = index.names or dict(enumerate(classes or ()))
        if not names:
            raise DatasetError(
                f"names must be in a data.yaml or classes.txt, got none in {index.root.as_posix()}: add them, or pass "
                "classes="
            )
        self.classes = tuple(classes or dict.fromkeys(names.values()))
        ids = {name: number for number, name in enumerate(self.classes)}
        self._class_of = {key: ids[name] for key, name in names.items() if name in ids}
        self._names, self._log, self._folder = names, log, folder
        self._listing, self._root = folder.listing, str(folder.listing.root)
        self._rows = YoloRows(keypoint_columns=index.keypoint_columns, keep_rings=keep_rings)
        self._keep_rings = keep_rings
        self._files: list[str] = []
        self._label_files: list[str] = []
        self._counts: list[int] = []
        self._line_numbers: list[int] = []
        self.found = Found(splits=folder.splits)

    def read(self, image: str) -> None:
        """Add one image and its rows, or log why not."""
        labels = self._folder.label_file(image)
        lines = None
        try:
            if image.startswith(".."):
                raise ValueError("its image lies outside of the dataset's folder: that is refused")
            if image not in self._listing:
                raise ValueError(f"its image {image!r:.300} is missing")
            if labels in self._listing:
                lines = label_lines(os.path.join(self._root, labels))
        except ValueError as error:
            self._log.add(labels[:300], None, str(error))
            return
        if lines is None:
            self.found.unlabelled.append(image)
        before = len(self._rows)
        for number, line in enumerate(lines or ()):
            if line and not line.isspace():
                self._add_row(labels, number, line)
        self._files.append(image)
        self._label_files.append(labels)
        self._counts.append(len(self._rows) - before)

    def remark(self) -> None:
        """Find the label files without images, and say where hardly any image has labels, or weights seem to be ids."""
        self.found.orphans = orphans(self._listing, self._files, self._label_files)
        self._log.remark_beside(self._folder.beside)
        if self._files and len(self.found.unlabelled) == len(self._files):
            self._log.remarks.append(
                f"none of the {len(self._files)} images of {self._folder.split!r} in {self._root} has a label file, so "
                f"all of them are background: {labels_elsewhere(self._listing, self._label_files[0])}"
            )
        weights = self._rows.columns()[:, 5]
        if len(weights) and not (weights % 1).any() and not weights.all():
            self._log.remarks.append(
                f"the 6th numbers in the label files of {self._root} are all whole, and {int((weights == 0).sum())} of "
                "them are 0: they are read as weights, and may be track ids or flags"
            )

    def _add_row(self, labels: str, number: int, line: str) -> None:
        try:
            self._rows.add(line)
        except (ValueError, OverflowError) as error:
            self._log.add(labels, number, str(error))
        else:
            self._line_numbers.append(number)

    def pack(self) -> tuple[PackedAnnotations, PackedShapes | None]:
        """Check the boxes, log the invalid, and pack the rest, and their shapes where they were asked for."""
        columns = self._rows.columns()
        image = np.repeat(np.arange(len(self._files)), self._counts)
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf, for a box that is refused anyway
            xyxy = to_xyxy(columns[:, 1:5], "yolo", (1, 1))
        table = BoxTable(
            image=image,
            object_index=np.array(self._line_numbers, np.int64),
            xyxy=xyxy,
            written=columns[:, 1:5],
            class_ids=np.array([self._class_of.get(int(key), -1) for key in columns[:, 0]], np.int32),
            weights=columns[:, 5],
        )
        known = np.flatnonzero(table.class_ids >= 0)
        for row in np.flatnonzero(table.class_ids < 0):
            self._log_unknown(self._label_files[image[row]], self._line_numbers[row], int(columns[row, 0]))
        packed, kept = pack_valid(
            table.rows(known), files=self._files, annotation_files=self._label_files, sizes=None, log=self._log,
            bbox_format="yolo",
        )  # fmt: skip
        shapes = PackedShapes.pack([self._rows.shapes[row] for row in known[kept]]) if self._keep_rings else None
        return packed, shapes

    def _log_unknown(self, file: str, line: int, key: int) -> None:
        if key in self._names:
            self._log.add(file, line, f"unknown class {self._names[key]!r}: it is not among the classes given")
        else:
            self._log.add(file, line, f"unknown class {key}: it is not among the names")
