"""Reads a COCO file: its images and categories at once, then its annotations as columns."""

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.packed import PackedAnnotations
from alb_mixup.datasets.annotations.validate import BoxTable, InvalidLog, pack_valid
from alb_mixup.datasets.base import Found
from alb_mixup.datasets.formats.coco_folder import find_images
from alb_mixup.datasets.formats.coco_json import (
    Category,
    Columns,
    Elsewhere,
    image_name,
    read_categories,
    sound_columns,
    stated_size,
)
from alb_mixup.datasets.formats.listing import Listing, split_names
from alb_mixup.datasets.images.decode import Unreadable, picture_size
from alb_mixup.errors import DatasetError
from alb_mixup.functional.boxes import to_xyxy

_Part = TypeVar("_Part")
_LEFT_OUT, _UNKNOWN = -1, -2  # instead of an image's number: it is invalid itself, there is none such


class CocoReader:
    """Reads one file: its categories and images at once, then the annotations as columns, sorted by image.

    Args:
        data: The lists of the file; emptied of its images.
        path: The file, or what messages call it.
        images: The images' folder; None: it is looked for beside the file.
        classes: The class names; None: all categories.
        log: Takes what is invalid.
        results: What messages call the file of the annotations, where it is another.
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
        self.found = Found(splits=split_names(PurePosixPath(path.parent.name, path.name))[-1:])
        self.not_chosen = 0  # of the annotations that are in order
        self._read_categories(path, classes)
        self._read_images(path, images)

    def _read_categories(self, path: Path, classes: Sequence[str] | None) -> None:
        categories = read_categories(self._data["categories"], path, self._log)
        names = dict.fromkeys(category.name for category in categories.values())
        self.classes = tuple(classes or names)
        ids = {name: number for number, name in enumerate(self.classes)}
        self._categories = categories
        self._class_of = {
            key: ids[category.name]
            for key, category in categories.items()
            if category.name in ids and category.other is None
        }
        named = {category.name: category for category in categories.values()}
        of_class = [named.get(name, Category(name, ())) for name in self.classes]
        self.keypoint_names = tuple(category.keypoints for category in of_class)
        self.skeletons = tuple(category.skeleton for category in of_class)

    def _read_images(self, path: Path, images: Path | None) -> None:
        self._image_of: dict[Any, int] = {}
        entries = self._data.pop("images")
        listing, names = self._located(path, images, [self._named(*entry) for entry in enumerate(entries)])
        self.root = listing.root
        self._files: list[str] = []
        self._sizes: list[tuple[int, int]] = []
        for number, (entry, name, file) in enumerate(zip(entries, names, _files_of(names, listing), strict=True)):
            if name is not None:
                self._add_image(number, entry, name, file)

    def _named(self, number: int, entry: Any) -> str | Elsewhere | None:
        try:
            if not isinstance(entry, dict):
                raise ValueError(f"it must be an object, got {entry!r:.80}")
            hash(entry["id"])
            return image_name(entry)
        except Elsewhere as error:
            return error
        except KeyError as error:
            self._log.add(self._file, None, f"images[{number}] has no {error}")
        except (TypeError, ValueError, AttributeError) as error:
            self._log.add(self._file, None, f"images[{number}]: {error}")
        with contextlib.suppress(KeyError, TypeError):  # so that its annotations are not said to be of no image
            self._image_of.setdefault(entry["id"], _LEFT_OUT)
        return None

    @staticmethod
    def _located(
        path: Path, images: Path | None, names: list[str | Elsewhere | None]
    ) -> tuple[Listing, Sequence[str | Elsewhere | None]]:
        """The images' folder, and the names; those of another machine's folders, where no image lies in such."""
        files = [name for name in names if isinstance(name, str)]
        try:
            if files or not any(names):
                return find_images(path, images, files), names
        except DatasetError as error:
            elsewhere = [Elsewhere(name, "its image is missing") if isinstance(name, str) else name for name in names]
            try:
                return find_images(path, images, _tails(elsewhere)), elsewhere
            except DatasetError:
                raise error from None
        return find_images(path, images, _tails(names)), names

    def _add_image(self, number: int, entry: dict[str, Any], name: str | Elsewhere, file: str | None) -> None:
        key = entry["id"]
        try:
            if self._image_of.get(key, _LEFT_OUT) != _LEFT_OUT:
                raise ValueError("its id is that of an image before it")
            self._image_of[key] = _LEFT_OUT
            if file is None:
                raise name if isinstance(name, Elsewhere) else ValueError("its image is missing")
            size = stated_size(entry) or picture_size(self.root / file)
        except ValueError as error:
            said = f"it states no size, and its image {error}" if isinstance(error, Unreadable) else str(error)
            called = "" if said.startswith("file_name ") else f", {entry.get('file_name', file)!r}, id {key!r}"
            self._log.add(self._file, None, f"images[{number}]{called}: {said}")
        else:
            self._image_of[key] = len(self._files)
            self._files.append(file)
            self._sizes.append(size)

    def select(self, read: Callable[[Sequence[Any]], Columns], choose: Callable[[Columns], NDArray[np.bool_]]) -> None:
        """Find the annotations to keep, sorted by image.

        Args:
            read: Turns annotations into columns.
            choose: Says which of them are wanted, bool (m,).
        """
        columns, positions = sound_columns(self._data["annotations"], self._results, self._log, read)
        image = self._numbers(self._image_of, columns.image_ids)
        if columns.files is not None:
            self._find_files(image, columns.files)
        self._find_stems(image, columns.image_ids)
        class_ids = self._numbers(self._class_of, columns.category_ids)
        wanted = choose(columns)
        self.not_chosen = int(np.count_nonzero(~wanted & (image >= 0)))
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
            class_ids=class_ids[rows].astype(np.int32),
            weights=columns.weights[rows],
        )

    def _numbers(self, known: dict[Any, int], keys: Sequence[Any]) -> NDArray[np.int64]:
        numbers = np.fromiter([known.get(key, _UNKNOWN) for key in keys], np.int64, len(keys))
        for row in np.flatnonzero(numbers == _UNKNOWN).tolist():
            numbers[row] = known.get(_other_form(keys[row]), _UNKNOWN)
        return numbers

    def _find_files(self, image: NDArray[np.int64], files: Sequence[Any]) -> None:
        """Number images by the files that annotations name, rather than by their ids."""
        numbers: dict[str, int] = {}
        for number, file in enumerate(self._files):
            name = file.rpartition("/")[2]
            numbers[name] = _UNKNOWN if name in numbers else number  # two of one name in two folders
        numbers |= {file: number for number, file in enumerate(self._files)}
        for row, file in enumerate(files):
            if isinstance(file, str) and numbers.get(file, _UNKNOWN) != _UNKNOWN:
                image[row] = numbers[file]

    def _find_stems(self, image: NDArray[np.int64], keys: Sequence[Any]) -> None:
        """Number images by the stems of their files, where ids are none of the images': Ultralytics' older results."""
        rows = np.flatnonzero(image == _UNKNOWN).tolist()
        stems: dict[Any, int] = {}
        for number, file in enumerate(self._files if rows else ()):
            stem = PurePosixPath(file).stem
            for key in (stem, _other_form(stem)):
                stems[key] = _UNKNOWN if key in stems else number
        for row in rows:
            if keys[row] is not None:
                image[row] = stems.get(keys[row], _UNKNOWN)

    def _log_unknown(self, position: int, columns: Columns, row: int, *, unknown_image: bool) -> None:
        category = columns.category_ids[row]
        if unknown_image:
            reason = f"unknown image_id {columns.image_ids[row]!r}: it is not among the images"
        elif category in self._categories and (other := self._categories[category].other) is not None:
            name = self._categories[category].name
            reason = f"category_id {category!r} is that of two categories, {name!r} and {other!r}"
        elif category in self._categories:
            reason = f"unknown class {self._categories[category].name!r}: it is not among the classes given"
        else:
            reason = f"unknown category_id {category!r}: it is not among the categories"
        self._log.add(self._results, position, reason)

    def read_each(
        self, key: str, read: Callable[[Any, tuple[int, int]], _Part], otherwise: _Part, so: str
    ) -> dict[int, _Part]:
        """Read one more part of each annotation, by its position.

        Where it cannot be read, the box is kept, has `otherwise` for it, and the log says `so`.
        """
        found: dict[int, _Part] = {}
        for position, image in zip(self._table.object_index.tolist(), self._table.image.tolist(), strict=True):
            try:
                found[position] = read(self._data["annotations"][position].get(key), self._sizes[image])
            except ValueError as error:  # noqa: PERF203
                self._log.keep(self._results, position, f"{error}: its box is kept, and {so}")
                found[position] = otherwise
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


def _tails(names: Sequence[str | Elsewhere | None]) -> list[str]:
    return [tail for name in names if isinstance(name, Elsewhere) for tail in name.tails]


def _files_of(names: Sequence[str | Elsewhere | None], listing: Listing) -> list[str | None]:
    """The file that each name stands for; None where there is none, or where it may be another image's."""
    found = [
        next(filter(None, map(listing.find, name.tails)), None)
        if isinstance(name, Elsewhere)
        else name and listing.find(name)
        for name in names
    ]
    if found == names:  # as it nearly always is
        return found
    exact = {file for file, name in zip(found, names, strict=True) if file == name}
    guessed = Counter(file for file, name in zip(found, names, strict=True) if file != name)
    return [
        None if file != name and (file in exact or guessed[file] > 1) else file
        for file, name in zip(found, names, strict=True)
    ]


def _other_form(key: Any) -> Any:
    """An id as a number where it is text, and the other way round: VIA writes "0" for 0."""
    if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 20:
        return int(key)
    return str(key) if isinstance(key, int) else None
