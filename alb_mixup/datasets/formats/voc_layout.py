"""The folders of a Pascal VOC dataset: where its annotations, its images and its splits are."""

import os
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from alb_mixup._support.regular import open_regular, read_text
from alb_mixup.datasets.formats.listing import (
    Tree,
    by_stem,
    chosen_split,
    files_with,
    is_split,
    named_folder,
    names_in,
)
from alb_mixup.datasets.images.decode import IMAGE_SUFFIXES
from alb_mixup.errors import DatasetError

_XML = (".xml",)
# The names in use, in lower case, the likeliest first; the empty one is the root itself.
_XML_FOLDERS = ("annotations", "annots", "annotation", "xmls", "xml", "labels", "")
_IMAGE_FOLDERS = ("jpegimages", "images", "imgs", "image", "img", "data", "pngimages")
_TRIED = 20  # XML files that are looked into
_LONGEST_LIST = 2**28


@dataclass(frozen=True)
class VocLayout:
    """Which files there are: each folder is listed once, and only names from the listings are ever opened.

    Attributes:
        root: The folder below which all is, absolute.
        xml_folder: Where the annotations are, below the root: empty, or with a slash at its end.
        image_folder: Where the images are, as well.
        xml: Stem to name of each annotation file.
        images: Stem to name of each image.
        lists: Split to its list, below the root.
        splits: The splits that there are.
        split: The split whose folder was chosen; None: a list has to be read, or all is asked for.
        beside: Folders in that of the annotations that hold annotations too, and are not read.
    """

    root: Path
    xml_folder: str
    image_folder: str
    xml: dict[str, str]
    images: dict[str, str]
    lists: dict[str, str]
    splits: tuple[str, ...] = ()
    split: str | None = None
    beside: tuple[str, ...] = ()

    def stems(self, split: str | None) -> list[str]:
        """Return the names of the images in a split, or of every annotation.

        Raises:
            DatasetError: There is no such split, or it cannot be read or lists nothing.
        """
        if split is None or split == self.split:
            return sorted(self.xml)
        if split not in self.lists:
            chosen_split(split, sorted(self.lists), self.root)
        path = self.root / self.lists[split]
        try:
            text = read_text(path, _LONGEST_LIST)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DatasetError(
                f"split must be a list that can be read, got {path.as_posix()}: {reason}; write one name a line, in "
                "UTF-8"
            ) from error
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        if not lines:
            raise DatasetError(f"split must list images, got {path.as_posix()}, which is empty: write one name a line")
        return [stem for stem in map(self._listed, lines) if stem is not None]

    def bare(self) -> list[str]:
        """Return the names of the images that have no annotation file, sorted."""
        return sorted(self.images.keys() - self.xml.keys())

    def _listed(self, line: str) -> str | None:
        # A name may itself end in " 1", so the whole line is looked up first.
        head, _, label = line.rpartition(" ")
        if line in self.xml or line in self.images or label not in {"1", "0", "-1"}:
            return self._stem(line)
        return None if label == "-1" else self._stem(head.rstrip())

    def _stem(self, name: str) -> str:
        """The name of an image that a list calls `a`, `a.jpg`, `JPEGImages/a.jpg`, or this and `Annotations/a.xml`.

        Nothing but the last folder's name is looked at: the folder itself is always this dataset's.
        """
        for text in (name, *name.split(maxsplit=1)[:1]):
            path = PurePosixPath(text.replace("\\", "/"))
            suffix = path.suffix.lower()
            is_file = suffix in (*_XML, *IMAGE_SUFFIXES)
            stem, whole = (path.stem, path.with_suffix("").as_posix()) if is_file else (path.name, path.as_posix())
            is_here = f"{path.parent.name}/".lower() in {"/", self.xml_folder.lower(), self.image_folder.lower()}
            for found in (text, whole, stem if is_here and ".." not in path.parts else text):
                if found in self.xml or found in self.images:
                    return found
        return name


def read_layout(
    root: Path,
    split: str | None,
    images: str | os.PathLike[str] | None = None,
    annotations: str | os.PathLike[str] | None = None,
) -> VocLayout:
    """Find the folders of a dataset.

    Args:
        root: The folder.
        split: The split that is asked for.
        images: The images' folder, below the root or a path of its own; None: it is looked for.
        annotations: The annotations' folder, as well.

    Raises:
        DatasetError: A folder is missing, or there is no such split.
    """
    names_in(root, "root")  # or an error that says why not
    tree = Tree()
    if images is None and annotations is None:
        found = _find(root, tree)
        if found is None:
            found = _of_split(root, tree, split)
        if found is None:
            raise DatasetError(
                f"root must hold XML files, in Annotations/ or beside the images, got {root.as_posix()} without any: "
                "give the folder that holds them, such as VOCdevkit/VOC2012, or name it with annotations="
            )
        return found
    xml_folder = None if annotations is None else named_folder(annotations, root, "annotations")
    image_folder = None if images is None else named_folder(images, root, "images")
    return _of_folders(root, tree, xml_folder, image_folder)


def looks_like_voc(root: Path, tree: Tree) -> bool:
    """Tell whether a folder holds, in one of the usual places, XML files that are Pascal VOC annotations."""
    folder = _xml_folder(root, tree)
    if folder is None:
        return any(looks_like_voc(root / name, tree) for name in _split_folders(root, tree))
    return folder.lower() == "annotations" or _holds_annotations(root, folder, tree)


def _split_folders(root: Path, tree: Tree) -> list[str]:
    return [name for name in tree.folders(root) if is_split(name)]


def _is_annotation(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            begin = file.read(4096)
    except OSError:
        return False
    return b"<annotation>" in begin or b"<annotation " in begin


def _holds_annotations(root: Path, folder: str, tree: Tree) -> bool:
    files = islice(files_with(_files(root, tree, root / folder), _XML), _TRIED)
    return any(_is_annotation(root / folder / name) for name in files)


def _xml_folder(root: Path, tree: Tree) -> str | None:
    """The folder that holds the XML files, below the root, by its name first and by what is in it last.

    A folder of any other name must be the only one that holds some: two of them are two datasets.
    """
    folders = tree.folders(root)
    by_name = {name.lower(): name for name in folders}
    known = [by_name.get(name, name) for name in _XML_FOLDERS if name in by_name or not name]
    for folder in known:
        inner = tree.folders(root / folder) if folder else []
        if any(tree.has(root / folder / name, _XML) for name in ("", *inner)):
            return folder
    others = [name for name in folders if name not in known and not is_split(name) and tree.has(root / name, _XML)]
    if len(others) > 1:
        others = [name for name in others if _holds_annotations(root, name, tree)]
    return others[0] if len(others) == 1 else None


def _files(root: Path, tree: Tree, folder: Path) -> list[str]:
    """The files of a folder, and below it where it is not the root: beside the root's own may be other datasets."""
    return tree.names(folder) if folder == root else tree.walk(folder)


def _images_in(root: Path, tree: Tree, folder: Path, xml: dict[str, str]) -> dict[str, str]:
    """The images of a folder, by the names of their annotations."""
    return _paired(xml, by_stem(_files(root, tree, folder), IMAGE_SUFFIXES))


def _paired(xml: dict[str, str], images: dict[str, str]) -> dict[str, str]:
    """Map the names of the annotations to their images: of one path below the two folders, or else of one file name.

    A file name pairs only where a single annotation and a single image have it. Images without an annotation keep the
    names that they have.
    """
    missing = [stem for stem in xml if stem not in images]
    if not missing or not any("/" in stem for stem in (*missing, *images)):
        return images
    named: dict[str, tuple[list[str], list[str]]] = {}
    for number, stems in enumerate((xml, images)):
        for stem in stems:
            named.setdefault(stem.rpartition("/")[2], ([], []))[number].append(stem)
    pairs = {ours[0]: theirs[0] for theirs, ours in named.values() if len(theirs) == len(ours) == 1}
    return {pairs.get(stem, stem): name for stem, name in images.items()}


def _find(root: Path, tree: Tree) -> VocLayout | None:
    folder = _xml_folder(root, tree)
    return None if folder is None else _of_folders(root, tree, root / folder, None)


def _of_split(root: Path, tree: Tree, split: str | None) -> VocLayout | None:
    """The layout of one of the folders `train`, `valid`, ... that are each a dataset, as Roboflow writes them."""
    splits = tuple(name for name in _split_folders(root, tree) if _xml_folder(root / name, tree) is not None)
    if not splits:
        return None
    chosen = chosen_split(split, splits, root) or splits[0]
    folder = root / chosen
    found = _of_folders(folder, tree, folder / (_xml_folder(folder, tree) or ""), None)
    return replace(
        found,
        root=root,
        xml_folder=f"{chosen}/{found.xml_folder}",
        image_folder=f"{chosen}/{found.image_folder}",
        lists={},
        splits=splits,
        split=chosen,
    )


def _of_folders(root: Path, tree: Tree, xml_folder: Path | None, image_folder: Path | None) -> VocLayout:
    if xml_folder is None:
        below = _xml_folder(root, tree)
        xml_folder = (image_folder or root) if below is None else root / below
    names_in(xml_folder, "annotations")  # or an error that says why not
    xml = by_stem(_files(root, tree, xml_folder), _XML)
    if not xml:
        raise DatasetError(
            f"annotations must be a folder of XML files, got {xml_folder.as_posix()} without any: name the folder that "
            "holds them with annotations="
        )
    if image_folder is None:
        image_folder, images = _images_for(root, tree, xml_folder, xml)
    else:
        names_in(image_folder, "images")
        images = _images_in(root, tree, image_folder, xml)
    try:
        top = Path(os.path.commonpath([root, xml_folder, image_folder]))
    except ValueError as error:  # of two drives
        raise DatasetError(
            f"images must lie on the drive of the annotations, got {image_folder.as_posix()}: move one of them"
        ) from error
    lists = {split: Path(os.path.relpath(root / file, top)).as_posix() for split, file in _lists(root, tree).items()}
    return VocLayout(
        top, _below(xml_folder, top), _below(image_folder, top), xml, images, lists,
        tuple(name for name in lists if name.lower() in {"train", "val", "test"}) + tuple(
            name for name in lists if "_" not in name and name.lower() not in {"train", "val", "test"}
        ),
        beside=tuple((root / name).as_posix() for name in tree.folders(root) if tree.has(root / name, _XML))
        if xml_folder == root
        else (),
    )  # fmt: skip


def _below(folder: Path, top: Path) -> str:
    return "" if folder == top else f"{folder.relative_to(top).as_posix()}/"


def _images_for(root: Path, tree: Tree, xml_folder: Path, xml: dict[str, str]) -> tuple[Path, dict[str, str]]:
    """The folder of the images that the annotations are named after, and its images."""
    folders = tree.folders(root)
    by_name = {name.lower(): name for name in folders}
    likely = [root / by_name[name] for name in _IMAGE_FOLDERS if name in by_name]
    usual = dict.fromkeys((*likely, xml_folder, root))
    others = [root / name for name in folders if not is_split(name) and root / name not in usual]
    fallback = None
    for folder in usual:
        images = _images_in(root, tree, folder, xml)
        if not xml.keys().isdisjoint(images):
            return folder, images
        if images and fallback is None:
            fallback = folder, images
    # A folder of any other name must be the only one: there may be one of masks beside
    pairs = ((folder, _images_in(root, tree, folder, xml)) for folder in others)
    found = [(folder, images) for folder, images in pairs if not xml.keys().isdisjoint(images)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DatasetError(
            f"images must be one folder of the images that {xml_folder.as_posix()} annotates, got "
            f"{', '.join(folder.name for folder, _ in found)} in {root.as_posix()}: name one with images="
        )
    if fallback is None and likely:
        fallback = likely[0], {}
    if fallback is None:
        raise DatasetError(
            f"images must be the folder of the images that {xml_folder.as_posix()} annotates, got none in "
            f"{root.as_posix()}: put them into JPEGImages/, or name their folder with images="
        )
    return fallback


def _lists(root: Path, tree: Tree) -> dict[str, str]:
    """The lists of splits: those of ImageSets/Main/, of ImageSets/, or beside the images, by the split's name."""
    for folder in ("ImageSets/Main", "ImageSets", ""):
        listed = tree.names(root / folder)
        found = {os.path.splitext(name)[0]: f"{folder}/{name}".lstrip("/") for name in files_with(listed, (".txt",))}
        if not folder:
            found = {split: file for split, file in found.items() if is_split(split)}
        if found:
            return found
    return {}
