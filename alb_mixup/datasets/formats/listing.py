"""Which files a dataset has, and where the images of a COCO file are."""

import os
from collections.abc import Sequence
from pathlib import Path

from alb_mixup.errors import DatasetError

_TRIED = 20  # so many images are looked for in each place, for a few may be missing


class Listing:
    """Which files there are below a folder; each of its folders is listed once, when it is first asked about."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, frozenset[str]] = {}

    def __contains__(self, file: str) -> bool:
        folder, _, name = file.rpartition("/")
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(self.root / folder))
            except OSError:
                self._names[folder] = frozenset()
        return name in self._names[folder]


def find_images(annotations: Path, images: Path | None, files: Sequence[str]) -> Listing:
    """The folder below which `files` are.

    Args:
        annotations: the JSON file.
        images: the folder that the user gave, or None.
        files: paths below the folder that is looked for.

    Raises:
        DatasetError: no such folder, or none with any of the first files.
    """
    if images is not None and not images.is_dir():
        raise DatasetError(f"images must be a folder; there is none at {images.as_posix()}.")
    folders = _neighbours(annotations) if images is None else [images]
    for folder in folders:
        listing = Listing(folder)
        if not files or any(file in listing for file in files[:_TRIED]) or any(file in listing for file in files):
            return listing
    raise DatasetError(
        f"images must be the folder of the images that {annotations.as_posix()} names, such as {files[0]!r}; none of "
        f"them is in {', '.join(folder.as_posix() for folder in folders)}. Pass images=..."
    )


def _neighbours(annotations: Path) -> list[Path]:
    """The folders that usually hold the images of an annotation file, those that exist, the likeliest first."""
    own = annotations.parent
    bases = [own.parent, own] if own.name.lower().startswith("annotation") else [own]
    split = annotations.stem.rpartition("_")[2]
    found = [base / below for base in bases for below in (split, f"images/{split}", "images", "")]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]
