"""The folder of a YOLO dataset: which images a split has, and where their labels are."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alb_mixup._support.regular import read_text
from alb_mixup.datasets.formats.listing import (
    Listing,
    Tree,
    chosen_split,
    files_with,
    is_split,
    named_folder,
)
from alb_mixup.datasets.formats.yolo_labels import label_file
from alb_mixup.datasets.formats.yolo_list import ListLines
from alb_mixup.datasets.formats.yolo_yaml import YoloIndex, data_file_in, yaml_in
from alb_mixup.datasets.images.decode import IMAGE_SUFFIXES
from alb_mixup.errors import DatasetError

_TXT = (".txt",)
_NAME_LISTS = ("classes.txt", "obj.names")
_IMAGE_LIST = "images.txt"  # that of a set without splits
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
        beside: Folders below the images' own that hold labelled images too, and are not read.
    """

    split: str
    splits: tuple[str, ...]
    images: list[str]
    listing: Listing
    labels: str | None
    beside: list[str]

    def label_file(self, image: str) -> str:
        """Return the label file of an image, both below the root."""
        if self.labels is None:
            usual, beside = label_file(image), f"{os.path.splitext(image)[0]}.txt"
            return beside if usual not in self.listing and beside in self.listing else usual
        tail = f"/{image}".rpartition("/images/")[2].lstrip("/")
        nested = f"{self.labels}/{tail.rpartition('.')[0]}.txt".lstrip("/")
        if nested in self.listing or "/" not in tail:
            return nested
        return f"{self.labels}/{tail.rpartition('/')[2].rpartition('.')[0]}.txt".lstrip("/")


def looks_like_yolo(root: Path, tree: Tree) -> bool:
    """Tell whether a folder holds a YOLO dataset, by its data.yaml, its .data file or its label files."""
    names = tree.names(root)
    if yaml_in(root, names) is not None or data_file_in(root, names) is not None:
        return True
    if {"images", "labels"} <= set(names) and _may_be_labels(root / "labels", tree):
        return True
    has_list = any(name in names for name in _NAME_LISTS)
    if (tree.has(root, IMAGE_SUFFIXES) and (has_list or _has_pairs(root, tree))) or (
        has_list and ("images" in names or _IMAGE_LIST in names or _folders_of_pairs(root, tree))
    ):
        return True
    return any(
        {"images", "labels"} <= set(tree.folders(root / name)) or _has_pairs(root / name, tree)
        for name in tree.folders(root)
        if is_split(name)
    )


def _may_be_labels(folder: Path, tree: Tree) -> bool:
    """Whether a folder named labels holds text files or nothing at all, and no XML, below it too."""
    folders = [folder, *(folder / name for name in tree.folders(folder))]
    return any(tree.has(each, _TXT) for each in folders) or not any(tree.has(each, (".xml",)) for each in folders)


def _has_pairs(folder: Path, tree: Tree) -> bool:
    """Whether images and text files of the same names lie side by side."""
    if not tree.has(folder, _TXT) or not tree.has(folder, IMAGE_SUFFIXES):
        return False
    stems = {os.path.splitext(name)[0] for name in files_with(tree.names(folder), IMAGE_SUFFIXES)}
    return any(os.path.splitext(name)[0] in stems for name in files_with(tree.names(folder), _TXT))


def _folders_of_pairs(root: Path, tree: Tree) -> list[str]:
    return [name for name in tree.folders(root) if _has_pairs(root / name, tree)]


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
        chosen = chosen or splits[0]
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
    flat = [path for path in paths if not _is_deep(path, index)]
    beside = [(path / name).as_posix() for path in flat for name in _folders_of_pairs(path, Tree())]
    return YoloFolder(chosen, splits, list(dict.fromkeys(found)), listing, below, beside)


def _folder_of(root: Path, split: str) -> str | None:
    """The folder of the images of a split that nothing else names."""
    if "/" in split or "\\" in split or split in {"", ".", ".."}:
        return None
    found, tree = (f"images/{split}", f"{split}/images", split), Tree()
    return next((folder for folder in found if tree.has(root / folder, IMAGE_SUFFIXES)), None)


def _folders(root: Path) -> dict[str, list[str]]:
    """The splits that folders and lists alone show, each with where its images are."""
    tree = Tree()
    of_images = [f"images/{name}" for name in tree.folders(root / "images")]
    found = {folder[7:]: [folder] for folder in of_images if tree.has(root / folder, IMAGE_SUFFIXES)}
    for name in filter(is_split, tree.folders(root)):
        if "images" in tree.folders(root / name):
            found.setdefault(name, [f"{name}/images"])
        elif tree.has(root / name, IMAGE_SUFFIXES):
            found.setdefault(name, [name])
    if found:
        return found
    names = tree.names(root)
    lists = {os.path.splitext(name)[0]: [name] for name in files_with(names, _TXT) if is_split(name)}
    if lists:
        return lists
    whole = [_IMAGE_LIST] if _IMAGE_LIST in names else []
    whole += [folder for folder in ("images", ".") if tree.has(root / folder, IMAGE_SUFFIXES)]
    if whole:
        return {"train": whole[:1]}
    parts = _folders_of_pairs(root, tree)
    return {"train": parts} if len(parts) == 1 else {name: [name] for name in parts}


def _located(index: YoloIndex, entry: str) -> Path:
    """The folder or list that a data.yaml names, absolute: as it says, or where the dataset lies now."""
    root = index.root
    for text in dict.fromkeys((entry, entry.replace("\\", "/"))):
        # "../train/images" beside the data.yaml is what Roboflow writes; Ultralytics looks it up in the root as well.
        parts = text.removeprefix("../").split("/")
        for below in (text.removeprefix("../"), text):
            path = Path(os.path.abspath(root / below))
            if os.path.exists(path):
                if os.path.isabs(text) or path.is_relative_to(root):
                    return path
                raise _leads_out(index, entry)
        # Written elsewhere: what is left of the path must still be a list, or say more than `images` does.
        for below in ("/".join(parts[start:]) for start in range(1, len(parts))):
            path = root / below
            says_enough = "/" in below.strip("/") or is_split(below) or os.path.isfile(path)
            if ".." not in below and not os.path.isabs(below) and says_enough and os.path.exists(path):
                return path
    if not Path(os.path.abspath(root / entry.removeprefix("../"))).is_relative_to(root):
        raise _leads_out(index, entry)
    raise DatasetError(
        f"data.yaml must name a folder of images or a list of them, got {entry!r:.300}, which is not in "
        f"{root.as_posix()}{index.note}: correct it, or name the folder with images="
    )


def _leads_out(index: YoloIndex, entry: str) -> DatasetError:
    return DatasetError(
        f"data.yaml must name images in its folder or its path:, got {entry!r:.300} in {index.root.as_posix()}, which "
        f"leads out{index.note}: set path: to the folder that holds all"
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


def _is_deep(path: Path, index: YoloIndex) -> bool:
    """Whether the folders of a folder are read too: beside images in the root itself may be other datasets."""
    return index.file is not None or path != index.root


def _images_of(listing: Listing, path: Path, index: YoloIndex) -> Iterator[str]:
    if os.path.isdir(path):
        yield from _walk(listing.root, path, recursive=_is_deep(path, index))
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
    lines = ListLines(listing, "" if beside == "." else f"{beside}/")
    yield from (lines.image(line.strip()) for line in text.split("\n") if line.strip())


def _walk(root: Path, folder: Path, *, recursive: bool) -> Iterator[str]:
    for where, folders, names in os.walk(folder, onerror=_cannot_be_listed):
        folders[:] = sorted(folders) if recursive else []
        below = Path(where).relative_to(root).as_posix()
        prefix = "" if below == "." else f"{below}/"
        yield from (prefix + name for name in sorted(files_with(names, IMAGE_SUFFIXES)))


def _cannot_be_listed(error: OSError) -> None:
    raise DatasetError(
        f"images must be in folders that can be listed, got {error.filename}: {error.strerror}; allow to read it, or "
        "move it elsewhere"
    ) from error
