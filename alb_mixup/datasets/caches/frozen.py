"""Samples that are kept, and given out many times: nobody can write to what is kept."""

from typing import Any, TypeVar

import numpy as np

from alb_mixup.datasets.protocols import like

_Value = TypeVar("_Value")

_OBJECT_BYTES = 64  # a number, a str, a list's slot and head: what one of them about takes


def frozen(value: _Value) -> _Value:
    """A sample, or a value of one, that does not change: its arrays are read-only, its lists and dicts new.

    A read-only array is taken to be nobody's to write to and is kept as it is; any other is copied, for whoever gave
    it may write to it later. Freezing what is frozen already therefore copies no pixels, and gives out lists that the
    caller may write to.
    """
    frozen_value: Any = value
    if isinstance(value, np.ndarray) and value.flags.writeable:
        frozen_value = value.copy()
        frozen_value.flags.writeable = False
    elif isinstance(value, list):
        frozen_value = [item if isinstance(item, str) else frozen(item) for item in value]  # labels, as a rule
    elif isinstance(value, dict):
        frozen_value = like(value, {key: frozen(item) for key, item in value.items()})
    return frozen_value  # type: ignore[no-any-return]


def size_in_bytes(value: Any) -> int:
    """About how much memory a sample takes: exact for its arrays, which are nearly all of it."""
    if isinstance(value, np.ndarray):
        return value.nbytes + _OBJECT_BYTES
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return _OBJECT_BYTES + sum(map(size_in_bytes, items))
