"""Checks of arguments and of what samples hold: each returns the value in its plain form, or says what to give."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional import Array, extremes

_REAL = (int, float, np.integer, np.floating)


def number(name: str, value: Any, constraint: str, *, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number within [low, high]."""
    if isinstance(value, bool) or not isinstance(value, _REAL) or not math.isfinite(value) or not low <= value <= high:
        raise ArgumentError(f"{name} must be {constraint}, got {value!r}")
    return float(value)


def pair(name: str, value: Any, constraint: str) -> tuple[Any, Any]:
    """Return a sequence of two as a tuple."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ArgumentError(f"{name} must be {constraint}, got {value!r}")
    return value[0], value[1]


def choice(name: str, value: Any, allowed: Sequence[Any]) -> Any:
    """Return a value that is one of those allowed."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool) or not isinstance(plain, str | int) or plain not in allowed:
        raise ArgumentError(f"{name} must be one of {', '.join(map(str, allowed))}, got {value!r}")
    return plain


def beta_parameters(alpha: Any) -> tuple[float, float]:
    """Return Beta's (a, b) for `alpha`, a number or a pair."""
    constraint = "a positive finite number or a pair of them, e.g. 1.5 for Beta(1.5, 1.5)"
    both = (alpha, alpha) if isinstance(alpha, _REAL) else pair("alpha", alpha, constraint)
    a, b = (number("alpha", value, constraint, low=math.nextafter(0.0, 1.0)) for value in both)
    if not math.isfinite(a + b):  # NumPy would return λ = 0 for ever
        raise ArgumentError(
            f"alpha must be small enough for a finite sum of both, got {alpha!r}: 1e6 fixes λ at one half"
        )
    return a, b


def ratio_range(value: Any) -> tuple[float, float] | None:
    """Return the bounds of a uniform ratio, or None."""
    return None if value is None else bounds("ratio_range", value, "None or ")


def bounds(name: str, value: Any, alternative: str = "") -> tuple[float, float]:
    """Return a pair (low, high) within [0, 1]; `alternative` is what else the message allows."""
    constraint = f"{alternative}a pair (low, high) with 0 <= low <= high <= 1, e.g. (0.45, 0.55)"
    both = pair(name, value, constraint)
    low, high = (number(name, bound, constraint, low=0.0, high=1.0) for bound in both)
    if low > high:
        raise ArgumentError(f"{name} must be {constraint}, got {value!r}")
    return low, high


def fill_value(name: str, value: Any) -> float | list[float]:
    """Return a fill: one number, or one for each channel."""
    constraint = "a finite number, or one for each channel"
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0:
        return [number(name, channel, constraint) for channel in value]
    return number(name, value, constraint)


def fill_fits(name: str, fill: float | list[float], dtype: np.dtype[Any], channels: int) -> None:
    """Refuse a fill that pixels of this dtype and these channels cannot hold.

    Raises:
        SampleError: It has another number of channels, or is out of the dtype's range.
    """
    if isinstance(fill, list) and len(fill) != channels:
        raise SampleError(f"{name} must be one number or one for each of {channels} channels, got {fill}")
    if fill != 0 and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if np.min(fill) < limits.min or np.max(fill) > limits.max:
            raise SampleError(f"{name} must be in [{limits.min}, {limits.max}] for {dtype}, got {fill}")


def field_name(name: str, value: Any) -> str:
    """Return a non-empty string."""
    if not isinstance(value, str) or not value:
        raise ArgumentError(f"{name} must be a non-empty string, got {value!r}")
    return value


def field_names(name: str, value: Any) -> list[str]:
    """Return a list of non-empty strings."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ArgumentError(f"{name} must be a list of names, got {value!r}: put one name in a list too")
    return [field_name(f"each of {name}", item) for item in value]


def whole_number(name: str, value: Any) -> int:
    """Return an int that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ArgumentError(f"{name} must be a whole number of at least 0, got {value!r}")
    return value


def flag(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} must be True or False, got {value!r}")
    return value


def is_pixels(value: Any) -> bool:
    """Tell whether a value is an image or mask: (H, W) or (H, W, C), no side empty."""
    return isinstance(value, np.ndarray) and value.ndim in {2, 3} and value.size > 0


def checked_pixels(name: str, value: Any) -> Array:
    """Return an image or mask, (H, W) or (H, W, C), no side empty; refuse anything else."""
    if not is_pixels(value):
        got = f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise SampleError(f"{name} must be a non-empty array (H, W) or (H, W, C), got {got}")
    return value  # type: ignore[no-any-return]


def are_finite(numbers: Any) -> bool:
    """Tell whether N > 0 numbers are all finite.

    Raises:
        TypeError, ValueError: They are not numbers.
    """
    lowest, highest = extremes(np.asarray(numbers, np.float32))
    return -math.inf < lowest <= highest < math.inf


def check_finite(name: str, weights: Any) -> None:
    """Refuse weights that are not numbers, or not finite."""
    try:
        finite = are_finite(weights)
    except (TypeError, ValueError) as error:
        raise SampleError(f"{name} must be numbers, got {weights!r}: {error}") from error
    if not finite:
        raise SampleError(f"{name} must be finite, got {weights!r}")


def channels(shape: tuple[int, ...]) -> int:
    """Count the channels of an image shape, (H, W) or (H, W, C)."""
    return shape[2] if len(shape) == 3 else 1
