"""Which of the layouts a path is; and the labelled images inside the package."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from alb_mixup._support.checks import choice
from alb_mixup._support.regular import open_regular
from alb_mixup.datasets.annotations.validate import OnInvalid
from alb_mixup.datasets.base import DetectionDataset, absolute_path
from alb_mixup.datasets.formats.coco import CocoDataset
from alb_mixup.datasets.formats.coco_folder import coco_files
from alb_mixup.datasets.formats.listing import (
    Tree,
    chosen_split,
    files_with,
    is_split,
    named_folder,
    names_in,
    split_names,
)
from alb_mixup.datasets.formats.voc import VocDataset
from alb_mixup.datasets.formats.voc_layout import looks_like_voc
from alb_mixup.datasets.formats.yolo import YoloDataset
from alb_mixup.datasets.formats.yolo_folder import looks_like_yolo
from alb_mixup.errors import ArgumentError, DatasetError

Layout = Literal["coco", "yolo", "voc"]

LAYOUTS: tuple[Layout, ...] = ("coco", "yolo", "voc")
_TITLES = {"coco": "COCO", "yolo": "YOLO", "voc": "Pascal VOC"}
_MOST_FOLDERS = 200  # that are looked into for datasets
_NAMED = 10  # of what was found, in a message


def open_dataset(
    path: str | os.PathLike[str],
    split: str | None = None,
    *,
    layout: Layout | None = None,
    images: str | os.PathLike[str] | None = None,
    annotations: str | os.PathLike[str] | None = None,
    classes: Sequence[str] | None = None,
    on_invalid: OnInvalid = "drop",
    keep_difficult: bool = False,
    masks: bool = False,
    keypoints: bool = False,
) -> DetectionDataset:
    """Open a dataset in any of the layouts that this package reads, as the usual tools export them.

    What a folder is follows from what its files say: a JSON file is COCO's by its keys, an XML file is Pascal VOC's by
    its root, a YAML file is YOLO's by its keys. Where a folder is no dataset itself but one folder in it is, that is
    opened.

    Args:
        path: A COCO JSON file, a data.yaml, a darknet .data file, or a folder.
        split: A split, such as `"train"`. None: all of a Pascal VOC folder; otherwise `"train"` where there is one, or
            the only split. For COCO it is a part of the file's name, with or without a year
            (`instances_train2017.json`), or the name of its folder; a lone file whose name has no split is `"train"`.
        layout: `"coco"`, `"yolo"` or `"voc"`. None: it is found out.
        images: The images' folder, below `path` or a path of its own. None: it is looked for.
        annotations: The COCO JSON file, or the folder of the labels of YOLO or of the XML files, as well.
        classes: As for the reader.
        on_invalid: As for the reader.
        keep_difficult: As for `VocDataset`; only for Pascal VOC.
        masks: As for `CocoDataset` and `YoloDataset`; not for Pascal VOC.
        keypoints: As for `CocoDataset`; only for COCO.

    Returns:
        A `VocDataset`, `YoloDataset` or `CocoDataset`, with its other settings at their defaults.

    Raises:
        ArgumentError: An argument breaks its constraint.
        DatasetError: No layout is recognised, or more than one is, there is no such split, or the dataset cannot be
            opened.
        AnnotationError: An annotation is invalid and `on_invalid` is `"raise"`.

    Examples:
        >>> from alb_mixup import open_dataset, sample_dataset
        >>> open_dataset(sample_dataset().root).invalid
        ()
        >>> open_dataset("roboflow-export", "valid", on_invalid="clip")  # doctest: +SKIP
    """
    source = absolute_path(path, "path", "a dataset")
    if layout is not None:
        choice("layout", layout, LAYOUTS)
    if not os.path.exists(source):
        state = "is a link to nothing" if os.path.lexists(source) else "does not exist"
        raise DatasetError(f"path must be a dataset, got {source.as_posix()}, which {state}: correct the path")
    tree = Tree()
    is_named = images is not None or annotations is not None
    source, kind, splits = _resolve(source, split, layout, tree, is_named=is_named)
    if splits:
        split = None  # the folder of one split
    for name, given, kinds in (
        ("keep_difficult", keep_difficult, ("voc",)),
        ("masks", masks, ("coco", "yolo")),
        ("keypoints", keypoints, ("coco",)),
    ):
        if given and kind not in kinds:
            raise ArgumentError(f"{name} must be False for {_TITLES[kind]}, got {given!r}: leave it out")
    if kind == "voc":
        voc = VocDataset(
            source, split, images=images, annotations=annotations, classes=classes, keep_difficult=keep_difficult,
            on_invalid=on_invalid,
        )  # fmt: skip
        voc.splits = splits or voc.splits
        return voc
    if kind == "yolo":
        yolo = YoloDataset(
            source, split, images=images, annotations=annotations, classes=classes, masks=masks, on_invalid=on_invalid
        )
        yolo.splits = splits or yolo.splits
        return yolo
    file, of_files = _coco_file(source, split, annotations, tree)
    folder = None if images is None else named_folder(images, file.parent if source.is_file() else source, "images")
    coco = CocoDataset(file, folder, classes=classes, masks=masks, keypoints=keypoints, on_invalid=on_invalid)
    coco.splits = splits or of_files
    return coco


def sample_dataset() -> VocDataset:
    """Open fourteen blood-smear photographs with their boxes, embedded in the package.

    640×480 pixels, RGB, 3 to 30 boxes an image, classes `Platelets`, `RBC` and `WBC`. Enough to see MixUp at work
    without a download; too few to train on.

    Source: BCCD, https://github.com/Shenggan/BCCD_Dataset at commit d272fb1, MIT, © 2017 shenggan.

    Examples:
        >>> from alb_mixup import sample_dataset
        >>> sample_dataset()[0]["image"].shape
        (480, 640, 3)
    """
    dataset = VocDataset(Path(__file__).parent / "sample", on_invalid="raise")
    dataset._spec = {"dataset": "sample"}  # no folder: the package lies elsewhere on the next machine
    return dataset


def _resolve(
    source: Path, split: str | None, layout: Layout | None, tree: Tree, *, is_named: bool
) -> tuple[Path, Layout, tuple[str, ...]]:
    """The file or folder to open, its layout, and the splits where it is the folder of one of them.

    Where images or annotations are named, and the layout, the folder is taken as it is given.
    """
    if not os.path.isdir(source):
        return source, layout or _layout_of_file(source), ()
    names_in(source, "path")  # or an error that says why not
    found = _layouts(source, tree)
    if layout is not None and (layout in found or is_named):
        return source, layout, ()
    if layout is None and found:
        return source, _only(found, source), ()
    below = _datasets_below(source, tree, layout)
    if below and all(is_split(name) for name in below):
        chosen = chosen_split(split, tuple(below), source) or ""
        return source / chosen, _only(below[chosen], source / chosen), tuple(below)
    if len(below) == 1:
        [(name, kinds)] = below.items()
        return source / name, _only(kinds, source / name), ()
    if layout is not None and not below:
        return source, layout, ()  # whose reader says what is missing
    raise _unknown(source, below)


def _only(found: Sequence[Layout], source: Path) -> Layout:
    """The layout of a folder that looks like one of them alone."""
    if len(found) == 1:
        return found[0]
    raise DatasetError(
        f"path must be a dataset of one layout, got {source.as_posix()}, which looks like more than one: "
        f"{', '.join(_TITLES[each] for each in found)}: choose with layout= one of {', '.join(found)}"
    )


def _layouts(source: Path, tree: Tree) -> list[Layout]:
    """Each layout that a folder looks like."""
    looks: dict[Layout, bool] = {
        "voc": looks_like_voc(source, tree),
        "yolo": looks_like_yolo(source, tree),
        "coco": bool(coco_files(source, tree)),
    }
    return [layout for layout, does in looks.items() if does]


def _layout_of_file(source: Path) -> Layout:
    """The layout of an index file, by what it says."""
    try:
        with open_regular(source) as file:
            begin = file.read(4096)
    except OSError as error:
        raise DatasetError(
            f"path must be a dataset's file that can be read, got {source.as_posix()}: {error.strerror}"
        ) from error
    text = begin.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    if text.startswith((b"{", b"[")) or source.suffix.lower() == ".json":
        return "coco"
    if text.startswith(b"<"):
        raise DatasetError(
            f"path must be a COCO JSON file, a data.yaml or a folder, got {source.as_posix()}, which is XML: give the "
            "folder of the dataset"
        )
    return "yolo"


def _datasets_below(source: Path, tree: Tree, layout: Layout | None) -> dict[str, list[Layout]]:
    """The datasets in a folder's folders, or else in theirs, by their paths: the layouts that each looks like.

    Of those that look like `layout`, that alone; None: of all.
    """
    names = tree.folders(source)[:_MOST_FOLDERS]
    for paths in (
        names,
        [f"{name}/{inner}" for name in names for inner in tree.folders(source / name)],
    ):
        found = {path: _layouts(source / path, tree) for path in paths[:_MOST_FOLDERS]}
        if layout is not None:
            found = {path: [layout] for path, layouts in found.items() if layout in layouts}
        found = {path: layouts for path, layouts in found.items() if layouts}
        if found:
            return found
    return {}


def _unknown(source: Path, below: dict[str, list[Layout]]) -> DatasetError:
    if below:
        kinds = {name: ", ".join(_TITLES[kind] for kind in found) for name, found in below.items()}
        named = ", ".join(f"{name} ({kind})" for name, kind in list(kinds.items())[:_NAMED])
        more = f" and {len(below) - _NAMED} more" if len(below) > _NAMED else ""
        return DatasetError(
            f"path must be one dataset, got {source.as_posix()}, which holds {named}{more}: give one of these folders"
        )
    names = names_in(source, "path")
    json = list(files_with(names, (".json",)))[:_NAMED]
    seen = f" (no COCO lists in {', '.join(json)})" if json else ""
    return DatasetError(
        "path must be a dataset in COCO (JSON file), YOLO (data.yaml) or Pascal VOC (Annotations/) layout, got "
        f"{source.as_posix()}, which is none of them{seen}: give its folder or file, and the layout with layout= where "
        "it is not recognised"
    )


def _coco_file(
    source: Path, split: str | None, annotations: str | os.PathLike[str] | None, tree: Tree
) -> tuple[Path, tuple[str, ...]]:
    """The annotation file of a split, and the splits that there are."""
    if annotations is not None:
        below = source / annotations
        source = below if os.path.isfile(below) else absolute_path(annotations, "annotations", "a COCO JSON file")
    if not os.path.isdir(source):
        names = split_names(PurePosixPath(source.parent.name, source.name)) or ("train",)
        if split is not None and split not in names:
            chosen_split(split, names, source)
        return source, names[-1:]
    files = coco_files(source, tree)
    if not files:
        raise DatasetError(
            f"annotations must be a COCO JSON file, got none in {source.as_posix()}: name it with annotations="
        )
    if len(files) == 1 and not next(iter(files.values())):
        files = dict.fromkeys(files, ("train",))
    groups: dict[tuple[str, ...], list[str]] = {}
    for file, of_file in files.items():
        groups.setdefault(of_file or (PurePosixPath(file).stem,), []).append(file)
    short = [names[-1] for names in groups]
    splits = tuple(names[-1] if short.count(names[-1]) == 1 else names[0] for names in groups)
    of_split = {name: group for group, shorter in zip(groups, splits, strict=True) for name in (group[0], shorter)}
    chosen = split if split in of_split else chosen_split(split, splits, source)
    # instances_ and person_keypoints_ come together: the boxes of all classes are in the first
    found = groups[of_split[splits[0] if chosen is None else chosen]]
    found = [file for file in found if PurePosixPath(file).name.startswith("instances")] or found
    if len(found) > 1:
        raise DatasetError(
            f"annotations must be one COCO JSON file of a split, got {', '.join(found)} in {source.as_posix()}: name "
            "one with annotations="
        )
    return source / found[0], splits
