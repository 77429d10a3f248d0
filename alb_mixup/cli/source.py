"""SRC, opened as the options say."""

import argparse
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from alb_mixup._support.text import counted
from alb_mixup.cli.terminal import complain
from alb_mixup.cli.words import in_shell_words
from alb_mixup.datasets import DetectionDataset, open_dataset
from alb_mixup.errors import ArgumentError, InvalidAnnotationWarning


def open_source(arguments: argparse.Namespace) -> DetectionDataset:
    """Open SRC; what is invalid in it is for the command to tell of.

    Raises:
        ArgumentError: An option breaks its constraint.
        DatasetError: SRC cannot be opened.
        AnnotationError: An annotation is invalid, and is to raise.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvalidAnnotationWarning)
        return open_dataset(
            arguments.src,
            arguments.split,
            layout=arguments.layout,
            images=arguments.images,
            annotations=arguments.annotations,
            classes=_classes(arguments.classes),
            on_invalid=arguments.on_invalid,
            keep_difficult=arguments.keep_difficult,
            masks=getattr(arguments, "masks", False),
            keypoints=getattr(arguments, "keypoints", False),
        )


def tell_of_invalid(dataset: DetectionDataset, arguments: argparse.Namespace) -> None:
    """Say in one line that invalid annotations are left out, and how to see them; and each remark in one."""
    if arguments.quiet:
        return
    for remark in dataset.remarks:
        complain(f"alb-mixup: warning: {in_shell_words(remark)}")
    if dataset.invalid:
        done = "clipped or left out" if arguments.on_invalid == "clip" else "left out"
        complain(
            f"alb-mixup: warning: {counted(len(dataset.invalid), 'invalid annotation')} {done}, such as "
            f"{dataset.invalid[0]} (`alb-mixup check` names all)"
        )


def _classes(given: str | None) -> list[str] | None:
    if given is None:
        return None
    names = list(_lines(given)) if os.path.isfile(given) else given.split(",")
    return [name.strip() for name in names if name.strip()]


def _lines(file: str) -> Iterator[str]:
    try:
        yield from Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(
            f"--classes must be a text file in UTF-8, got {file}, which cannot be read: {error}; give one name on each "
            "line"
        ) from error
