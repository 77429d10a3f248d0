"""A survey of a dataset, as text for people and as JSON types for programs."""

import math
import shutil
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from alb_mixup._support.text import counted, printable
from alb_mixup.datasets import DetectionDataset
from alb_mixup.view.survey import DrawShares, Survey
from alb_mixup.view.survey import survey as look_at

# Sides of a square of the box's area, in pixels; 32 and 96 part COCO's small, medium and large.
_SIDES = (0, 8, 16, 32, 64, 96, 192, 384, np.inf)
_BAR = 40
_IMAGE_SIZES = 5
_NAMED = 10  # images without a label file, label files without an image


def report(found: DetectionDataset | Survey) -> str:
    """Write what a dataset holds: counts of images, boxes, classes and sizes, then everything invalid, by name.

    Args:
        found: A dataset, or what `survey` found of it.

    Returns:
        Lines of text. Names from files are made printable; a line that names a fault is never cut.

    Raises:
        OSError: The dataset's folder cannot be read.

    Examples:
        >>> from alb_mixup import report, sample_dataset
        >>> report(sample_dataset()).splitlines()[0]
        'VocDataset: 14 images (0 without boxes), 215 boxes, 3 classes'
    """
    survey = look_at(found) if isinstance(found, DetectionDataset) else found
    dataset, unreadable, sizes = survey.dataset, survey.unreadable, survey.image_sizes.most_common()
    boxes = counted(survey.classes.total(), "box", "boxes")
    classes = counted(len(dataset.classes), "class", "classes")
    lines = [
        f"{type(dataset).__name__}: {counted(len(dataset), 'image')} ({survey.images_without_boxes:,} without boxes), "
        f"{boxes}, {classes}",
        *_splits(survey),
        *_table("boxes of each class", [(printable(name), n) for name, n in survey.classes.most_common() if n]),
        *_unused([name for name, n in survey.classes.items() if not n]),
        *_weights(survey),
        *_table("boxes by side, px (square root of the area)", list(_histogram(survey).items())),
        *_table("image sizes, width × height", [(size.replace("x", " × "), n) for size, n in sizes[:_IMAGE_SIZES]]),
    ]
    if len(sizes) > _IMAGE_SIZES:
        lines.append(f"  and {len(sizes) - _IMAGE_SIZES:,} more sizes")
    lines += ["", *_left_out(survey), *_labels(survey)]
    lines += [f"hardly meant: {printable(remark)}" for remark in survey.remarks]
    how = "decoded" if survey.pixels_decoded else "header and end of file looked at; --pixels decodes them"
    lines += [f"unreadable images: {len(unreadable):,} of {len(dataset):,} ({how})"]
    lines += [f"  {printable(image.file)} {printable(image.reason)}" for image in unreadable]
    lines += [f"invalid annotations: {len(dataset.invalid):,}"]
    lines += [f"  {printable(str(record))}" for record in dataset.invalid]
    return "\n".join(lines)


def as_json(survey: Survey) -> dict[str, Any]:
    """Write what was found in JSON types, under keys that stay: `alb-mixup check --help` explains them."""
    dataset, weights = survey.dataset, survey.weights
    return {
        "path": dataset.root.as_posix(),
        "layout": type(dataset).__name__.removesuffix("Dataset").lower(),
        "split": dataset.split,
        "splits": list(dataset.splits),
        "clean": survey.is_clean,
        "images": len(dataset),
        "boxes": survey.classes.total(),
        "images_without_boxes": survey.images_without_boxes,
        "images_without_label_file": list(dataset.unlabelled),
        "label_files_without_image": list(dataset.orphans),
        "left_out": dict(dataset.left_out),
        "classes": dict(survey.classes),
        "weights": {"lowest": float(weights.min()), "highest": float(weights.max())} if len(weights) else None,
        "box_sides": _histogram(survey),
        "image_sizes": dict(survey.image_sizes),
        "pixels_decoded": survey.pixels_decoded,
        "invalid": [
            {"file": record.file, "object": record.object_index, "reason": record.reason} for record in dataset.invalid
        ],
        "unreadable": [image._asdict() for image in survey.unreadable],
        "remarks": list(survey.remarks),
    }


def partners_report(drawn: DrawShares) -> str:
    """Write what a law of partner weights does: the classes that some image holds, the most common first."""
    held = sorted(
        ((shares, printable(str(name))) for name, shares in drawn.classes.items() if any(shares)), reverse=True
    )
    rows = [*((name, shares) for shares, name in held), ("(no boxes)", drawn.without_boxes)]
    width = max(len(name) for name, _ in rows)
    lines = (f"  {name:<{width}} {shares.before:>8.2%} {shares.after:>8.2%}" for name, shares in rows)
    return "\n".join(["partners: share of draws that bring each class, all images alike, and by the law", *lines])


def partners_as_json(drawn: DrawShares) -> dict[str, Any]:
    """Write the same in JSON types."""
    return {
        "classes": {name: shares._asdict() for name, shares in drawn.classes.items()},
        "without_boxes": drawn.without_boxes._asdict(),
    }


def _splits(survey: Survey) -> list[str]:
    names = survey.dataset.splits
    if not names:
        return []
    if len(names) == 1 and names[0] == survey.dataset.split:
        return [f"split: {printable(names[0])}, the only one"]
    split = survey.dataset.split
    which = "--split chooses" if split is None else f"this is {printable(split)}"
    return [f"splits: {', '.join(map(printable, names))} ({which})"]


def _weights(survey: Survey) -> list[str]:
    if (survey.weights == 1).all():
        return []
    return ["", f"weights: {survey.weights.min():.4g} to {survey.weights.max():.4g}"]


def _left_out(survey: Survey) -> list[str]:
    kinds = [f"{count:,} {printable(kind)}" for kind, count in survey.dataset.left_out.items() if count]
    return [f"left out: {', '.join(kinds)}"] if kinds else []


def _labels(survey: Survey) -> list[str]:
    unlabelled, orphans = survey.dataset.unlabelled, survey.dataset.orphans
    lines = _named("images without a label file, taken for background", unlabelled)
    if survey.lacks_all_labels:
        lines = [
            f"no image has a label file ({counted(len(unlabelled), 'image')}): labels lie elsewhere, or have other "
            "names than their images"
        ]
    return lines + _named("label files without an image", orphans)


def _named(what: str, files: Sequence[str]) -> list[str]:
    if not files:
        return []
    more = [f"  and {len(files) - _NAMED:,} more (--json names all)"] if len(files) > _NAMED else []
    return [f"{what}: {len(files):,}", *(f"  {printable(file)}" for file in files[:_NAMED]), *more]


def _histogram(survey: Survey) -> dict[str, int]:
    counts, _ = np.histogram(survey.sides, _SIDES)
    names = [f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}" for low, high in pairwise(_SIDES)]
    return dict(zip(names, counts.tolist(), strict=True))


def _unused(names: Iterable[str]) -> list[str]:
    text = ", ".join(map(printable, names))
    return [f"  without boxes: {text}"] if text else []


def _table(title: str, rows: Sequence[tuple[str, int]]) -> list[str]:
    """Lines of name, number and a bar, which goes as far as the terminal does."""
    width, most = max((len(name) for name, _ in rows), default=0), max([1, *(count for _, count in rows)])
    room = min(_BAR, max(0, shutil.get_terminal_size().columns - width - 14))
    lines = [f"  {name:<{width}} {count:>9,} {'█' * math.ceil(room * count / most)}".rstrip() for name, count in rows]
    return ["", title, *lines]
