"""What a YOLO dataset says about itself: its data.yaml, its darknet .data file, or its list of names."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from alb_mixup._support.regular import read_text
from alb_mixup.datasets.formats.listing import files_with, is_split, names_in
from alb_mixup.errors import DatasetError

YAML_SUFFIXES = (".yaml", ".yml")
_LIKELY = ("data.yaml", "data.yml", "dataset.yaml")
_NAME_FILES = (
    "classes.txt", "labels/classes.txt", "obj.names", "data/obj.names", "_darknet.labels", "train/_darknet.labels"
)  # fmt: skip
_SPLITS = frozenset({"train", "val", "valid", "test", "minival"})
_NO_SPLITS = frozenset({"path", "names", "nc", "kpt_shape", "kpt_names", "flip_idx", "download", "roboflow", "labels"})
_LONGEST = 2**20  # bytes of a file of settings
_DEEPEST = 100
_MOST_CLASSES = 100_000


@dataclass(frozen=True)
class YoloIndex:
    """What a data.yaml says, or what its absence leaves to be found.

    Attributes:
        root: The folder that paths are relative to, absolute.
        entries: Split to its folders and lists, as written.
        names: Class id to name.
        keypoint_columns: Columns behind the box in each row of a pose dataset, else 0.
        file: The file that says so; None where there is none.
        note: What a message about a path that is not there should add; empty, or in parentheses.
    """

    root: Path
    entries: dict[str, list[str]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    keypoint_columns: int = 0
    file: Path | None = None
    note: str = ""


def read_index(path: Path) -> YoloIndex:
    """Read a data.yaml or a .data file, or find one in a folder, or do without.

    Raises:
        DatasetError: There is neither, or it cannot be read.
    """
    if os.path.isdir(path):
        names = names_in(path, "data")
        found = yaml_in(path, names) or data_file_in(path, names)
        if found is None:
            return YoloIndex(path, names=_names_from_text(path))
        path = found
    elif not os.path.exists(path):
        raise DatasetError(
            f"data must be a data.yaml or the folder that holds it, got {path.as_posix()}, which does not exist: "
            "correct the path"
        )
    try:
        text = read_text(path, _LONGEST)
    except (OSError, ValueError) as error:
        raise _not_yaml(path, getattr(error, "strerror", None) or str(error)) from error
    return _from_darknet(path, text) if path.suffix.lower() == ".data" else _from_yaml(path, text)


def yaml_in(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the data.yaml of a folder, or its only YAML file of another name that says so, or None."""
    for name in _LIKELY:
        if name in names:
            return folder / name
    found = [folder / name for name in files_with(names, YAML_SUFFIXES)]
    said = [path for path in found if _says_yolo(path)]
    return said[0] if len(said) == 1 else None


def data_file_in(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the darknet .data file of a folder, obj.data or its only one, or None."""
    found = sorted(files_with(names, (".data",)), key=lambda name: name.lower() != "obj.data")
    return folder / found[0] if len(found) == 1 or (found and found[0].lower() == "obj.data") else None


def _says_yolo(path: Path) -> bool:
    try:
        data = _load(read_text(path, _LONGEST))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return False
    return (
        isinstance(data, dict) and ("names" in data or "nc" in data) and bool(_SPLITS & data.keys() or "path" in data)
    )


def _load(text: str) -> Any:
    depth = deepest = 0
    for bracket in re.findall(r"[\[{}\]]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:  # PyYAML takes time by the square of it
        raise ValueError(f"brackets are nested {deepest} deep")
    # Nothing but str, list and dict: names such as `no`, `1e3` and `2020-01-01` stay what they are.
    return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506


def _not_yaml(path: Path, reason: str) -> DatasetError:
    return DatasetError(
        f"data must be a data.yaml with train and names, got {path.as_posix()}, which cannot be read as such: {reason}"
    )


def _from_yaml(path: Path, text: str) -> YoloIndex:
    try:
        data = _load(text)
    except (ValueError, RecursionError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise _not_yaml(path, str(error).rstrip(".")) from error
    if not isinstance(data, dict):
        raise _not_yaml(path, "it is not a mapping")
    stated, note, root = data.get("path"), "", path.parent
    if isinstance(stated, str) and stated.strip():
        root = path.parent / stated.strip().replace("\\", "/")
        if not os.path.isdir(root):  # written on another machine, or relative to Ultralytics' own folder of datasets
            root, note = path.parent, f" (its path: {stated} does not exist, so its own folder was taken)"
    return YoloIndex(
        Path(os.path.abspath(root)),
        {key: _entries(value) for key, value in data.items() if _may_be_split(key, value, root)},
        _names(data, path) or _names_from_text(path.parent),
        _keypoint_columns(data, path),
        path,
        note,
    )


def _may_be_split(key: Any, value: Any, root: Path) -> bool:
    """Whether a key names images: by the key, or by what is there; others say an author, a version, channels."""
    if not isinstance(key, str) or key in _NO_SPLITS:
        return False
    return is_split(key) or any(_exists(root / entry.replace("\\", "/")) for entry in _entries(value))


def _exists(path: Path) -> bool:
    try:
        return os.path.exists(path)
    except (OSError, ValueError):
        return False


def _entries(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    return [entry.strip() for entry in entries if isinstance(entry, str) and entry.strip()]


def _names(data: dict[str, Any], path: Path) -> dict[int, str]:
    value = data.get("names")
    if not value:
        return _numbered(data.get("nc"), path)
    try:
        if isinstance(value, str):
            raise TypeError("a text")
        pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
        names = {int(key): name.strip() for key, name in sorted(pairs, key=lambda pair: int(pair[0]))}
        "".join(names.values()).encode()  # a lone surrogate is no text
        if not all(names.values()) or any(key < 0 for key in names):
            raise ValueError("an empty name, or an id below 0")
    except (AttributeError, TypeError, ValueError) as error:
        raise DatasetError(
            f"names must be a list of class names or a dict of ids to them, got {value!r:.100} in {path.as_posix()}: "
            "write one name for each class"
        ) from error
    return names


def _numbered(count: Any, path: Path) -> dict[int, str]:
    """The names that Ultralytics gives to classes of which it knows the number alone."""
    if count in (None, "", [], {}):
        return {}
    if not (isinstance(count, str) and count.isascii() and count.isdigit() and len(count) < 9):
        count = _MOST_CLASSES + 1 if not isinstance(count, str) else count
    if not str(count).isdigit() or int(count) > _MOST_CLASSES:
        raise DatasetError(f"nc must be a number of classes, got {data_text(count)} in {path.as_posix()}: write names")
    return {number: f"class_{number}" for number in range(int(count))}


def data_text(value: Any) -> str:
    """Return a value as a message shows it."""
    return f"{value!r:.100}"


def _keypoint_columns(data: dict[str, Any], path: Path) -> int:
    try:
        columns = math.prod(int(number) for number in data["kpt_shape"]) if "kpt_shape" in data else 0
        if 0 <= columns < _MOST_CLASSES:
            return columns
        raise ValueError("out of range")
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"kpt_shape must be two numbers, got {data['kpt_shape']!r:.100} in {path.as_posix()}: write the number of "
            "keypoints and 2 or 3"
        ) from error


def _from_darknet(path: Path, text: str) -> YoloIndex:
    pairs = [line.partition("=") for line in text.split("\n")]
    data = {key.strip(): value.strip() for key, equals, value in pairs if equals and value.strip()}
    names = _names_from_file(path.parent, data.get("names", "obj.names")) or _names_from_text(path.parent)
    # CVAT's subsets have any names
    entries = {
        key: [value]
        for key, value in data.items()
        if is_split(key) or (value.lower().endswith(".txt") and key not in _NO_SPLITS)
    }
    return YoloIndex(path.parent, entries, names or _numbered(data.get("classes"), path), 0, path)


def _names_from_file(root: Path, name: str) -> dict[int, str]:
    """Names of a file beside, wherever it was when the .data file was written."""
    parts = name.replace("\\", "/").split("/")
    for start in range(len(parts)):
        below = "/".join(parts[start:])
        if below and ".." not in parts[start:] and os.path.isfile(root / below) and not os.path.isabs(below):
            return _lines(root / below)
    return {}


def _names_from_text(root: Path) -> dict[int, str]:
    """Names from the classes.txt or obj.names that labelling tools leave, one a line."""
    return next((_lines(root / name) for name in _NAME_FILES if os.path.isfile(root / name)), {})


def _lines(path: Path) -> dict[int, str]:
    try:
        lines = read_text(path, _LONGEST).split("\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DatasetError(
            f"classes must be named in a text file, one a line, got {path.as_posix()}, which cannot be read: {reason}; "
            "correct it, or pass classes="
        ) from error
    return {number: line.strip() for number, line in enumerate(lines) if line.strip()}
