"""Pascal VOC."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.packed import PackedAnnotations
from alb_mixup.datasets.annotations.validate import BoxTable, InvalidLog, OnInvalid, pack_valid
from alb_mixup.datasets.base import DetectionDataset, Found, absolute_path, checked_classes
from alb_mixup.datasets.formats.listing import named_folder
from alb_mixup.datasets.formats.voc_layout import VocLayout, read_layout
from alb_mixup.datasets.formats.voc_xml import VocFile, VocObject, read_voc_file
from alb_mixup.datasets.images.decode import Unreadable, picture_size


class VocDataset(DetectionDataset):
    """A dataset in Pascal VOC layout.

    Either `root` holds `Annotations/` and `JPEGImages/`, by these names or others in use (`annots/`, `labels/`;
    `images/`, `data/`; in any case), or images and XML files lie side by side in `root`. Splits are lists,
    `root/ImageSets/Main/<split>.txt`, or folders, `root/<split>`, each of which is such a dataset.

    - **Images** are found by the name of their XML (`a.xml` belongs to `a.jpg`, `.jpeg`, `.png`, `.bmp`, `.tif`,
      `.tiff` or `.webp`, in any case, the first of these where there are several). Those in folders of the two folders
      pair by their paths below them, or by a file name that is one of a kind. `<filename>` and `<path>` are not
      looked at: they are often wrong, and could lead out of the folder.
    - **Background** is an image whose XML has no object. An image without an XML is not part of the dataset, for
      nobody has said that it is empty; where a split lists it, its annotation is missing, which is invalid.
    - **Split lists** have one name a line, in the order that the dataset keeps: `a`, `a.jpg` or `JPEGImages/a.jpg`.
      In a class-wise list, such as `aeroplane_train`, where names are followed by 1, 0 or -1, those with -1 (class
      absent) are left out.
    - **Coordinates** in the XML are 1-based and name the last pixel that belongs to the box. `bboxes` are 0-based
      and half-open, so a box is (xmin - 1, ymin - 1, xmax, ymax), as supervision >= 0.31 reads them too. Corners in
      the wrong order are swapped. A box is invalid where xmin equals xmax or ymin equals ymax as written: taken by
      the letter it is one pixel wide, but what writes it is a click without a drag. Up to 1 pixel beyond the image
      is a matter of rounding or of 0-based tools, and is clipped without a word; more is invalid.
    - **Size and orientation**: `<size>` decides whether a photograph with an EXIF orientation is turned (see
      `DetectionDataset`); where it is missing or 0, the image is asked, turned as viewers show it.
    - **Weights**: an optional `<mixup_weight>` in an object, finite and not negative, becomes its `mixup_weight`.

    Args:
        root: The folder.
        split: A list or folder, such as `"train"`. None: every XML there is, sorted by name; of folders, `"train"` or
            the only one.
        images: The images' folder, below `root` or a path of its own. None: it is looked for.
        annotations: The XML files' folder, as well.
        classes: The class names in your order; any other name in the data is then invalid. None: the names that
            occur in the objects read, sorted.
        keep_difficult: Keep objects marked `<difficult>`. They are left out by default, as VOC's own evaluation
            does, and are not counted as invalid.
        on_invalid: What to do about unreadable XML, missing images or annotations, unknown classes, and boxes that
            are incomplete, not finite, without area or beyond the image. `"drop"`: leave them out, with one warning
            that counts them and names the first. `"raise"`: stop at the first. `"clip"`: clip boxes that reach
            beyond the image, drop the rest, with the same warning. A bad box costs the box, not its image.

    Raises:
        ArgumentError: An argument breaks its constraint.
        DatasetError: No such folder or split, or nothing in it.
        AnnotationError: An annotation is invalid and `on_invalid` is `"raise"`.

    Source:
        The VOC2012 development kit, section 8 (annotation files) and section 2 (`ImageSets`).

    Examples:
        >>> from alb_mixup import VocDataset, sample_dataset
        >>> dataset = VocDataset(sample_dataset().root, classes=["Platelets", "RBC", "WBC"])
        >>> len(dataset), dataset.classes
        (14, ('Platelets', 'RBC', 'WBC'))
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str | None = None,
        *,
        images: str | os.PathLike[str] | None = None,
        annotations: str | os.PathLike[str] | None = None,
        classes: Sequence[str] | None = None,
        keep_difficult: bool = False,
        on_invalid: OnInvalid = "drop",
    ) -> None:
        folder = absolute_path(root)
        given_classes = checked_classes(classes)
        images = images and named_folder(images, folder, "images").as_posix()
        annotations = annotations and named_folder(annotations, folder, "annotations").as_posix()
        layout = read_layout(folder, split, images, annotations)
        log = InvalidLog(layout.root, on_invalid)
        reader = _Reader(layout, given_classes, log, keep_difficult)
        stems = layout.stems(split)
        for stem in stems:
            reader.read(stem)
        if split is None:
            reader.found.unlabelled = [layout.image_folder + layout.images[stem] for stem in layout.bare()]
        log.remark_beside(layout.beside)
        names = given_classes or sorted({item.name for item in reader.objects})
        super().__init__(
            root=layout.root,
            split=split or layout.split,
            classes=names,
            annotations=reader.pack(names),
            log=log,
            spec={
                "dataset": "VocDataset",
                "root": folder.as_posix(),
                "split": split,
                "images": images,
                "annotations": annotations,
                "classes": None if given_classes is None else list(given_classes),
                "keep_difficult": keep_difficult,
                "on_invalid": on_invalid,
            },
            found=reader.found,
        )


class _Reader:
    """Reads annotation files one by one and collects their objects."""

    def __init__(self, layout: VocLayout, classes: Sequence[str] | None, log: InvalidLog, keep_difficult: bool) -> None:
        self.layout = layout
        self.found = Found(left_out={"difficult": 0}, splits=layout.splits)
        self.objects: list[VocObject] = []
        self._classes = classes
        self._log = log
        self._keep_difficult = keep_difficult
        self._object_index: list[int] = []
        self._image: list[int] = []
        self._files: list[str] = []
        self._xml_files: list[str] = []
        self._sizes: list[tuple[int, int]] = []

    def read(self, stem: str) -> None:
        """Add one image and its objects, or log why not."""
        layout = self.layout
        xml = f"{layout.xml_folder}{layout.xml.get(stem, f'{stem}.xml')}"
        try:
            if stem not in layout.xml:
                raise ValueError("the split lists this image, but it has no annotation file")
            if stem not in layout.images:
                raise ValueError(
                    f"its image is missing: there is no {stem}.jpg, .png, ... in {layout.image_folder or 'the folder'}"
                )
            image = f"{layout.image_folder}{layout.images[stem]}"
            parsed = read_voc_file(layout.root / xml, keep_difficult=self._keep_difficult)
            size = parsed.size or picture_size(layout.root / image)
        except Unreadable as error:
            self._log.add(xml, None, f"it states no size, and its image {error}")
        except ValueError as error:
            self._log.add(xml, None, str(error))
        else:
            self._files.append(image)
            self._xml_files.append(xml)
            self._sizes.append(size)
            self._add_objects(xml, parsed)

    def _add_objects(self, xml: str, parsed: VocFile) -> None:
        for index, item in enumerate(parsed.objects):
            if isinstance(item, str):
                self._log.add(xml, index, item)
            elif item is not None and self._classes is not None and item.name not in self._classes:
                self._log.add(xml, index, f"unknown class {item.name!r}: it is not among the classes given")
            elif item is None:
                self.found.left_out["difficult"] += 1
            else:
                self.objects.append(item)
                self._object_index.append(index)
                self._image.append(len(self._files) - 1)

    def pack(self, classes: Sequence[str]) -> PackedAnnotations:
        """Check the boxes, log the invalid, and pack the rest."""
        ids = {name: number for number, name in enumerate(classes)}
        written = np.array([item.corners for item in self.objects], np.float64).reshape(-1, 4)
        table = BoxTable(
            image=np.array(self._image, np.int64),
            object_index=np.array(self._object_index, np.int64),
            xyxy=voc_to_xyxy(written),
            written=written,
            class_ids=np.array([ids[item.name] for item in self.objects], np.int32),
            weights=np.array([item.weight for item in self.objects], np.float64),
        )
        sizes = np.array(self._sizes, np.int32).reshape(-1, 2)
        packed, _ = pack_valid(table, files=self._files, annotation_files=self._xml_files, sizes=sizes, log=self._log)
        return packed


def voc_to_xyxy(written: NDArray[np.float64]) -> NDArray[np.float64]:
    """From xmin, ymin, xmax, ymax as written to 0-based, half-open pixels.

    Args:
        written: (m, 4) float64: 1-based, the last pixel included.

    Returns:
        float64 (m, 4), corners in order; without area where a side has equal coordinates as written.
    """
    low, high = written[:, :2], written[:, 2:]
    # A fractional box narrower than one pixel has xmax < xmin by the convention itself: those are not swapped.
    swapped = low - high >= 1
    low, high = np.where(swapped, high, low), np.where(swapped, low, high)
    return np.concatenate([low - (low != high), high], axis=1)
