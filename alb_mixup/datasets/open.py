"""Which of the layouts a path is; and the labelled images inside the package."""

import os
from collections.abc import Sequence
from pathlib import Path

from alb_mixup.datasets.annotations.validate import OnInvalid
from alb_mixup.datasets.base import DetectionDataset, absolute_path
from alb_mixup.datasets.formats.coco import CocoDataset
from alb_mixup.datasets.formats.voc import VocDataset
from alb_mixup.datasets.formats.yolo import YoloDataset
from alb_mixup.datasets.formats.yolo_yaml import YAML_SUFFIXES, yaml_in
from alb_mixup.errors import DatasetError


def open_dataset(
    path: str | os.PathLike[str],
    split: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    on_invalid: OnInvalid = "drop",
) -> DetectionDataset:
    """Open a dataset in any of the layouts that this package reads.

    Args:
        path: a COCO JSON file, a data.yaml, or a folder: Pascal VOC where it holds `Annotations/` or XML files, YOLO
            where it holds a data.yaml, or folders `images` and `labels`; COCO where it or its folder `annotations`
            holds JSON files, or its folder `<split>` a `_annotations.coco.json`.
        split: a split, such as `"train"`. None: all of a VOC folder, `"train"` of YOLO, the only JSON file of COCO.
            For COCO it is the last part of a file's name, with or without a year: `instances_train2017.json`.
        classes: as for the reader.
        on_invalid: as for the reader.

    Returns:
        A `VocDataset`, `YoloDataset` or `CocoDataset`, with its other settings at their defaults.

    Raises:
        ArgumentError: an argument breaks its constraint.
        DatasetError: no layout is recognised, or more than one is, or the dataset cannot be opened.
        AnnotationError: an annotation is invalid and `on_invalid` is `"raise"`.
    """
    source = absolute_path(path, "path", "a dataset")
    layouts = _layouts(source, split)
    if len(layouts) != 1:
        seen = "looks like more than one: " + ", ".join(layouts) if layouts else "is none of them"
        raise DatasetError(
            "path must be a dataset in COCO (JSON file), YOLO (data.yaml) or Pascal VOC (Annotations/) layout; "
            f"{source.as_posix()} {seen}. Use CocoDataset, YoloDataset or VocDataset and name the file or folder."
        )
    [(layout, found)] = layouts.items()
    if layout == "VOC":
        return VocDataset(found[0], split, classes=classes, on_invalid=on_invalid)
    if layout == "YOLO":
        return YoloDataset(found[0], split or "train", classes=classes, on_invalid=on_invalid)
    if len(found) > 1:
        names = ", ".join(file.relative_to(source).as_posix() for file in found)
        raise DatasetError(f"split must choose one of the COCO files in {source.as_posix()}: {names}; got {split!r}.")
    return CocoDataset(found[0], classes=classes, on_invalid=on_invalid)


def sample_dataset() -> VocDataset:
    """Fourteen blood-smear photographs with their boxes, embedded in the package.

    640×480 pixels, RGB, 3 to 30 boxes an image, classes `Platelets`, `RBC` and `WBC`. Enough to see MixUp at work
    without a download; too few to train on.

    Source: BCCD, https://github.com/Shenggan/BCCD_Dataset at commit d272fb1, MIT, © 2017 shenggan.
    """
    dataset = VocDataset(Path(__file__).parent / "sample", on_invalid="raise")
    dataset._spec = {"dataset": "sample"}  # no folder: the package lies elsewhere on the next machine
    return dataset


def _layouts(source: Path, split: str | None) -> dict[str, list[Path]]:
    """Each layout that `source` looks like, with the files or folder to open."""
    suffix = source.suffix.lower()
    if source.is_file() and suffix in {".json", *YAML_SUFFIXES}:
        return {"COCO" if suffix == ".json" else "YOLO": [source]}
    if not source.is_dir():
        return {}
    names = os.listdir(source)
    found: dict[str, list[Path]] = {}
    if _holds(source / "Annotations", ".xml") or _holds(source, ".xml"):
        found["VOC"] = [source]
    if yaml_in(source) is not None or {"images", "labels"} <= set(names) or _split_folders(source):
        found["YOLO"] = [source]
    files = _files(source, split)
    if files:
        found["COCO"] = files
    return found


def _holds(folder: Path, suffix: str) -> bool:
    return folder.is_dir() and any(name.lower().endswith(suffix) for name in os.listdir(folder))


def _split_folders(source: Path) -> bool:
    return any((folder / "images").is_dir() and (folder / "labels").is_dir() for folder in source.iterdir())


def _files(source: Path, split: str | None) -> list[Path]:
    found = sorted(
        {*source.glob("*.json"), *source.glob("annotations/*.json"), *source.glob("*/_annotations.coco.json")}
    )
    if split is None:
        return found
    chosen = [file for file in found if _split_of(file).rstrip("0123456789") == split or _split_of(file) == split]
    # instances_, captions_ and person_keypoints_ come together: the boxes are those of the first
    return [file for file in chosen if file.stem.startswith("instances")] or chosen or found


def _split_of(file: Path) -> str:
    return file.parent.name if file.name == "_annotations.coco.json" else file.stem.rpartition("_")[2]
