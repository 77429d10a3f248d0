"""Pure kernels: no validation, no randomness, no Albumentations. Inputs are never written to."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
