"""Decoded images in one file that all processes share."""

import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from warnings import warn

import cv2
import numpy as np

from alb_mixup._support.progress import progress_bar
from alb_mixup.datasets.base import DetectionDataset, absolute_path
from alb_mixup.datasets.caches.cache_file import CacheFile, Stored, one_at_a_time, read_header, write
from alb_mixup.datasets.caches.sources import Source, names_digest, times_digest
from alb_mixup.datasets.images.decode import read_fitted_image, read_image
from alb_mixup.datasets.protocols import Sample
from alb_mixup.errors import ArgumentError, CacheError, ImageReadError, StaleCacheWarning, UnreadableImageWarning
from alb_mixup.functional.fit import Fit

_FIT_MODES = ("contain", "cover", "stretch")
_NONE_YET, _TOUCHED, _CHANGED = "none yet", "times of images", "contents of images"
_NAMES, _TIMES = "images_sha256", "times_sha256"
_AT_ONCE = 64  # images that are decoded, but not yet written


class DiskCache(Sequence[dict[str, Any]]):
    """A dataset whose images lie decoded, and resized, in one file that every process maps into its memory.

    `MixUp(DiskCache(dataset, "train.cache", size=(640, 640)))`: partners are neither decoded nor resized where
    primaries have this size, and all workers share one copy of what they read, as far as memory goes. The first time
    builds the file, `height × width × 3` bytes an image as stored, with a progress bar where tqdm is installed; later
    it is only opened. It is written beside its place and moved there when it is whole, so a crash leaves none;
    processes of one machine that start at once build it once.

    **Resized** as MixUp resizes for a primary of `size`, smaller and larger, by `INTER_LINEAR` from a JPEG decoded no
    larger than needed. To MixUp, boxes, keypoints and masks are those of the whole image, so they are the same as
    without the cache; and so are the pixels where primaries have this size. Give the largest size that primaries
    have: what is larger is made from what is stored. `cache[i]` gives the stored image, and annotations in its pixels.

    **Stale** is a file that was made of other images, of other stated sizes, or with other arguments: it is built
    anew, with a `StaleCacheWarning`. Names, sizes in bytes and times of modification of the images are compared, and
    where a time alone is another, a checksum of what the file holds. Only images that have changed are decoded again;
    where none has (they were copied or touched), the file takes the new times without a warning. Annotations are not
    in it. An image that is replaced by another of the same size in bytes, and given its time of modification, is not
    noticed: remove the cache.

    **Damaged** is a file whose count, sizes or total do not fit, which is found when it is opened, or an image whose
    pixels are not those that were written, which is found when a process first uses it: a `CacheError` says so. A file
    that another program cuts short, or writes to, while it is open is the user's doing: the system ends a process that
    reads behind the end of a file (SIGBUS).

    **Arrays** of images are read-only: code that writes in place, or makes tensors that share their memory
    (`torch.from_numpy` warns; a write to such a tensor ends the process), needs `image.copy()`. An image that cannot
    be read is left out with one `UnreadableImageWarning`, and read from `dataset`, which then raises as it would
    without the cache.

    Args:
        dataset: A dataset of this package.
        path: The file, in a folder that exists.
        size: (height, width) that images are fitted to, in pixels; None: the whole images.
        fit_mode: How, as `MixUp` has it: "contain", "cover" or "stretch".

    Attributes:
        dataset: What is cached.
        path: As given, absolute.
        size: As given.
        fit_mode: As given.
        bbox_format: That of `dataset`.
        classes: Those of `dataset`.

    Raises:
        ArgumentError: An argument breaks its constraint.
        CacheError: The file cannot be written (the disk is full), is damaged, or something else is there.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from alb_mixup import DiskCache, sample_dataset
        >>> cache = DiskCache(sample_dataset(), Path(tempfile.mkdtemp()) / "blood.cache", size=(320, 320))
        >>> cache[0]["image"].shape
        (240, 320, 3)
    """

    is_cache = True  # of `dataset`, whose samples have the same positions

    def __init__(
        self,
        dataset: DetectionDataset,
        path: str | os.PathLike[str],
        size: Sequence[int] | None = None,
        fit_mode: str = "contain",
    ) -> None:
        self._set(dataset, path, size, fit_mode)
        if self._changed() is not None:
            with one_at_a_time(self.path):
                self._build()
        self._file = self._open()

    @classmethod
    def opened(
        cls,
        dataset: DetectionDataset,
        path: str | os.PathLike[str],
        size: Sequence[int] | None = None,
        fit_mode: str = "contain",
    ) -> "DiskCache":
        """Open a cache that has been built, and write nothing: what `from_spec` does, for a spec may be a stranger's.

        Args:
            dataset: As for `DiskCache`.
            path: As for `DiskCache`.
            size: As for `DiskCache`.
            fit_mode: As for `DiskCache`.

        Raises:
            ArgumentError: An argument breaks its constraint.
            CacheError: There is none, or it is damaged or stale.

        Examples:
            >>> import tempfile
            >>> from pathlib import Path
            >>> from alb_mixup import DiskCache, sample_dataset
            >>> path = Path(tempfile.mkdtemp()) / "blood.cache"
            >>> built = DiskCache(sample_dataset(), path, size=(64, 64))
            >>> len(DiskCache.opened(sample_dataset(), path, size=(64, 64)))
            14
        """
        cache = cls.__new__(cls)
        cache._set(dataset, path, size, fit_mode)
        changed = cache._changed()
        if changed == _TOUCHED:
            cache._take_times()
        elif changed is not None:
            found = "which is not there" if changed == _NONE_YET else f"which was made for other {changed}"
            raise CacheError(
                f"path must be a cache that is there, got {cache.path.as_posix()}, {found}: build it, by "
                "DiskCache(...); what is read from a file never writes one"
            )
        cache._file = cache._open()
        return cache

    def _set(
        self, dataset: DetectionDataset, path: str | os.PathLike[str], size: Sequence[int] | None, fit_mode: str
    ) -> None:
        if not isinstance(dataset, DetectionDataset):
            raise ArgumentError(
                f"dataset must be a dataset of this package, got {type(dataset).__name__}: CachedDataset takes any"
            )
        if fit_mode not in _FIT_MODES:
            raise ArgumentError(
                f"fit_mode must be one of {', '.join(_FIT_MODES)}, got {fit_mode!r}: give the one that MixUp has"
            )
        self.dataset = dataset
        self.path = absolute_path(path, "path", "a file")
        self.size = None if size is None else _checked_size(size)
        self.fit_mode = fit_mode
        self.bbox_format = dataset.bbox_format
        self.classes = dataset.classes
        self._holds = {
            "size": None if self.size is None else list(self.size),
            "fit_mode": fit_mode,
            _NAMES: names_digest(dataset),
            _TIMES: times_digest(dataset),
        }

    def _open(self) -> CacheFile:
        file = CacheFile(self.path)
        if file.header["images"] != len(self) or any(
            file.header.get(key) != value for key, value in self._holds.items()
        ):
            raise CacheError(
                f"path must be that of one cache, got {self.path.as_posix()}, which was built for something else "
                "meanwhile: give each a path of its own"
            )
        return file

    def __len__(self) -> int:
        return len(self.dataset)

    # Sequence asks for slices too; a slice of samples would read every image at once.
    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        number, stored = self._stored(index)
        if stored is None:
            return self.dataset[number]
        image, whole = stored
        annotations = self.dataset.annotations(number)
        resized = _resized(annotations, self.bbox_format, whole, (image.shape[0], image.shape[1]))
        return Sample({"image": image, **resized}, self.bbox_format)

    def fitted(self, index: int, fit: Fit) -> tuple[dict[str, Any], tuple[int, int]]:
        """The stored image with the annotations of the whole one: what `MixUp` asks for.

        Args:
            index: The image's position.
            fit: The canvas that the image is going to be placed on, and how.

        Returns:
            The sample, and height and width of the whole image.

        Raises:
            ArgumentError: Images were resized by another `fit_mode` than `fit` has.
        """
        if self.size is not None and fit.mode != self.fit_mode:
            raise ArgumentError(
                f"fit_mode of DiskCache must be that of MixUp, {fit.mode!r}, got {self.fit_mode!r}: what it stores has "
                "another size"
            )
        number, stored = self._stored(index)
        if stored is None:
            return self.dataset.fitted(number, fit)
        return Sample({"image": stored[0], **self.dataset.annotations(number)}, self.bbox_format), stored[1]

    def to_spec(self) -> dict[str, Any]:
        """A small description in plain JSON types, from which `from_spec` opens the same; it builds none."""
        return {
            "dataset": "DiskCache",
            "of": self.dataset.to_spec(),
            "path": self.path.as_posix(),
            "size": None if self.size is None else list(self.size),
            "fit_mode": self.fit_mode,
        }

    def __repr__(self) -> str:
        settings = f"path={self.path.as_posix()!r}, size={self.size}, fit_mode={self.fit_mode!r}"
        return f"DiskCache({self.dataset!r}, {settings})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_file"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = self._open()

    def _stored(self, index: int) -> tuple[int, Stored | None]:
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} is out of range for a dataset of {len(self)} images.")
        return number, self._file[number]

    def _changed(self) -> str | None:
        """Why the file must be built; None where it is as it should be."""
        header = read_header(self.path)
        if header is None:
            return _NONE_YET
        if not header:
            return "versions of alb_mixup"
        changed = [key for key, value in self._holds.items() if header.get(key) != value]
        if changed == [_TIMES]:
            file = CacheFile(self.path)
            paths = map(self.dataset.image_path, range(len(self)))
            is_the_same = all(file.source(number).again(path) for number, path in enumerate(paths))
            return _TOUCHED if is_the_same else _CHANGED
        return ", ".join("images" if key == _NAMES else key for key in changed if key != _TIMES) or None

    def _build(self) -> None:
        changed = self._changed()
        if changed is None:  # another process has built it while this one waited
            return
        if changed not in {_NONE_YET, _TOUCHED}:
            message = f"the cache {self.path.as_posix()} is built anew: it was made for other {changed}"
            warn(message, StaleCacheWarning, stacklevel=3)
        unreadable: list[ImageReadError] = []
        before = CacheFile(self.path) if changed in {_TOUCHED, _CHANGED} else None
        images = self._images(before, unreadable)
        try:
            write(self.path, self._holds, progress_bar(images, "caching images", total=len(self)))
        except CacheError:
            if changed != _TOUCHED:
                raise
            self._take_times()  # the disk is full, or not ours: what is there is as good
        if unreadable:
            message = f"the cache leaves out {len(unreadable)} images that cannot be read, the first: {unreadable[0]}"
            warn(message, UnreadableImageWarning, stacklevel=3)

    def _take_times(self) -> None:
        """Take the times in the file for those of the images, which hold what they held then."""
        self._holds[_TIMES] = CacheFile(self.path).header[_TIMES]

    def _images(
        self, before: CacheFile | None, unreadable: list[ImageReadError]
    ) -> Iterator[tuple[Stored | None, Source]]:
        """Every image as it is to be stored, and its file; None for those that cannot be read, collecting the errors.

        What has not changed since `before` is taken from there.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(self), _AT_ONCE):
                numbers = range(start, min(start + _AT_ONCE, len(self)))
                for stored, source in pool.map(partial(self._image, before), numbers):
                    if isinstance(stored, ImageReadError):
                        unreadable.append(stored)
                        yield None, source
                    else:
                        yield stored, source

    def _image(self, before: CacheFile | None, number: int) -> tuple[Stored | ImageReadError, Source]:
        path = self.dataset.image_path(number)
        if before is not None and (source := before.source(number).again(path)) and (stored := before[number]):
            return stored, source
        source = Source.of(path)  # first: should the file change while it is decoded, it is found to have changed
        return self._decode(number), source

    def _decode(self, number: int) -> Stored | ImageReadError:
        path, stated = self.dataset.image_path(number), self.dataset._stated_size(number)
        try:
            if self.size is None:
                image = read_image(path, stated)
                return image, (image.shape[0], image.shape[1])
            fit = Fit(self.size, self.fit_mode, cv2.INTER_LINEAR)
            image, whole = read_fitted_image(path, stated, fit.size)
        except ImageReadError as error:
            return error
        return fit.resize(image, whole), whole


def _resized(
    annotations: dict[str, Any], bbox_format: str, from_hw: tuple[int, int], to_hw: tuple[int, int]
) -> dict[str, Any]:
    """Annotations of an image, moved to another size of it; they may be written to."""
    if from_hw == to_hw:
        return annotations
    scale = np.array([to_hw[1] / from_hw[1], to_hw[0] / from_hw[0]])
    if bbox_format != "yolo":
        annotations["bboxes"] *= np.tile(scale, 2)
    if "keypoints" in annotations:
        annotations["keypoints"] *= scale
    if "masks" in annotations:
        masks = [cv2.resize(mask, to_hw[::-1], interpolation=cv2.INTER_NEAREST) for mask in annotations["masks"]]
        annotations["masks"] = np.array(masks, np.uint8).reshape(-1, *to_hw)
    return annotations


def _checked_size(size: Any) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else ()
    if len(sides) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        raise ArgumentError(f"size must be (height, width) in pixels, or None, got {size!r}: e.g. (640, 640)")
    return sides
