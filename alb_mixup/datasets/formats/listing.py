"""Which files a dataset has, and which of its names stand for splits."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from alb_mixup.datasets.images.decode import IMAGE_SUFFIXES
from alb_mixup.errors import DatasetError

_SPLIT_WORDS = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "trainval", "minival", "minitrain"}
)


class Listing:
    """Which files there are below a folder; each of its folders is listed once, when it is first asked about."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, frozenset[str]] = {}

    def __contains__(self, file: str) -> bool:
        folder, _, name = file.rpartition("/")
        return name in self.names(folder)

    def names(self, folder: str) -> frozenset[str]:
        """Return the names in a folder below the root, POSIX; none where there is no such folder."""
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(self.root / folder))
            except (OSError, ValueError):
                self._names[folder] = frozenset()
        return self._names[folder]


def names_in(folder: Path, argument: str) -> list[str]:
    """Return the names in a folder that is there, sorted.

    Raises:
        DatasetError: It is not a folder, or cannot be listed; `argument` is what it was given as.
    """
    try:
        return sorted(os.listdir(folder))
    except (OSError, ValueError) as error:
        state = "is not a folder" if os.path.exists(folder) else "does not exist"
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(
            f"{argument} must be a folder, got {folder.as_posix()}, which "
            + (f"cannot be listed: {reason}" if os.path.isdir(folder) else f"{state}: correct the path")
        ) from error


def names_or_none(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none where it cannot be listed."""
    try:
        return sorted(os.listdir(folder))
    except (OSError, ValueError):
        return []


def folders_in(folder: Path, names: Sequence[str]) -> list[str]:
    """Return which of the names in a folder are visible folders."""
    return [name for name in names if not name.startswith(".") and os.path.isdir(folder / name)]


def files_with(names: Iterable[str], suffixes: Sequence[str]) -> Iterator[str]:
    """Yield which names end in one of these suffixes, in any case, as they come."""
    for name in names:
        # "._a.xml" is what macOS leaves beside "a.xml" on foreign disks
        if os.path.splitext(name)[1].lower() in suffixes and not name.startswith("."):
            yield name


def by_stem(names: Iterable[str], suffixes: Sequence[str]) -> dict[str, str]:
    """Map names without their suffix to whole names, of those with one of `suffixes`; the earlier suffix wins."""
    found: list[tuple[int, str, str]] = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in suffixes and not name.startswith("."):
            found.append((suffixes.index(suffix.lower()), name, stem))
    return {stem: name for _, name, stem in sorted(found, reverse=True)}


def named_folder(value: str | os.PathLike[str], root: Path, argument: str) -> Path:
    """Return a folder that the user named: below the root where it is there, otherwise a path of its own, absolute.

    Raises:
        DatasetError: There is no such folder.
    """
    for folder in (root / value, Path(os.path.abspath(value))):
        if os.path.isdir(folder):
            return Path(os.path.abspath(folder))
    raise DatasetError(
        f"{argument} must be a folder, got {os.fspath(value)}, which is neither here nor in {root.as_posix()}: "
        "correct the path"
    )


def is_split(name: str) -> bool:
    """Tell whether a name has a word for a split in it, such as `train2017`."""
    return any(word.rstrip("0123456789") in _SPLIT_WORDS for word in re.split(r"[^a-z0-9]+", name.lower()))


def split_names(file: PurePosixPath) -> tuple[str, ...]:
    """Return what a split may be called by that an annotation file is of, such as `("train2017", "train")`.

    Args:
        file: Its path below the dataset's root: `annotations/instances_train2017.json`, `valid/_annotations.coco.json`.

    Returns:
        The names, the longer first; empty where it names none.
    """
    last, first = file.stem.rpartition("_")[2], file.stem.partition("_")[0]
    for name in (last, first, file.parent.name):
        if is_split(name):
            return tuple(dict.fromkeys((name, name.rstrip("0123456789"))))
    return ()


def chosen_split(split: str | None, splits: Sequence[str], where: Path) -> str | None:
    """Return the split to open.

    Args:
        split: What was asked for; None: "train" where there is one, or the only one.
        splits: Those that there are.
        where: The dataset, for messages.

    Raises:
        DatasetError: There is no such split, or none was asked for and one has to be chosen.
    """
    if split is None and len(splits) <= 1:
        return splits[0] if splits else None
    if split is None and "train" in splits:
        return "train"
    if split in splits:
        return split
    known = f"one of {', '.join(splits)}" if splits else "None"
    hint = "choose one" if splits else "leave it out, no split has a name there"
    raise DatasetError(f"split must be {known}, got {split!r} for {where.as_posix()}: {hint}")


def has_images(names: Iterable[str]) -> bool:
    """Tell whether any of these names is that of an image."""
    return next(files_with(names, IMAGE_SUFFIXES), None) is not None
