"""The folder of a YOLO dataset: which images a split has, and where their labels are."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alb_mixup._support.regular import read_text
from alb_mixup.datasets.formats.listing import (
    Listing,
    chosen_split,
    files_with,
    folders_in,
    has_images,
    is_split,
    named_folder,
)
from alb_mixup.datasets.formats.yolo_yaml import YoloIndex, data_file_in, yaml_in
from alb_mixup.datasets.images.decode import IMAGE_SUFFIXES
from alb_mixup.errors import DatasetError

_TXT = (".txt",)
_NAME_LISTS = ("classes.txt", "obj.names")
_IMAGE_LIST = "images.txt"  # that of a set without splits
_NO_LABELS = frozenset({"classes.txt", "images.txt", "predefined_classes.txt", "README.roboflow.txt"})
_LONGEST_LIST = 2**28


@dataclass(frozen=True)
class YoloFolder:
    """The images of one split.

    Attributes:
        split: The split.
        splits: All that there are.
        images: Its images below the listing's root; some may not exist, one outside of the root begins with "..".
        listing: What there is below the root.
        labels: The labels' folder below the root that the user named; None: labels are where Ultralytics looks.
    """

    split: str
    splits: tuple[str, ...]
    images: list[str]
    listing: Listing
    labels: str | None

    def label_file(self, image: str) -> str:
        """Return the label file of an image, both below the root."""
        if self.labels is None:
            return label_file(image)
        tail = f"/{image}".rpartition("/images/")[2].lstrip("/")
        nested = f"{self.labels}/{tail.rpartition('.')[0]}.txt".lstrip("/")
        if nested in self.listing or "/" not in tail:
            return nested
        return f"{self.labels}/{tail.rpartition('/')[2].rpartition('.')[0]}.txt".lstrip("/")


def label_file(image: str) -> str:
    """Return the label file of an image, both below the root, by Ultralytics' rule.

    The last folder named `images` in the path becomes `labels`, and the suffix `.txt`; without such a folder, both lie
    side by side.
    """
    head, found, tail = f"/{image}".rpartition("/images/")
    path = f"{head}/labels/{tail}" if found else f"/{image}"
    return path[1:].rpartition(".")[0] + ".txt"


def looks_like_yolo(root: Path, names: Sequence[str]) -> bool:
    """Tell whether a folder holds a YOLO dataset, by its data.yaml, its .data file or its label files."""
    if yaml_in(root, names) is not None or data_file_in(root, names) is not None:
        return True
    if {"images", "labels"} <= set(names) and _may_be_labels(root / "labels"):
        return True
    if has_images(names) and (any(name in names for name in _NAME_LISTS) or _has_pairs(names)):
        return True
    return any(
        {"images", "labels"} <= set(inner) or _has_pairs(inner)
        for name in folders_in(root, names)
        if is_split(name)
        for inner in [_names(root / name)]
    )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _may_be_labels(folder: Path) -> bool:
    """Whether a folder named labels holds text files or nothing at all, and no XML, below it too."""
    names = _names(folder)
    inner = [file for name in folders_in(folder, names) for file in _names(folder / name)]
    return not any(files_with([*names, *inner], (".xml",))) or any(files_with([*names, *inner], _TXT))


def _has_pairs(names: Sequence[str]) -> bool:
    """Whether images and text files of the same names lie side by side."""
    stems = {os.path.splitext(name)[0] for name in files_with(names, IMAGE_SUFFIXES)}
    return any(os.path.splitext(name)[0] in stems for name in files_with(names, _TXT))


def read_folder(
    index: YoloIndex,
    split: str | None,
    images: str | os.PathLike[str] | None,
    annotations: str | os.PathLike[str] | None,
) -> YoloFolder:
    """Find the images of a split.

    Args:
        index: What the dataset says.
        split: The split that is asked for; None: "train" where there is one, or the only one.
        images: The folder of its images, below the root or a path of its own; None: what the index says.
        annotations: The folder of its labels, as well.

    Raises:
        DatasetError: There is no such split, it leads out of the root, or it has no images.
    """
    if images is None:
        entries = {key: value for key, value in index.entries.items() if value}
        entries = entries or _folders(index.root)
        splits = tuple(entries)
        if split is not None and split not in entries and (below := _folder_of(index.root, split)) is not None:
            entries = {**entries, split: [below]}
        if not entries:
            raise DatasetError(
                f"data must be a folder with images, got {index.root.as_posix()} with neither images/ nor a data.yaml"
                f"{index.note}: name their folder with images="
            )
        chosen = split if split in entries else chosen_split(split, splits, index.file or index.root)
        assert chosen is not None  # as there is one
        paths = [_located(index, entry) for entry in entries[chosen]]
        top = _top(index.root, paths)
    else:
        chosen, splits, entries = split or "train", (split or "train",), {}
        paths = [named_folder(images, index.root, "images")]
        top = Path(os.path.commonpath([index.root, *paths]))
    labels = None if annotations is None else named_folder(annotations, index.root, "annotations")
    if labels is not None:
        top = Path(os.path.commonpath([top, labels]))
    listing = Listing(top)
    found = [image for path in paths for image in _images_of(listing, path, index)]
    if not found:
        raise DatasetError(
            f"split must have images, got {chosen!r}, which has none in {', '.join(path.as_posix() for path in paths)}"
            f"{index.note}: name their folder with images="
        )
    below = None if labels is None else labels.relative_to(top).as_posix().strip(".")
    return YoloFolder(chosen, splits, list(dict.fromkeys(found)), listing, below)


def _folder_of(root: Path, split: str) -> str | None:
    """The folder of the images of a split that nothing else names."""
    if "/" in split or "\\" in split or split in {"", ".", ".."}:
        return None
    found = (f"images/{split}", f"{split}/images", split)
    return next((folder for folder in found if has_images(_names(root / folder))), None)


def _folders(root: Path) -> dict[str, list[str]]:
    """The splits that folders and lists alone show, each with where its images are."""
    names = _names(root)
    inner = {name: _names(root / name) for name in folders_in(root, names)}
    of_images = folders_in(root / "images", inner["images"]) if "images" in inner else []
    found = {name: [f"images/{name}"] for name in of_images if has_images(_names(root / "images" / name))}
    for name, files in inner.items():
        if is_split(name) and ("images" in files or has_images(files)):
            found.setdefault(name, [f"{name}/images" if "images" in files else name])
    if not found:
        found = {os.path.splitext(name)[0]: [name] for name in files_with(names, _TXT) if is_split(name)}
    if not found:
        whole = [name for name in ("images", ".") if has_images(inner.get(name, names if name == "." else []))]
        whole = [_IMAGE_LIST] if _IMAGE_LIST in names else whole
        whole = whole or [name for name, files in inner.items() if _has_pairs(files)]
        found = {"train": whole[:1]} if whole else {}
    return found


def _located(index: YoloIndex, entry: str) -> Path:
    """The folder or list that a data.yaml names, absolute: as it says, or where the dataset lies now."""
    root = index.root
    for text in dict.fromkeys((entry, entry.replace("\\", "/"))):
        # "../train/images" beside the data.yaml is what Roboflow writes; Ultralytics looks it up in the root as well.
        parts = text.removeprefix("../").split("/")
        tried = [text.removeprefix("../"), text, *("/".join(parts[start:]) for start in range(1, len(parts)))]
        for below in filter(None, tried):
            path = Path(os.path.abspath(root / below))
            if os.path.exists(path) and (os.path.isabs(text) or path.is_relative_to(root)):
                return path
    path = Path(os.path.abspath(root / entry))
    if not path.is_relative_to(root):
        raise DatasetError(
            f"data.yaml must name images in its folder or its path:, got {entry!r} in {root.as_posix()}, which leads out"
            f"{index.note}: set path: to the folder that holds all"
        )
    raise DatasetError(
        f"data.yaml must name a folder of images or a list of them, got {entry!r}, which is not in {root.as_posix()}"
        f"{index.note}: correct it, or name the folder with images="
    )


def _top(root: Path, paths: Sequence[Path]) -> Path:
    """The folder below which images and labels are: the root, or what absolute paths outside of it have in common."""
    outside = [path for path in paths if not path.is_relative_to(root)]
    if not outside:
        return root
    tops = [root] if len(outside) < len(paths) else []
    for path in outside:
        head, found, _ = f"{path.as_posix()}/".rpartition("/images/")
        tops.append(Path(head or "/") if found else path if os.path.isdir(path) else path.parent)
    return Path(os.path.commonpath(tops))


def _images_of(listing: Listing, path: Path, index: YoloIndex) -> Iterator[str]:
    if os.path.isdir(path):
        yield from _walk(listing.root, path, recursive=path != index.root)
        return
    try:
        text = read_text(path, _LONGEST_LIST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise DatasetError(
            f"data.yaml must name folders of images or lists of them, got {path.as_posix()}, which cannot be read: "
            f"{reason}{index.note}; correct it"
        ) from error
    beside = path.parent.relative_to(listing.root).as_posix()
    lines = _Lines(listing, "" if beside == "." else f"{beside}/")
    yield from (lines.image(line.strip()) for line in text.split("\n") if line.strip())


def _walk(root: Path, folder: Path, *, recursive: bool) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(folders) if recursive else []
        below = Path(where).relative_to(root).as_posix()
        prefix = "" if below == "." else f"{below}/"
        yield from (prefix + name for name in sorted(files_with(names, IMAGE_SUFFIXES)))


class _Lines:
    """Finds the images that the lines of a list name, wherever the list was written."""

    def __init__(self, listing: Listing, beside: str) -> None:
        self._listing, self._beside, self._skipped = listing, beside, 0

    def image(self, line: str) -> str:
        """Return an image below the root; one that does not exist as the line says it, one outside begins with ".."."""
        # "./" stands for the list's folder, as in Ultralytics
        if self._skipped == 0 and line[:1] not in "./" and ".." not in line and line in self._listing:
            return line
        for text in dict.fromkeys((line, line.replace("\\", "/"))):
            found = self._found(text)
            if found is not None:
                return found
        text = line.replace("\\", "/").replace("\0", "?")
        below = os.path.relpath(self._listing.root / self._beside / text, self._listing.root)
        return Path(below).as_posix()

    def _found(self, text: str) -> str | None:
        root = f"{self._listing.root.as_posix().rstrip('/')}/"
        own = os.path.normpath(self._beside + text[2:]) if text.startswith("./") else None
        inside = text.removeprefix(root).removeprefix("./")
        parts = inside.split("/")
        if ".." in parts:
            inside = os.path.normpath(self._beside + inside)
            return inside if not inside.startswith(("..", "/")) and inside in self._listing else None
        starts = range(1, len(parts))
        skipped = [self._skipped, *starts] if self._skipped in starts else starts  # most likely as for the line before
        shorter = ("/".join(parts[start:]) for start in skipped)
        if not inside.startswith("/"):
            for below in (own, inside, self._beside + inside, f"images/{inside}"):
                if below is not None and below in self._listing:
                    return below
        for start, below in zip(skipped, shorter, strict=True):
            if below in self._listing:
                self._skipped = start
                return below
        return None


def orphans(listing: Listing, images: Sequence[str], label_files: Sequence[str]) -> list[str]:
    """Return the label files, below the root, that lie beside those of the images and that no image belongs to."""
    known: dict[str, set[str]] = {}
    sources: dict[str, set[str]] = {}
    for image, file in zip(images, label_files, strict=True):
        where, _, name = file.rpartition("/")
        known.setdefault(where, set()).add(name)
        sources.setdefault(where, set()).add(image.rpartition("/")[0])
    found = []
    for where, names in sorted(known.items()):
        others = [name for name in files_with(sorted(listing.names(where) - names), _TXT) if name not in _NO_LABELS]
        stems = {
            os.path.splitext(name)[0]
            for source in (sources[where] if others else ())
            for name in files_with(listing.names(source), IMAGE_SUFFIXES)
        }
        for name in others:
            stem = os.path.splitext(name)[0]
            if stem not in stems and not is_split(stem):
                found.append(f"{where}/{name}".lstrip("/"))
    return found


def labels_elsewhere(listing: Listing, expected: str) -> str:
    """Return what to do where no label file was found, by where text files are."""
    names = _names(listing.root)
    places = [listing.root, *(listing.root / name for name in folders_in(listing.root, names))]
    places += [place / name for place in places[1:] for name in folders_in(place, _names(place))]
    for place in places:
        files = [name for name in files_with(_names(place), _TXT) if name not in _NO_LABELS and not is_split(name)]
        if files:
            return (
                f"the first was looked for as {expected}; {place.as_posix()} holds {files[0]}: name the labels' folder "
                "with annotations=, and end their names in .txt"
            )
    return f"the first was looked for as {expected}: name the labels' folder with annotations="
