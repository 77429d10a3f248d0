"""The files of a COCO dataset: which JSON files are annotations, and where their images are."""

import json
import mmap
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from alb_mixup._support.regular import open_regular
from alb_mixup.datasets.formats.listing import Listing, Tree, files_with, named_folder, split_names
from alb_mixup.errors import DatasetError

COCO_KEYS = ("images", "annotations", "categories")
_TRIED = 20  # so many images are looked for in each place, for a few may be missing
_LARGEST = 32  # JSON files that are looked into, for a folder may have one for each image
_SMALL = 2**16  # bytes that are parsed whole
_TELLING = {b"images", b"categories"}  # which captions, results and others lack
_CATEGORIES = re.compile(rb'"categories"\s*:\s*\[')
_LIST = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')


def coco_files(root: Path, tree: Tree) -> dict[str, tuple[str, ...]]:
    """Find the COCO annotation files of a folder, by what they say.

    Args:
        root: The folder.
        tree: Lists folders.

    Returns:
        Paths below the root, sorted, of the files in it, in its folder `annotations`, and of each
        `_annotations.coco.json` in a folder below; to what their split may be called, empty where they do not say.
    """
    found = [name for name in files_with(tree.names(root), (".json",)) if not name.startswith("_annotations.")]
    found += [name for name in tree.names(root) if name.lower() == "_annotations.coco.json"]
    for folder in tree.folders(root):
        is_annotations = folder.lower().startswith("annotation")
        inner = tree.names(root / folder) if tree.has(root / folder, (".json",)) else []
        found += [
            f"{folder}/{name}"
            for name in files_with(inner, (".json",))
            if is_annotations or name.lower() == "_annotations.coco.json"
        ]
    if len(found) > _LARGEST:
        found = sorted(found, key=lambda file: -_length(root / file))[:_LARGEST]
    chosen = sorted(file for file in found if says_coco(root / file))
    return {file: split_names(PurePosixPath(file)) for file in chosen}


def _length(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def says_coco(path: Path) -> bool:
    """Tell from its keys whether a JSON file holds COCO's three lists; also where it is damaged."""
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size <= _SMALL:
                data = file.read()
                try:
                    content = json.loads(data)
                except (ValueError, RecursionError):
                    return _LIST.search(data) is not None
                return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in COCO_KEYS)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                if mapped[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in mapped[:4]:  # UTF-16 or UTF-32
                    return True
                # The lists begin near the file's ends in what all tools write; only then is nothing in between read.
                near = {match[1] for part in (mapped[:_SMALL], mapped[-_SMALL:]) for match in _LIST.finditer(part)}
                return near >= _TELLING or _CATEGORIES.search(mapped) is not None
    except (OSError, ValueError):
        return False


def find_images(annotations: Path, images: str | os.PathLike[str] | None, files: Sequence[str]) -> Listing:
    """Find the folder below which `files` are.

    Args:
        annotations: The JSON file.
        images: The folder that the user gave, or None.
        files: Paths below the folder that is looked for.

    Raises:
        DatasetError: No such folder, or none with any of the first files.
    """
    folders = _neighbours(annotations) if images is None else [named_folder(images, annotations.parent, "images")]
    listings = (Listing(folder) for folder in folders)
    found = next((listing for listing in listings if not files or _holds_some(listing, files)), None)
    if found is not None:
        return found
    raise DatasetError(
        f"images must be the folder of the images that {annotations.as_posix()} names, got none of them, such as "
        f"{files[0]!r}, in {', '.join(folder.as_posix() for folder in folders)}: name their folder with images="
    )


def _holds_some(listing: Listing, files: Sequence[str]) -> bool:
    return any(map(listing.find, files[:_TRIED])) or any(file in listing for file in files)


def _neighbours(annotations: Path) -> list[Path]:
    """The folders that usually hold the images of an annotation file, those that exist, the likeliest first."""
    own = annotations.parent
    bases = [own.parent, own] if own.name.lower().startswith("annotation") else [own]
    split = annotations.stem.rpartition("_")[2]
    found = [base / below for base in bases for below in (split, f"images/{split}", "images", "data", "")]
    return [folder for folder in dict.fromkeys(found) if os.path.isdir(folder)]
