"""One COCO instances file: from JSON to columns."""

import contextlib
import gc
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alb_mixup._support.regular import read_regular
from alb_mixup.datasets.annotations.keypoints import skeleton_from_coco
from alb_mixup.datasets.annotations.packed import LARGEST_SIDE
from alb_mixup.datasets.annotations.validate import InvalidLog
from alb_mixup.datasets.formats.coco_folder import COCO_KEYS
from alb_mixup.errors import DatasetError

_REAL = (int, float, np.integer, np.floating)
_BAD_VALUE = (KeyError, TypeError, ValueError, OverflowError, AttributeError)


class Category(NamedTuple):
    """A category.

    Attributes:
        name: Its name.
        keypoints: The names of its keypoints.
        skeleton: Pairs of them that belong together, numbered from 1; empty where the file says none that can be read.
        other: The name of another category with the same id, so that its boxes are of neither; None: there is none.
    """

    name: str
    keypoints: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...] = ()
    other: str | None = None


class Columns(NamedTuple):
    """Annotations as columns, m rows.

    Attributes:
        image_ids: As the file has them.
        category_ids: As the file has them.
        boxes: (m, 4) float64: x, y, width, height as written.
        crowd: (m,) bool.
        weights: (m,) float64.
        files: Names of the images beside their ids, where some have such, or None.
    """

    image_ids: list[Any]
    category_ids: list[Any]
    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    weights: NDArray[np.float64]
    files: list[Any] | None = None


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
    """Return the file's images, annotations and categories, each a list of dicts; those of them that `keys` names.

    Raises:
        DatasetError: It cannot be read, or is not a COCO instances file.
    """
    data = _load(path, "annotations")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in keys):
        raise DatasetError(
            f"annotations must be a COCO instances file, an object with the lists {', '.join(keys)}, got "
            f"{path.as_posix()}, which lacks some of them: pass the file of the ground truth, not one of results"
        )
    return {key: data[key] for key in keys}


def load_results(path: Path) -> list[Any]:
    """Return the entries of a file of COCO detection results.

    Raises:
        DatasetError: It cannot be read, or is not a list.
    """
    data = _load(path, "predictions")
    if not isinstance(data, list):
        raise DatasetError(f"predictions must be a list of COCO results, got {path.as_posix()}, which is not a list")
    return data


def _load(path: Path, argument: str) -> Any:
    try:
        return json.loads(read_regular(path))  # from bytes, so that a byte order mark and UTF-16 are understood
    except OSError as error:
        raise DatasetError(
            f"{argument} must be a COCO JSON file, got {path.as_posix()}, which cannot be read: {error.strerror}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{argument} must be a COCO JSON file, got {path.as_posix()}, which is not JSON: {error}"
        ) from error


def read_categories(entries: Sequence[Any], path: Path, log: InvalidLog) -> dict[Any, Category]:
    """Return category id to category, in ascending order of the ids; two names of one id are logged.

    Raises:
        DatasetError: An entry has no id or name.
    """
    found: dict[Any, Category] = {}
    for number, entry in enumerate(entries):
        category = _category(entry, path)
        before = found.setdefault(entry["id"], category)
        if before.name != category.name:
            reason = f"categories[{number}], {category.name!r}: its id is that of {before.name!r} before it"
            log.add(path.name, None, reason)
            found[entry["id"]] = before._replace(other=category.name)
    try:
        return dict(sorted(found.items(), key=lambda item: (isinstance(item[0], str), item[0])))
    except TypeError as error:
        raise DatasetError(
            f"each id of categories must be a number or text, got {list(found)!r:.100} in {path.as_posix()}: correct "
            "the file"
        ) from error


def _category(entry: Any, path: Path) -> Category:
    try:
        hash(entry["id"])
        name, keypoints = entry["name"], entry.get("keypoints") or ()
        name.encode()  # not text where it is half of a surrogate pair
        if name.strip() and not isinstance(keypoints, str):
            return Category(name.strip(), tuple(map(str, keypoints)), skeleton_from_coco(entry.get("skeleton")))
    except _BAD_VALUE:
        pass
    raise DatasetError(
        f"each of categories must have an id and a name in letters, got {entry!r:.200} in {path.as_posix()}: correct "
        "the file"
    )


def columns_of(annotations: Sequence[Any]) -> Columns:
    """Turn annotations into columns.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, AttributeError: At least one is malformed.
    """
    count = len(annotations)
    boxes = [annotation["bbox"] for annotation in annotations]
    sized = {kind for kind in set(map(type, boxes)) if not issubclass(kind, list | tuple | np.ndarray)}
    if sized or set(map(len, boxes)) - {4}:
        raise ValueError(f"bbox must be a list of 4 numbers, got {_first(boxes, sized)!r:.80}")
    numbers = list(chain.from_iterable(boxes))
    _check_numbers("bbox", numbers)
    image_ids = [annotation["image_id"] for annotation in annotations]
    category_ids = [annotation["category_id"] for annotation in annotations]
    for name, ids in (("image_id", image_ids), ("category_id", category_ids)):
        odd = {kind for kind in set(map(type, ids)) if issubclass(kind, bool | list | dict)}
        if odd:
            raise ValueError(f"{name} must be a number or text, got {_first(ids, odd)!r:.80}")
    crowd = [annotation.get("iscrowd", 0) for annotation in annotations]
    is_plain = set(map(type, crowd)) == {int} and set(crowd) <= {0, 1}  # as it nearly always is, and fast to see
    odd_flags = [] if is_plain else [flag for flag in crowd if flag not in _FLAGS]
    if odd_flags:
        raise ValueError(f"iscrowd must be 0 or 1, got {odd_flags[0]!r:.80}")
    is_weighted = any("mixup_weight" in annotation for annotation in annotations)
    weights = [annotation.get("mixup_weight", 1.0) for annotation in annotations] if is_weighted else []
    _check_numbers("mixup_weight", weights)
    return Columns(
        image_ids=image_ids,
        category_ids=category_ids,
        boxes=np.fromiter(numbers, np.float64, 4 * count).reshape(-1, 4),
        crowd=np.fromiter(crowd, np.bool_, count),
        weights=np.fromiter(weights, np.float64, count) if is_weighted else np.ones(count),
    )


_FLAGS = (0, 1, None)  # and so False and True


def _first(values: Sequence[Any], kinds: Collection[type]) -> Any:
    return next((value for value in values if not kinds or type(value) in kinds), None)


def _check_numbers(name: str, values: Sequence[Any]) -> None:
    """Refuse what numpy would turn into numbers, though it is none: text, truth values."""
    odd = {kind for kind in set(map(type, values)) if not issubclass(kind, _REAL) or issubclass(kind, bool)}
    if odd:
        raise ValueError(f"{name} must be made of numbers, got {_first(values, odd)!r:.80}")


def columns_of_results(results: Sequence[Any]) -> Columns:
    """Turn detection results into columns: their scores are the weights.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, AttributeError: At least one is malformed.
    """
    scores = [result["score"] for result in results]
    _check_numbers("score", scores)
    weights = np.fromiter(scores, np.float64, len(results))
    bad = weights[~((weights >= 0) & (weights <= 1))]
    if len(bad):
        raise ValueError(f"score must be in [0, 1], got {bad[0]:g}")
    plain = [{key: result[key] for key in ("image_id", "category_id", "bbox")} for result in results]
    # Ultralytics' image_id is the stem of the file that it names beside
    files = [result.get("file_name") for result in results]
    return columns_of(plain)._replace(weights=weights, files=files if any(files) else None)


def sound_columns(
    annotations: Sequence[Any], file: str, log: InvalidLog, read: Callable[[Sequence[Any]], Columns]
) -> tuple[Columns, NDArray[np.int64]]:
    """Return the columns of all annotations that have the right form, and their positions; the others are logged.

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
        if not isinstance(annotation, Mapping):
            raise ValueError(f"it must be an object, got {annotation!r:.80}")
        read([annotation])
    except KeyError as error:
        log.add(file, number, f"it has no {error}")
    except OverflowError as error:
        log.add(file, number, f"a number in it is too large: {error}")
    except _BAD_VALUE as error:
        log.add(file, number, str(error))
    else:
        return True
    return False


class Elsewhere(ValueError):  # noqa: N818  (a reason, which a message goes on to name)
    """An image's name is not a path below the images' folder, but may have been one on another machine.

    Attributes:
        tails: What is left of it without its first folders, the longest first.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        parts = PurePosixPath(_path_of(name)).parts
        last_up = max((number for number, part in enumerate(parts) if part in {"..", "/"} or ":" in part), default=-1)
        self.tails = ["/".join(parts[number:]) for number in range(last_up + 1, len(parts))]


def _path_of(name: str) -> str:
    return name.partition("?")[0] if "://" in name else name.replace("\\", "/")


def image_name(entry: Any) -> str:
    """Return the name of an image as a path below the images' folder; LVIS says it by its URL alone.

    Raises:
        KeyError: It has none.
        Elsewhere: It leads out of the folder.
        ValueError: It is not such a path; the message is the reason.
    """
    url = entry.get("coco_url") if "file_name" not in entry else None
    if not isinstance(url, str):
        return image_file(entry["file_name"])
    return image_file("/".join(PurePosixPath(url.partition("?")[0]).parts[-2:]))


def image_file(name: Any) -> str:
    """Return an image's `file_name` as a path below the images' folder.

    Raises:
        Elsewhere: It leads out of the folder.
        ValueError: It is not such a path; the message is the reason.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise ValueError(f"file_name must be the name of an image, got {name!r}")
    if ".." in name or ":" in name or "\\" in name or "//" in name or name.startswith("/"):
        path = PurePosixPath(_path_of(name))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise Elsewhere(name, f"file_name {name!r} leads out of the images' folder: that is refused")
        name = path.as_posix()
    name.encode("utf-8", "surrogateescape")  # UnicodeEncodeError is a ValueError
    return str(name)


def stated_size(entry: dict[str, Any]) -> tuple[int, int] | None:
    """Return height and width of an image, None where the file says nothing or 0.

    Raises:
        ValueError: It says something that is not a size.
    """
    height, width = entry.get("height"), entry.get("width")
    if not height or not width:
        return None
    try:
        size = int(height), int(width)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"height {height!r} and width {width!r} are not a size: {error}") from error
    if not (0 < size[0] <= LARGEST_SIDE and 0 < size[1] <= LARGEST_SIDE):
        raise ValueError(f"height {height!r} and width {width!r} are not the size of an image")
    return size
