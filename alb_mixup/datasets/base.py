"""The face that every dataset of this package shows."""

import copy
import hashlib
import json
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.image_classes import ImageClasses
from alb_mixup.datasets.annotations.packed import PackedAnnotations, PackedStrings
from alb_mixup.datasets.annotations.shared import SharedArrays
from alb_mixup.datasets.annotations.validate import InvalidLog
from alb_mixup.datasets.images.decode import image_size, read_fitted_image, read_image
from alb_mixup.datasets.protocols import Sample
from alb_mixup.errors import ArgumentError
from alb_mixup.functional.fit import Fit

_Dataset = TypeVar("_Dataset", bound="DetectionDataset")


@dataclass
class Found:
    """What a reader found beside images and boxes.

    Attributes:
        left_out: How many objects were left out on purpose, by reason.
        unlabelled: Images without a label file, below the root.
        orphans: Label files without an image, below the root.
        splits: The splits that the source has.
    """

    left_out: dict[str, int] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    splits: tuple[str, ...] = ()


class DetectionDataset(Sequence[dict[str, Any]]):
    """Labelled images on disk, as a sequence of samples that go straight into an `A.Compose`.

    The base of every reader: build a `VocDataset` or another of its subclasses rather than this.

    `dataset[i]` reads and decodes image `i` and returns a dict of fresh objects that the caller may write to:

    - `image`: uint8 (H, W, 3), RGB.
    - `bboxes`: float32 (N, 4), in `bbox_format`.
    - `labels`: list of N class names. Names rather than ids, so that two datasets whose classes come in another
      order can be mixed without a wrong label.
    - `mixup_weight`: float32 (N,), 1.0 each unless the annotation carries a weight of its own.

    It raises `ImageReadError` where the image is missing, cut short, not an image, or of another size than its
    annotation says.

    The annotations are read and checked once, when the dataset is built, and are kept in flat arrays that forked
    workers share; images are read on every access. Datasets can be pickled, and `to_spec` describes them in JSON.

    Attributes:
        bbox_format: The format of `bboxes`, as `A.BboxParams` names it. `"pascal_voc"`: x_min, y_min, x_max, y_max
            in pixels, 0-based, half-open (a box over the whole image is 0, 0, W, H). `"coco"`: x_min, y_min, width,
            height in pixels. `"yolo"`: x_center, y_center, width, height in shares of the image's sides.
        root: The dataset's folder, absolute.
        split: The split that was asked for, or None.
        classes: The class names; the part returned by `annotated` has the same.
        invalid: Everything invalid that was found, each with `file`, `object_index` (or None) and `reason`.
        remarks: What is not invalid, but hardly meant, each a sentence: such as 6th numbers that seem to be ids.
        left_out: How many objects were left out on purpose, by reason: `{"crowd": 3}`, `{"difficult": 2}`.
        splits: The splits that the source has, as far as it names any.
        has_masks: Whether samples have `masks`: whether they were asked for, of a reader that has them.
        keypoint_names: Where samples have `keypoints`, the names of those of each class, in their order; else None.
        skeletons: As well, the pairs of keypoints of each class that belong together, numbered from 1.
        part_of: Of what `annotated` returned, the dataset and the images' positions there; else None.

    Examples:
        >>> from alb_mixup import sample_dataset
        >>> dataset = sample_dataset()
        >>> sorted(dataset.annotations(0))
        ['bboxes', 'labels', 'mixup_weight']
        >>> dataset.image_size(0)
        (480, 640)
    """

    bbox_format = "pascal_voc"
    has_masks = False
    keypoint_names: tuple[tuple[str, ...], ...] | None = None
    skeletons: tuple[tuple[tuple[int, int], ...], ...] | None = None
    part_of: tuple["DetectionDataset", NDArray[np.intp]] | None = None  # and the positions there

    def __init__(
        self,
        *,
        root: Path,
        split: str | None,
        classes: Sequence[str],
        annotations: PackedAnnotations,
        log: InvalidLog,
        spec: Mapping[str, Any] | None,
        found: Found | None = None,
    ) -> None:
        self.root = root
        self.split = split
        self.classes = tuple(classes)
        self.invalid = tuple(log.records)
        self.remarks = tuple(log.remarks)
        self._annotations = annotations
        self._images = np.arange(len(annotations.sizes))
        self._spec = None if spec is None else dict(spec)
        found = found or Found()
        self.left_out, self.splits = {key: count for key, count in found.left_out.items() if count}, found.splits
        self._unlabelled, self._orphans = PackedStrings.pack(found.unlabelled), PackedStrings.pack(found.orphans)
        log.warn(stacklevel=3)  # in the name of who builds the reader

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """Images, below `root`, that no label file belongs to; an empty label file says that an image is background."""
        return tuple(self._unlabelled)

    @property
    def orphans(self) -> tuple[str, ...]:
        """Label files, below `root`, whose image is missing; in formats where that is invalid, see `invalid`."""
        return tuple(self._orphans)

    @property
    def is_weighted(self) -> bool:
        """Whether some annotation has a weight of its own, other than 1."""
        return bool((self._annotations.weights != 1).any())

    def __len__(self) -> int:
        return len(self._images)

    # Sequence asks for slices too; a slice of samples would decode every image at once.
    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        image = read_image(self.image_path(index), self._stated_size(index))
        return Sample({"image": image, **self.annotations(index)}, self.bbox_format)

    def fitted(self, index: int, fit: Fit) -> tuple[dict[str, Any], tuple[int, int]]:
        """Read `dataset[index]` with no more pixels decoded than it takes to place the image: what `MixUp` asks for.

        Args:
            index: The image's position.
            fit: The canvas that the image is going to be placed on, and how.

        Returns:
            The sample, and height and width of the whole image. A JPEG that is much larger than needed comes decoded
            at 1/2, 1/4 or 1/8 of its size; the annotations are still those of the whole image.

        Raises:
            IndexError: There is no such image.
            ImageReadError: As `dataset[index]`.
        """
        if type(self).__getitem__ is not DetectionDataset.__getitem__:  # a subclass that makes samples of its own
            sample = self[index]
            return sample, sample["image"].shape[:2]
        image, whole = read_fitted_image(self.image_path(index), self._stated_size(index), fit.size)
        return Sample({"image": image, **self.annotations(index)}, self.bbox_format), whole

    def annotations(self, index: int) -> dict[str, Any]:
        """Return what `dataset[index]` holds except `image`, without decoding it.

        Args:
            index: The image's position; negative ones count from the end.

        Returns:
            `bboxes` float32 (N, 4) in `bbox_format`, `labels` list of N names, `mixup_weight` float32 (N,).

        Raises:
            IndexError: There is no such image.
        """
        packed = self._annotations
        rows = packed.rows(self._image_number(index))
        return {
            "bboxes": packed.boxes[rows].copy(),
            "labels": [self.classes[class_id] for class_id in packed.class_ids[rows]],
            "mixup_weight": packed.weights[rows].copy(),
        }

    def image_path(self, index: int) -> Path:
        """Return the file of image `index`, absolute.

        Raises:
            IndexError: There is no such image.
        """
        return self.root / self._annotations.files[self._image_number(index)]

    def image_size(self, index: int) -> tuple[int, int]:
        """Return height and width of image `index` in pixels, without decoding it where that can be avoided.

        They are what the annotation states. Where the format states none, the image is asked, turned as viewers show
        it.

        Raises:
            IndexError: There is no such image.
            ImageReadError: The image has to be asked, and is missing or not an image.
        """
        return self._stated_size(index) or image_size(self.image_path(index))

    def _stated_size(self, index: int) -> tuple[int, int] | None:
        height, width = self._annotations.sizes[self._image_number(index)]
        return (int(height), int(width)) if height else None

    def image_classes(self) -> ImageClasses:
        """Tell the classes of each image's boxes without reading an image: what laws of `partner_weights` ask for."""
        packed = self._annotations
        return ImageClasses(self.classes, packed.offsets, packed.class_ids).at(self._images)

    def annotated(self: _Dataset) -> _Dataset:
        """Return the part of the dataset whose images have boxes: the same class, sharing the same arrays."""
        part = copy.copy(self)
        positions = np.flatnonzero(self._boxes_per_image() > 0)
        part._images, part.part_of = self._images[positions], (self, positions)
        part._spec = None if self._spec is None else {**self._spec, "annotated": True}
        return part

    def to_spec(self) -> dict[str, Any] | None:
        """Return a small description in plain JSON types, from which `from_spec` builds the same dataset again.

        None where annotations were given in memory.
        """
        return copy.deepcopy(self._spec)

    def fingerprint(self) -> str:
        """Return a hash, hexadecimal, of the images' names and all annotations: equal wherever the same dataset lies.

        Pixels are not looked at.
        """
        packed = self._annotations
        digest = hashlib.sha256(json.dumps([self.bbox_format, self.classes]).encode())
        for array in (self._images, packed.files.data, packed.files.offsets, packed.sizes, packed.offsets,
                      packed.boxes, packed.class_ids, packed.weights):  # fmt: skip
            digest.update(np.ascontiguousarray(array).data)
        for array in chain.from_iterable(part.__getstate__().values() for part in self._parts()):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _parts(self) -> list[SharedArrays]:
        """What each box has beside its class and weight."""
        return []

    def __repr__(self) -> str:
        split = "" if self.split is None else f", split={self.split!r}"
        return (
            f"{type(self).__name__}(root={self.root.as_posix()!r}{split}, images={len(self)}, "
            f"boxes={self._boxes_per_image().sum()}, classes={len(self.classes)})"
        )

    def _boxes_per_image(self) -> Any:
        return np.diff(self._annotations.offsets)[self._images]

    def _image_number(self, index: int) -> int:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} is out of range for a dataset of {len(self)} images.")
        return int(self._images[position])


def absolute_path(path: str | os.PathLike[str], argument: str = "root", of: str = "a folder") -> Path:
    """Return a user's path as an absolute one, which stays right when the working directory changes.

    Raises:
        ArgumentError: It is not a path, or a URL.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(f"{argument} must be the path of {of}, a str or Path, got {path!r}: give one")
    if not os.fspath(path):  # such as an unset variable of a shell; it would be the working directory
        raise ArgumentError(f"{argument} must be the path of {of}, got '': give one, such as '.'")
    if "://" in os.fspath(path):
        raise ArgumentError(f"{argument} must lie on this machine, got {path!r}, a URL: copy it here first")
    return Path(os.path.abspath(path))


def is_text(name: str) -> bool:
    """Tell whether a name can be written to a file: JSON and YAML can name half of a surrogate pair, which cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_classes(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the user's class names as a tuple, or None where the data is to say.

    Raises:
        ArgumentError: `classes` is a single str, is empty, repeats a name, or holds something else than str.
    """
    if classes is None:
        return None
    names = () if isinstance(classes, str) else tuple(classes)
    if not names or not all(isinstance(name, str) and is_text(name) for name in names) or len(set(names)) < len(names):
        raise ArgumentError(
            f"classes must be a sequence of different class names, or None, got {classes!r}: name each once"
        )
    return names
