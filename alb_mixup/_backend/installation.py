"""Which Albumentations is installed: one of the two, not both."""

from collections.abc import Iterable, Sequence
from importlib import metadata

from alb_mixup.errors import InstallationError


def check_installation(installed: Iterable[str]) -> None:
    """Refuse two packages that both own `albumentations/`: each overwrote a part of the other's files.

    Args:
        installed: Names of installed distributions.

    Raises:
        InstallationError: Both are there.
    """
    if {"albumentations", "albumentationsx"} <= {name.lower() for name in installed}:
        raise InstallationError(
            "albumentations and albumentationsx are both installed and overwrite each other's files; keep one: "
            "`pip uninstall albumentations albumentationsx`, then install the one you want (AlbumentationsX users "
            "install alb-mixup with --no-deps)"
        )


def _installed(names: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


check_installation(_installed(["albumentations", "albumentationsx"]))

import albumentations as A  # noqa: E402  (both at once may fail to import, with an error that explains nothing)
from albumentations.core.transforms_interface import BasicTransform  # noqa: E402

Compose, from_dict = A.Compose, A.from_dict

IS_X = hasattr(BasicTransform, "sample_parameters")
"""Whether it is AlbumentationsX."""

VERSION = f"{'albumentationsx' if IS_X else 'albumentations'} {A.__version__}"
"""Which of the two is installed."""

BBOX_FORMATS = ("pascal_voc", "coco", "yolo", "albumentations", *(("cxcywh",) if IS_X else ()))
