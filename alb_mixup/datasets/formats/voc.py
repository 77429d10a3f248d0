"""Pascal VOC."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.packed import PackedAnnotations
from alb_mixup.datasets.annotations.validate import BoxTable, InvalidLog, OnInvalid, pack_valid
from alb_mixup.datasets.base import DetectionDataset, absolute_path, checked_classes
from alb_mixup.datasets.formats.voc_xml import VocFile, VocObject, read_voc_file
from alb_mixup.datasets.images.decode import IMAGE_SUFFIXES, image_size
from alb_mixup.errors import DatasetError, ImageReadError


class VocDataset(DetectionDataset):
    """A dataset in Pascal VOC layout.

    Either `root` holds `Annotations/` and `JPEGImages/`, or images and XML files lie side by side in `root`. Splits
    are `root/ImageSets/Main/<split>.txt`.

    - **Images** are found by the name of their XML (`a.xml` belongs to `a.jpg`, `.jpeg`, `.png`, `.bmp`, `.tif`,
      `.tiff` or `.webp`, in any case, the first of these where there are several). `<filename>` and `<path>` are not
      looked at: they are often wrong, and could lead out of the folder.
    - **Background** is an image whose XML has no object. An image without an XML is not part of the dataset, for
      nobody has said that it is empty; where a split lists it, its annotation is missing, which is invalid.
    - **Split files** have one name a line, in the order that the dataset keeps. In a class-wise list, such as
      `aeroplane_train`, where names are followed by 1, 0 or -1, those with -1 (class absent) are left out.
    - **Coordinates** in the XML are 1-based and name the last pixel that belongs to the box. `bboxes` are 0-based
      and half-open, so a box is (xmin - 1, ymin - 1, xmax, ymax), as supervision >= 0.31 reads them too. Corners in
      the wrong order are swapped. A box is invalid where xmin equals xmax or ymin equals ymax as written: taken by
      the letter it is one pixel wide, but what writes it is a click without a drag. Up to 1 pixel beyond the image
      is a matter of rounding or of 0-based tools, and is clipped without a word; more is invalid.
    - **Size and orientation**: `<size>` decides whether a photograph with an EXIF orientation is turned (see
      `DetectionDataset`); where it is missing or 0, the image is asked, turned as viewers show it.
    - **Weights**: an optional `<mixup_weight>` in an object, finite and not negative, becomes its `mixup_weight`.

    Args:
        root: the folder.
        split: a name in `ImageSets/Main`, such as `"train"`. None: every XML there is, sorted by name.
        classes: the class names in your order; any other name in the data is then invalid. None: the names that
            occur in the objects read, sorted.
        keep_difficult: keep objects marked `<difficult>`. They are left out by default, as VOC's own evaluation
            does, and are not counted as invalid.
        on_invalid: what to do about unreadable XML, missing images or annotations, unknown classes, and boxes that
            are incomplete, not finite, without area or beyond the image. `"drop"`: leave them out, with one warning
            that counts them and names the first. `"raise"`: stop at the first. `"clip"`: clip boxes that reach
            beyond the image, drop the rest, with the same warning. A bad box costs the box, not its image.

    Raises:
        ArgumentError: an argument breaks its constraint.
        DatasetError: no such folder or split, or nothing in it.
        AnnotationError: an annotation is invalid and `on_invalid` is `"raise"`.

    Sources:
        The VOC2012 development kit, section 8 (annotation files) and section 2 (`ImageSets`).
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str | None = None,
        *,
        classes: Sequence[str] | None = None,
        keep_difficult: bool = False,
        on_invalid: OnInvalid = "drop",
    ) -> None:
        folder = absolute_path(root)
        given_classes = checked_classes(classes)
        log = InvalidLog(folder, on_invalid)
        reader = _Reader(folder, given_classes, log, keep_difficult)
        for stem in reader.layout.stems(split):
            reader.read(stem)
        names = given_classes or sorted({item.name for item in reader.objects})
        super().__init__(
            root=folder,
            split=split,
            classes=names,
            annotations=reader.pack(names),
            log=log,
            spec={
                "dataset": "VocDataset",
                "root": folder.as_posix(),
                "split": split,
                "classes": None if given_classes is None else list(given_classes),
                "keep_difficult": keep_difficult,
                "on_invalid": on_invalid,
            },
        )


class _Layout:
    """Which files there are: each folder is listed once, and only names from the listings are ever opened."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DatasetError(f"root must be a folder; there is none at {root.as_posix()}.")
        self.root = root
        is_flat = not (root / "Annotations").is_dir()
        self.xml_folder, self.image_folder = ("", "") if is_flat else ("Annotations/", "JPEGImages/")
        if not (root / self.image_folder).is_dir():
            raise DatasetError(f"{root.as_posix()} has Annotations/ but no JPEGImages/: put the images there.")
        self.xml = _by_stem(root / self.xml_folder, (".xml",))
        self.images = _by_stem(root / self.image_folder, IMAGE_SUFFIXES)
        if not self.xml:
            raise DatasetError(
                f"root must hold XML files, in Annotations/ or beside the images; {root.as_posix()} has none. "
                "Pass the folder that does, such as VOCdevkit/VOC2012."
            )

    def stems(self, split: str | None) -> list[str]:
        """The names of the images in `split`, or of every annotation."""
        if split is None:
            return sorted(self.xml)
        folder = self.root / "ImageSets" / "Main"
        try:
            text = (folder / f"{split}.txt").read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            known = ", ".join(sorted(_by_stem(folder, (".txt",)))) if folder.is_dir() else "no such folder"
            raise DatasetError(
                f"split {split!r} cannot be read from {folder.as_posix()}: {error}. Splits there: {known}."
            ) from error
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise DatasetError(f"split {split!r} lists no image: {folder.as_posix()}/{split}.txt is empty.")
        return [stem for stem in map(self._listed, lines) if stem is not None]

    def _listed(self, line: str) -> str | None:
        # A name may itself end in " 1", so the whole line is looked up first.
        head, _, label = line.rpartition(" ")
        if line in self.xml or line in self.images or label not in {"1", "0", "-1"}:
            return line
        return None if label == "-1" else head.rstrip()


class _Reader:
    """Reads annotation files one by one and collects their objects."""

    def __init__(self, root: Path, classes: Sequence[str] | None, log: InvalidLog, keep_difficult: bool) -> None:
        self.layout = _Layout(root)
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
            size = parsed.size or image_size(layout.root / image)
        except ImageReadError as error:
            self._log.add(xml, None, f"it states no size, and its image cannot be asked: {error}")
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
            elif item is not None:
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
        written: float64 (m, 4), 1-based, the last pixel included.

    Returns:
        float64 (m, 4), corners in order; without area where a side has equal coordinates as written.
    """
    low, high = written[:, :2], written[:, 2:]
    # A fractional box narrower than one pixel has xmax < xmin by the convention itself: those are not swapped.
    swapped = low - high >= 1
    low, high = np.where(swapped, high, low), np.where(swapped, low, high)
    return np.concatenate([low - (low != high), high], axis=1)


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, str]:
    """The folder's files with one of `suffixes`, name without suffix to name; the earlier suffix wins."""
    found: list[tuple[int, str, str]] = []
    for name in os.listdir(folder):
        stem, suffix = os.path.splitext(name)
        # "._a.xml" is what macOS leaves beside "a.xml" on foreign disks
        if suffix.lower() in suffixes and not name.startswith("."):
            found.append((suffixes.index(suffix.lower()), name, stem))
    return {stem: name for _, name, stem in sorted(found, reverse=True)}
