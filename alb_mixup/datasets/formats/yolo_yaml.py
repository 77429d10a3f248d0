"""The folder of a YOLO dataset: its data.yaml, and which images a split has."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from alb_mixup.datasets.images.decode import IMAGE_SUFFIXES
from alb_mixup.errors import DatasetError

YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class YoloLayout:
    """What a data.yaml says, or what its absence leaves to be found.

    Attributes:
        root: the folder below which all images and labels are, absolute.
        splits: split to its folders and lists, as written.
        names: class id to name.
        keypoint_columns: columns behind the box in each row of a pose dataset, else 0.
    """

    root: Path
    splits: dict[str, list[str]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    keypoint_columns: int = 0


def read_layout(path: Path) -> YoloLayout:
    """Read a data.yaml, or find it in a folder, or do without.

    Raises:
        DatasetError: there is neither, or it cannot be read.
    """
    if path.is_dir():
        found = yaml_in(path)
        return YoloLayout(path, names=_names_from_text(path)) if found is None else _read_yaml(found)
    if not path.is_file():
        raise DatasetError(f"data must be a data.yaml or the folder that holds it; there is none at {path.as_posix()}.")
    return _read_yaml(path)


def yaml_in(folder: Path) -> Path | None:
    """The data.yaml of a folder, or its only YAML file of another name, or None."""
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (folder / name).is_file():
            return folder / name
    found = [folder / name for name in sorted(os.listdir(folder)) if name.lower().endswith(YAML_SUFFIXES)]
    return found[0] if len(found) == 1 else None


def _read_yaml(path: Path) -> YoloLayout:
    try:
        # Nothing but str, list and dict: names such as `no`, `1e3` and `2020-01-01` stay what they are.
        data = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)  # noqa: S506
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DatasetError(f"data must be a data.yaml; {path.as_posix()} cannot be read: {error}.") from error
    if not isinstance(data, dict):
        raise DatasetError(f"data must be a data.yaml with train and names; {path.as_posix()} is no mapping.")
    stated = data.get("path")
    root = path.parent / stated if isinstance(stated, str) and stated.strip() else path.parent
    if not root.is_dir():  # written on another machine, or relative to Ultralytics' own folder of datasets
        root = path.parent
    splits = {key: _entries(value) for key, value in data.items() if isinstance(key, str) and key not in _NO_SPLITS}
    return YoloLayout(
        Path(os.path.abspath(root)), splits, _names(data.get("names"), path), _keypoint_columns(data, path)
    )


_NO_SPLITS = frozenset({"path", "names", "nc", "kpt_shape", "flip_idx", "download", "roboflow"})


def _entries(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    return [entry for entry in entries if isinstance(entry, str) and entry.strip()]


def _names(value: Any, path: Path) -> dict[int, str]:
    try:
        pairs = list(value.items() if isinstance(value, dict) else enumerate(value or ()))
        names = {int(key): name.strip() for key, name in sorted(pairs, key=lambda pair: int(pair[0]))}
    except (AttributeError, TypeError, ValueError) as error:
        raise DatasetError(
            f"names must be a list of class names or a dict of ids to them: {path.as_posix()}."
        ) from error
    if isinstance(value, str) or not all(names.values()) or any(key < 0 for key in names):
        raise DatasetError(f"names must be a list of class names or a dict of ids to them: {path.as_posix()}.")
    return names


def _keypoint_columns(data: dict[str, Any], path: Path) -> int:
    try:
        return math.prod(int(number) for number in data["kpt_shape"]) if "kpt_shape" in data else 0
    except (TypeError, ValueError) as error:
        raise DatasetError(f"kpt_shape must be two numbers: {path.as_posix()}.") from error


def _names_from_text(root: Path) -> dict[int, str]:
    """Names from the classes.txt that labelling tools leave, one a line."""
    for name in ("classes.txt", "labels/classes.txt"):
        if (root / name).is_file():
            lines = (root / name).read_text(encoding="utf-8-sig", errors="replace").splitlines()
            return {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    return {}


def images_of(layout: YoloLayout, split: str) -> list[str]:
    """The images of a split, below the root: of folders sorted, of lists in their order; some may not exist.

    An image that a list names outside of the root begins with "..".

    Raises:
        DatasetError: no such split, it leads out of the root, or it has no images.
    """
    entries = (
        layout.splits.get(split)
        or [folder for folder in (f"images/{split}", f"{split}/images", split) if (layout.root / folder).is_dir()][:1]
    )
    if not entries:
        known = ", ".join(key for key, value in layout.splits.items() if value) or "none"
        raise DatasetError(
            f"split {split!r} must be in data.yaml, or images/{split} a folder in {layout.root.as_posix()}. "
            f"Splits in data.yaml: {known}."
        )
    found = [image for entry in entries for image in _images_of_entry(layout.root, entry)]
    if not found:
        raise DatasetError(f"split {split!r} has no images: {', '.join(entries)} in {layout.root.as_posix()} is empty.")
    return list(dict.fromkeys(found))


def _images_of_entry(root: Path, entry: str) -> list[str]:
    # "../train/images" beside the data.yaml is what Roboflow writes; Ultralytics looks it up in the root as well.
    inside = root / entry.removeprefix("../")
    path = Path(os.path.abspath(inside if inside.exists() else root / entry))
    if not path.is_relative_to(root):
        raise DatasetError(
            f"data.yaml must name images in its folder or its `path`, {root.as_posix()}; {entry!r} leads out. "
            "Set `path` to the folder that holds all."
        )
    if path.is_dir():
        return list(_walk(root, path))
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(f"data.yaml names {entry!r}: {path.as_posix()} cannot be read: {error}.") from error
    return [_listed(root, path.parent, line.strip()) for line in lines if line.strip()]


def _walk(root: Path, folder: Path) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        below = Path(where).relative_to(root).as_posix()
        prefix = "" if below == "." else f"{below}/"
        for name in sorted(names):
            # "._a.jpg" is what macOS leaves beside "a.jpg" on foreign disks
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield prefix + name


def _listed(root: Path, beside: Path, line: str) -> str:
    """A line of a list, below the root: "./" stands for the list's folder, as in Ultralytics."""
    folder = beside if line.startswith("./") or not (root / line).exists() else root
    return Path(os.path.relpath(folder / line.replace("\0", "?"), root)).as_posix()
