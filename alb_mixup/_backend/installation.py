"""Which Albumentations is installed: one of the two, not both."""

import json
import re
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

from alb_mixup.errors import InstallationError

OLDEST_X = (2, 4, 4)


def check_installation(installed: Iterable[str]) -> None:
    """Refuse two packages that both own `albumentations/`: each overwrote a part of the other's files.

    Args:
        installed: Names of installed distributions.

    Raises:
        InstallationError: Both are there.
    """
    if {"albumentations", "albumentationsx"} <= {name.lower() for name in installed}:
        raise InstallationError(
            "the environment must have one of albumentations and albumentationsx, got both installed and each "
            "overwriting the other's files: keep one: `pip uninstall albumentations albumentationsx`, then install the "
            "one you want (AlbumentationsX users install alb-mixup with --no-deps)"
        )


def check_version(installed: str | None) -> None:
    """Refuse an AlbumentationsX that is too old: it fails later, with errors that explain nothing.

    Args:
        installed: Its version; None where it is not installed.

    Raises:
        InstallationError: It is older than `OLDEST_X`.
    """
    if installed is None:
        return
    parts = tuple(int(part) for part in re.findall(r"\d+", installed)[:3])
    if parts < OLDEST_X:
        raise InstallationError(
            f"albumentationsx must be at least {'.'.join(map(str, OLDEST_X))}, got {installed}: "
            '`pip install --upgrade "albumentationsx[headless]"`'
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


_found = _installed(["albumentations", "albumentationsx"])
check_installation(_found)
check_version(metadata.version("albumentationsx") if "albumentationsx" in _found else None)

import albumentations as A  # noqa: E402  (both at once may fail to import, with an error that explains nothing)
import numpy as np  # noqa: E402
from albumentations.augmentations.geometric.functional import keypoints_scale  # noqa: E402
from albumentations.core.composition import BaseCompose  # noqa: E402
from albumentations.core.serialization import serialize_enum  # noqa: E402
from albumentations.core.transforms_interface import BasicTransform  # noqa: E402

Compose, from_dict, to_dict = A.Compose, A.from_dict, A.to_dict

IS_X = hasattr(BasicTransform, "sample_parameters")
"""Whether it is AlbumentationsX."""

PIXEL_CENTRE = float(keypoints_scale(np.zeros((1, 5), np.float32), 2.0, 2.0)[0, 0])
"""Where in its pixel a keypoint at whole numbers lies, as the installed resizing has it: 0.5, its middle, or 0."""

VERSION = f"{'albumentationsx' if IS_X else 'albumentations'} {A.__version__}"
"""Which of the two is installed."""

BBOX_FORMATS = ("pascal_voc", "coco", "yolo", "albumentations", *(("cxcywh",) if IS_X else ()))


def saved(transform: Any) -> dict[str, Any]:
    """Return what `A.save` would write of a transform, in JSON types.

    Raises:
        TypeError, ValueError, NotImplementedError: It cannot be written, or not be read again.
    """
    _refuse_functions(transform)
    found: dict[str, Any] = json.loads(json.dumps(serialize_enum(to_dict(transform))))
    return found


def _refuse_functions(transform: Any) -> None:
    """Refuse what is written as a mere name, such as `A.Lambda`."""
    if not transform.is_serializable():
        raise TypeError(f"{type(transform).__name__} is not serializable")
    for child in transform.transforms if isinstance(transform, BaseCompose) else ():
        _refuse_functions(child)
