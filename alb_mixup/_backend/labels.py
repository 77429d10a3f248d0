"""Label fields: how a pipeline encodes the primary's, and a reference's encoded alike."""

from collections.abc import Mapping
from numbers import Real
from typing import Any, NoReturn

import numpy as np

from alb_mixup.errors import SampleError
from alb_mixup.functional import Array, extremes, scalar

_NUMBERS = frozenset({bool, int, float})
_EXACT = 2**24  # from here on, float32 has no longer every whole number
_NOTHING: Mapping[str, Any] = {}


def known_labels(processor: Any, name: str) -> Mapping[str, Any]:
    """Return what a pipeline knows of the label fields of a target; nothing where the primary has no rows.

    Not `metadata[name]`: it is a defaultdict, and X takes the entry that a look-up leaves for encoded rows.

    Args:
        processor: The pipeline's bbox or keypoints processor.
        name: Target that the labels belong to, such as "bboxes".
    """
    known: Mapping[str, Any] = processor.label_manager.metadata.get(name, _NOTHING)
    return known


def keep_strings_whole(known: Mapping[str, Any]) -> None:
    """Let arrays of strings be as wide as the primary's labels: 2.0.8 cuts them to the width of its first call's.

    Args:
        known: What `known_labels` returned.
    """
    for labels in known.values():
        _keep_whole(labels)


def _keep_whole(known: Any) -> None:
    if known.dtype is not None and known.dtype.kind in "US":
        known.dtype = np.result_type(known.dtype, np.asarray(list(known.encoder.classes_)).dtype)


def known_codes(known: Any, values: Any) -> Array | list[Any] | None:
    """Encode a reference's labels where nothing can be wrong with them, as is usual; others are for `encode_labels`.

    Args:
        known: What `known_labels` has of their field, or None.
        values: One label a row, (N,).

    Returns:
        One number a row where the primary's are numbers and these are too, of its dtype where it has one, and where
        these are a list of labels that were all seen before; else None.
    """
    if known is None:
        return None
    if known.encoder is None:
        return values if _are_plain(values, known.dtype) else None
    if known.encoder.is_numerical or known.dtype is not None or not isinstance(values, list):
        return None
    try:
        return np.fromiter(map(known.encoder.classes_.get, values), np.intp, len(values))
    except TypeError:  # a label that is new, or cannot be hashed
        return None


def check_exact(known: Any, rows: Array, place: int, values: Any, field: str) -> None:
    """Refuse a primary's whole numbers that float32, in which a pipeline holds them, has rounded.

    Args:
        known: What `known_labels` has of their field, or None.
        rows: (N, D) rows of the primary.
        place: Of the field among their columns.
        values: The partner's: of a list alone they tell whether numbers are meant as whole ones.
        field: Their label field.

    Raises:
        SampleError: They have been rounded, or may have been.
    """
    if known is None or known.encoder is not None or not len(rows):
        return
    lowest, highest = extremes(rows[:, place])
    if -_EXACT < lowest <= highest < _EXACT:
        return
    meant = known.dtype is None and all(isinstance(value, int | np.integer) for value in values)
    if meant or (known.dtype is not None and known.dtype.kind in "iu"):
        _refuse_rounded(field, "the primary", rows[:, place])


def _are_plain(values: Any, dtype: np.dtype[Any] | None) -> bool:
    """Tell whether labels are numbers that a pipeline holds as they are, the primary's being of this dtype."""
    if isinstance(values, list):
        numbers = dtype is None and _NUMBERS.issuperset(map(type, values))
        return numbers and (not values or -_EXACT < min(values) <= max(values) < _EXACT)
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iuf":
        return False
    exact = values.dtype.kind == "f" or not values.size or -_EXACT < values.min() <= values.max() < _EXACT
    return bool(exact) and (dtype is None or dtype == values.dtype)


def _refuse_rounded(field: str, where: str, numbers: Any) -> NoReturn:
    raise SampleError(
        f"label field {field!r} must hold whole numbers below {_EXACT}, got {np.max(np.abs(numbers)):.0f} from "
        f"{where}: Albumentations holds them as float32, which would round it; give them as strings"
    )


def encode_labels(processor: Any, name: str, field: str, values: Array | list[Any], like: Any) -> Array:
    """Encode a reference's label field as the pipeline encodes the primary's, new labels included.

    Args:
        processor: The pipeline's bbox or keypoints processor.
        name: Target that the labels belong to, such as "bboxes".
        field: Label field.
        values: One label a row, (N,).
        like: The primary's own container of this field where it had no rows (Albumentations then leaves it
            unencoded, and the reference's labels decide what comes out); None where it had some.

    Returns:
        (N,) numbers that float32 holds.

    Raises:
        SampleError: Numbers on one side, other labels on the other.
    """
    known = known_labels(processor, name).get(field)
    # Python's own: 2.0.8 takes NumPy's in a list for categories and cuts fractions, both take PyTorch's for categories
    labels = values.tolist() if isinstance(values, np.ndarray) else [scalar(value) for value in values]
    whole = [label for label in labels if isinstance(label, int)]
    numeric = all(isinstance(label, Real) for label in labels)
    if numeric and any(abs(label) >= _EXACT for label in whole):
        _refuse_rounded(field, "the reference", whole)
    if known is None:
        container = _array_like(labels, like) if isinstance(like, np.ndarray) else labels
        return np.ravel(processor.label_manager.process_field(name, field, container))
    _keep_whole(known)
    numbers = np.asarray(labels) if numeric else None
    if numeric != (known.encoder is None or all(isinstance(label, Real) for label in known.encoder.classes_)):
        raise SampleError(
            f"label field {field!r} must be numbers in both images or in neither, got {labels[:3]} from the reference, "
            f"{'other labels' if numeric else 'numbers'} from the primary: convert one"
        )
    if numbers is not None and known.dtype is not None and _lost(known.dtype, numbers).any():
        raise SampleError(
            f"label field {field!r} must fit the primary's dtype {known.dtype}, got {labels[:3]} from the reference: "
            "give the primary's as an array of a wider dtype, or both as lists"
        )
    if numbers is not None and (known.encoder is None or known.encoder.is_numerical):
        return numbers
    # Not `process_field` here: on 2.0.8 it fits the encoder anew.
    known.encoder.update(labels)
    if known.dtype is not None and known.dtype.kind in "US":  # on 2.0.8, "<U3" would cut "platelets" to "pla"
        known.dtype = np.result_type(known.dtype, np.asarray(labels).dtype)
    return np.asarray(known.encoder.transform(labels))


def _array_like(labels: list[Any], like: Array) -> Array:
    """Return labels as an array of the primary's precision or width, where they are of its kind and it holds them."""
    array = np.asarray(labels)
    if array.dtype.kind in "US" and not all(isinstance(label, str | bytes) for label in labels):
        return np.asarray(labels, object)  # NumPy would make text of the numbers among them
    if array.dtype.kind != like.dtype.kind:
        return array
    if array.dtype.kind in "US":  # the wider of both: 2.0.8 cuts the strings of later calls to it
        return array.astype(np.result_type(array, like))
    return array.astype(like.dtype) if array.dtype.kind in "iuf" and not _lost(like.dtype, array).any() else array


def _lost(dtype: np.dtype[Any], numbers: Array) -> Array:
    """Tell which numbers an array of a dtype would change, (N,) bool: fractions may be rounded, whole ones may not."""
    if dtype.kind not in "iub" and (dtype.kind != "f" or dtype.itemsize >= np.dtype(np.float32).itemsize):
        return np.zeros(len(numbers), bool)
    with np.errstate(all="ignore"):
        held = numbers.astype(dtype)
    changed: Array = held != numbers
    if dtype.kind == "f":
        changed &= (numbers == np.rint(numbers)) | (np.isinf(held) & np.isfinite(numbers))
    return changed


def decode_labels(processor: Any, name: str, field: str, column: Array) -> Any:
    """Undo `encode_labels` for one column of a pipeline's rows."""
    # Not `restore_field`: 2.0.8 would make strings of the numbers in a field of both.
    known = known_labels(processor, name)[field]
    if known.encoder is None or known.encoder.is_numerical:
        return column.astype(known.dtype or np.float32)
    return [known.encoder.inverse_classes_[code] for code in column.astype(int).tolist()]


def check_positions(known: Any, field: str, column: Array | None = None) -> None:
    """Refuse positions of boxes that a pipeline holds as categories, or that come out as other numbers.

    Args:
        known: What `known_labels` has of their field, or None.
        field: Their label field.
        column: The positions that are to come out; None: not known yet.

    Raises:
        SampleError: They are not numbers, or their dtype cannot hold them.
    """
    if known is None:
        return
    if not (known.encoder is None or known.encoder.is_numerical) or (
        known.dtype is not None and known.dtype.kind == "b"
    ):
        raise SampleError(
            f"{field} must be positions of boxes, a list of Python ints or an integer array, got "
            f"{known.dtype or 'a list of other objects'}: give `np.asarray({field}, dtype=np.int64)`, or leave it out "
            "of index_fields if it is something else"
        )
    if column is None or known.dtype is None:
        return
    lost = column[_lost(known.dtype, column)]
    if len(lost):
        raise SampleError(
            f"{field} must be of a dtype that holds the positions of all boxes of a mix, and -1 for none, got "
            f"{lost[0]:.0f} in {known.dtype}: give `np.asarray({field}, dtype=np.int64)`"
        )


def check_weights(known: Any, field: str) -> None:
    """Refuse weights that Albumentations would cut to whole numbers on their way out.

    Args:
        known: What `known_labels` has of their field, or None.
        field: Their label field.

    Raises:
        SampleError: The primary's weights are not floats.
    """
    if known is None or (known.is_numerical and (known.dtype is None or known.dtype.kind == "f")):
        return
    raise SampleError(
        f"{field} must be a list of Python floats or a float array, got {known.dtype or 'a list of other objects'}: "
        f"Albumentations would return the mixed weights cut to whole numbers; give "
        f"`np.asarray({field}, dtype=np.float32)`"
    )


def renew_label_mappings(processor: Any) -> None:
    """Let AlbumentationsX's keypoint `label_mapping` know labels that only the reference has."""
    if hasattr(processor, "convert_label_mappings_to_encoded"):
        processor.convert_label_mappings_to_encoded()
