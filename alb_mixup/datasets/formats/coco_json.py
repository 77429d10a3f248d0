"""One COCO instances file: from JSON to columns."""

import contextlib
import gc
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.packed import LARGEST_SIDE
from alb_mixup.datasets.annotations.validate import InvalidLog
from alb_mixup.errors import DatasetError

COCO_KEYS = ("images", "annotations", "categories")
_BAD_VALUE = (KeyError, TypeError, ValueError, OverflowError, AttributeError)


class Category(NamedTuple):
    """A category: `keypoints` are the names of its keypoints."""

    name: str
    keypoints: tuple[str, ...]


class Columns(NamedTuple):
    """Annotations as columns, m rows.

    Attributes:
        image_ids: as the file has them.
        category_ids: as the file has them.
        boxes: float64 (m, 4), x, y, width, height as written.
        crowd: bool (m,).
        weights: float64 (m,).
    """

    image_ids: list[Any]
    category_ids: list[Any]
    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    weights: NDArray[np.float64]


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector: walking millions of fresh objects in vain is a quarter of what JSON costs."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_coco(path: Path, keys: Sequence[str] = COCO_KEYS) -> dict[str, list[Any]]:
    """The file's images, annotations and categories, each a list of dicts; those of them that `keys` names.

    Raises:
        DatasetError: it cannot be read, or is no COCO instances file.
    """
    data = _load(path, "annotations")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in keys):
        raise DatasetError(
            f"annotations must be a COCO instances file, an object with the lists {', '.join(keys)}; "
            f"{path.as_posix()} is not. (A file of results has no images: pass the ground truth.)"
        )
    return {key: data[key] for key in keys}


def load_results(path: Path) -> list[Any]:
    """The entries of a file of COCO detection results.

    Raises:
        DatasetError: it cannot be read, or is no list.
    """
    data = _load(path, "predictions")
    if not isinstance(data, list):
        raise DatasetError(f"predictions must be a list of COCO results; {path.as_posix()} is none.")
    return data


def _load(path: Path, argument: str) -> Any:
    try:
        return json.loads(path.read_bytes())  # from bytes, so that a byte order mark and UTF-16 are understood
    except OSError as error:
        raise DatasetError(f"{argument} must be a COCO JSON file; {path.as_posix()}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{argument} must be a COCO JSON file; {path.as_posix()} is no JSON: {error}.") from error


def read_categories(entries: Sequence[Any], path: Path) -> dict[Any, Category]:
    """Category id to category, in ascending order of the ids.

    Raises:
        DatasetError: an entry has no id or name.
    """
    try:
        found = {
            entry["id"]: Category(entry["name"].strip(), tuple(map(str, entry.get("keypoints") or ())))
            for entry in sorted(entries, key=lambda entry: entry["id"])
        }
    except _BAD_VALUE as error:
        raise DatasetError(
            f"each of categories must have an id and a name; in {path.as_posix()} one has not: {error!r}."
        ) from error
    if not all(category.name for category in found.values()):
        raise DatasetError(f"each of categories must have a name; in {path.as_posix()} one is empty.")
    return found


def columns_of(annotations: Sequence[Any]) -> Columns:
    """Turn annotations into columns.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, AttributeError: at least one is malformed.
    """
    count = len(annotations)
    boxes = [annotation["bbox"] for annotation in annotations]
    if set(map(len, boxes)) - {4}:
        raise ValueError("a bbox must have 4 numbers")
    numbers = chain.from_iterable(boxes)
    image_ids = [annotation["image_id"] for annotation in annotations]
    category_ids = [annotation["category_id"] for annotation in annotations]
    hash((tuple(image_ids), tuple(category_ids)))  # TypeError where an id is a list or a dict
    return Columns(
        image_ids=image_ids,
        category_ids=category_ids,
        boxes=np.fromiter(numbers, np.float64, 4 * count).reshape(-1, 4),
        crowd=np.fromiter([annotation.get("iscrowd", 0) for annotation in annotations], np.bool_, count),
        weights=np.fromiter([annotation.get("mixup_weight", 1.0) for annotation in annotations], np.float64, count),
    )


def columns_of_results(results: Sequence[Any]) -> Columns:
    """Turn detection results into columns: their scores are the weights.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, AttributeError: at least one is malformed.
    """
    scores = np.fromiter([result["score"] for result in results], np.float64, len(results))
    bad = scores[~((scores >= 0) & (scores <= 1))]
    if len(bad):
        raise ValueError(f"score {bad[0]:g} is not in [0, 1]")
    plain = [{key: result[key] for key in ("image_id", "category_id", "bbox")} for result in results]
    return columns_of(plain)._replace(weights=scores)


def sound_columns(
    annotations: Sequence[Any], file: str, log: InvalidLog, read: Callable[[Sequence[Any]], Columns]
) -> tuple[Columns, NDArray[np.int64]]:
    """The columns of all annotations that have the right form, and their positions; the others are logged.

    A file in order is read as a whole, and looked at one by one only where that fails: half a second for a million.
    """
    try:
        return read(annotations), np.arange(len(annotations))
    except _BAD_VALUE:
        positions = [
            number for number, annotation in enumerate(annotations) if _is_sound(annotation, number, file, log, read)
        ]
        return read([annotations[number] for number in positions]), np.array(positions, np.int64)


def _is_sound(
    annotation: Any, number: int, file: str, log: InvalidLog, read: Callable[[Sequence[Any]], Columns]
) -> bool:
    try:
        read([annotation])
    except KeyError as error:
        log.add(file, number, f"it has no {error}")
    except _BAD_VALUE as error:
        what = (
            f"bbox {annotation['bbox']!r}"[:80] if isinstance(annotation, dict) and "bbox" in annotation else "object"
        )
        log.add(file, number, f"malformed {what}, or another value of it: {error}")
    else:
        return True
    return False


def image_file(name: Any) -> str:
    """An image's `file_name` as a path below the images' folder.

    Raises:
        ValueError: it is no such path; the message is the reason.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise ValueError(f"file_name must be the name of an image; got {name!r}")
    if ".." in name or ":" in name or "\\" in name or name.startswith("/"):
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise ValueError(f"file_name {name!r} leads out of the images' folder: that is refused")
        name = path.as_posix()
    name.encode("utf-8", "surrogateescape")  # UnicodeEncodeError is a ValueError
    return str(name)


def stated_size(entry: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width of an image, None where the file says nothing or 0.

    Raises:
        ValueError: it says something that is no size.
    """
    height, width = entry.get("height"), entry.get("width")
    if not height or not width:
        return None
    try:
        size = int(height), int(width)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"height {height!r} and width {width!r} are no size: {error}") from error
    if not (0 < size[0] <= LARGEST_SIDE and 0 < size[1] <= LARGEST_SIDE):
        raise ValueError(f"height {height!r} and width {width!r} are no size of an image")
    return size
