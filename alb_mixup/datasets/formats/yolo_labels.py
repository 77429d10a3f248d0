"""Where the label files of YOLO images are, and which of them belong to none."""

import os
from collections.abc import Sequence

from alb_mixup.datasets.formats.listing import Listing, Tree, files_with, is_split
from alb_mixup.datasets.images.decode import IMAGE_SUFFIXES

_TXT = (".txt",)
_NO_LABELS = frozenset({"classes.txt", "images.txt", "predefined_classes.txt", "README.roboflow.txt"})


def label_file(image: str) -> str:
    """Return the label file of an image, both below the root, by Ultralytics' rule.

    The last folder named `images` in the path becomes `labels`, and the suffix `.txt`; without such a folder, both lie
    side by side.
    """
    head, found, tail = f"/{image}".rpartition("/images/")
    path = f"{head}/labels/{tail}" if found else f"/{image}"
    return os.path.splitext(path[1:])[0] + ".txt"


def orphans(listing: Listing, images: Sequence[str], label_files: Sequence[str]) -> list[str]:
    """Return the label files, below the root, that lie beside those of the images and that no image belongs to."""
    known: dict[str, set[str]] = {}
    sources: dict[str, set[str]] = {}
    for image, file in zip(images, label_files, strict=True):
        where, _, name = file.rpartition("/")
        known.setdefault(where, set()).add(name)
        sources.setdefault(where, set()).add(image.rpartition("/")[0])
    found = []
    for where, names in sorted(known.items()):
        others = [name for name in files_with(sorted(listing.names(where) - names), _TXT) if name not in _NO_LABELS]
        stems = {
            os.path.splitext(name)[0]
            for source in (sources[where] if others else ())
            for name in files_with(listing.names(source), IMAGE_SUFFIXES)
        }
        for name in others:
            stem = os.path.splitext(name)[0]
            if stem not in stems and not is_split(stem):
                found.append(f"{where}/{name}".lstrip("/"))
    return found


def labels_elsewhere(listing: Listing, expected: str) -> str:
    """Return what to do where no label file was found, by where text files are."""
    tree = Tree()
    places = [listing.root, *(listing.root / name for name in tree.folders(listing.root))]
    places += [place / name for place in places[1:] for name in tree.folders(place)]
    for place in places:
        files = [name for name in files_with(tree.names(place), _TXT) if name not in _NO_LABELS and not is_split(name)]
        if files:
            return (
                f"the first was looked for as {expected}; {place.as_posix()} holds {files[0]}: name the labels' folder "
                "with annotations=, and end their names in .txt"
            )
    return f"the first was looked for as {expected}: name the labels' folder with annotations="
