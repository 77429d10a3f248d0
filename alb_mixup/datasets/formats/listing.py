"""Which files a dataset has, and which of its names stand for splits."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from alb_mixup.errors import DatasetError

_SPLIT_WORDS = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "trainval", "minival", "minitrain"}
)


class Listing:
    """Which files there are below a folder; each of its folders is listed once, when it is first asked about."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, frozenset[str]] = {}
        self._alike: dict[str, dict[str, list[str]]] = {}

    def __contains__(self, file: str) -> bool:
        folder, _, name = file.rpartition("/")
        return name in self.names(folder)

    def find(self, file: str) -> str | None:
        """Return a file as it is called here; None where there is none, or more than one that may be meant.

        Where no name is the same, one is meant that is the same URL-quoted, in upper and lower case, or in another form
        of Unicode (macOS writes "ü" as two characters).
        """
        if file in self:
            return file
        for text in (file, unquote(file)):
            folder, _, name = text.rpartition("/")
            if name in self.names(folder):
                return text
            if folder not in self._alike:
                alike = self._alike[folder] = {}
                for known in self.names(folder):
                    alike.setdefault(_form(known), []).append(known)
            found = self._alike[folder].get(_form(name), [])
            if len(found) == 1:
                return f"{folder}/{found[0]}" if folder else found[0]
        return None

    def names(self, folder: str) -> frozenset[str]:
        """Return the names in a folder below the root, POSIX; none where there is no such folder, or it leads out."""
        if folder not in self._names:
            try:
                leads_out = os.path.isabs(folder) or os.path.splitdrive(folder)[0] or ".." in folder.split("/")
                self._names[folder] = frozenset() if leads_out else frozenset(os.listdir(self.root / folder))
            except (OSError, ValueError):
                self._names[folder] = frozenset()
        return self._names[folder]


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


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


class Tree:
    """What there is in folders, each listed once: their names, which of them are folders, and their suffixes."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[list[str], list[str]]] = {}
        self._suffixes: dict[str, frozenset[str]] = {}

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, sorted; none where it cannot be listed."""
        return self._listed(folder)[0]

    def folders(self, folder: Path) -> list[str]:
        """Return which of them are folders, those that are not hidden."""
        return self._listed(folder)[1]

    def has(self, folder: Path, suffixes: Sequence[str]) -> bool:
        """Tell whether any of them ends in one of these suffixes, in any case."""
        key = str(folder)
        if key not in self._suffixes:
            found = {name[name.rfind(".") :] for name in self.names(folder) if "." in name[1:] and name[0] != "."}
            self._suffixes[key] = frozenset(map(str.lower, found))
        return not self._suffixes[key].isdisjoint(suffixes)

    def walk(self, folder: Path) -> list[str]:
        """Return the names in a folder, and the paths of those in its folders, below it; links are not followed."""
        found = list(self.names(folder))
        for name in self.folders(folder):
            if not os.path.islink(folder / name):
                found += [f"{name}/{inner}" for inner in self.walk(folder / name)]
        return found

    def _listed(self, folder: Path) -> tuple[list[str], list[str]]:
        key = str(folder)
        if key not in self._seen:
            try:
                with os.scandir(key) as entries:
                    found = list(entries)
                folders = sorted(entry.name for entry in found if entry.is_dir() and not entry.name.startswith("."))
                self._seen[key] = sorted(entry.name for entry in found), folders
            except (OSError, ValueError):
                self._seen[key] = [], []
        return self._seen[key]


def files_with(names: Iterable[str], suffixes: tuple[str, ...]) -> Iterator[str]:
    """Yield which names end in one of these suffixes, in any case, as they come."""
    for name in names:
        if name.lower().endswith(suffixes) and not _is_hidden(name):
            yield name


def _is_hidden(name: str) -> bool:
    """Tell whether a file is hidden: "._a.xml" is what macOS leaves beside "a.xml" on foreign disks."""
    return name.startswith(".") or "/." in name


def by_stem(names: Iterable[str], suffixes: Sequence[str]) -> dict[str, str]:
    """Map names without their suffix to whole names, of those with one of `suffixes`; the earlier suffix wins."""
    found: list[tuple[int, str, str]] = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in suffixes and not _is_hidden(name):
            found.append((suffixes.index(suffix.lower()), name, stem))
    return {stem: name for _, name, stem in sorted(found, reverse=True)}


def named_folder(value: str | os.PathLike[str], root: Path, argument: str) -> Path:
    """Return a folder that the user named: below the root where it is there, otherwise a path of its own, absolute.

    Raises:
        DatasetError: There is no such folder.
    """
    for folder in (root / value, Path(os.path.abspath(value))):
        if os.fspath(value) and os.path.isdir(folder):
            return Path(os.path.abspath(folder))
    raise DatasetError(
        f"{argument} must be a folder, got {os.fspath(value) or repr('')}, which is neither here nor in "
        f"{root.as_posix()}: correct the path"
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
    is_roboflow = file.name.lower() == "_annotations.coco.json"  # the only ones that their folder names
    last, first = file.stem.rpartition("_")[2], file.stem.partition("_")[0]
    for name in (file.parent.name,) if is_roboflow else (last, first):
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
    trains = [name for name in splits if name.lower() == "train"]  # CVAT's is "Train"
    if split is None and len(trains) == 1:
        return trains[0]
    if split in splits:
        return split
    known = f"one of {', '.join(splits)}" if splits else "None"
    hint = "choose one" if splits else "leave it out, no split has a name there"
    raise DatasetError(f"split must be {known}, got {split!r} for {where.as_posix()}: {hint}")
