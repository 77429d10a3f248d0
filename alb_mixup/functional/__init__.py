"""Pure kernels: no validation, no randomness, no Albumentations. Inputs are never written to."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


def extremes(values: Array) -> tuple[float, float]:
    """Return the lowest and the highest of N > 0 numbers; NaN, NaN where one is NaN.

    `min` and `max` take four times as long on the few numbers of an image's boxes, which every call checks
    (benchmarks/RESULTS.md, "Inside Compose").
    """
    flat = values.reshape(-1)
    return flat.item(flat.argmin()), flat.item(flat.argmax())


def scalar(value: Any) -> Any:
    """Return a NumPy scalar, an array or a PyTorch tensor without axes as Python's own; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value
