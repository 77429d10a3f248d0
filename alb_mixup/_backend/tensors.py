"""PyTorch's tensors in samples, read as the arrays that they stand for."""

import sys
from collections.abc import Mapping
from typing import Any

from alb_mixup._backend.installation import IS_X
from alb_mixup.errors import SampleError

_PIXELS = frozenset({"image", "images", "mask", "masks"})

if IS_X:
    from albumentations.core.tensor import tensor_metadata_field_target, tensor_metadata_to_numpy


def without_tensors(sample: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return a sample whose tensors are arrays: boxes and labels as they are, images with their channels last.

    Args:
        sample: A sample; left alone.
        where: What messages call it.

    Returns:
        `sample` itself where it has no tensors.

    Raises:
        SampleError: A tensor is not in the memory of the CPU, or is an image and the pipelines of the installed
            Albumentations take none.
    """
    torch = sys.modules.get("torch")  # looked up, not imported: no tensors without it
    if torch is None:
        return sample
    found = {key: value for key, value in sample.items() if isinstance(value, torch.Tensor)}
    return {**sample, **{key: _array(key, value, where) for key, value in found.items()}} if found else sample


def _array(key: str, tensor: Any, where: str) -> Any:
    if tensor.device.type != "cpu" or tensor.requires_grad:
        raise SampleError(
            f"{where}[{key!r}] must be a tensor on the CPU without a gradient, got one on {tensor.device}: give "
            "`.detach().cpu()` of it"
        )
    try:
        array = tensor.numpy()
    except TypeError as error:
        raise SampleError(
            f"{where}[{key!r}] must be a tensor of a dtype that NumPy has too, got {tensor.dtype}: give its `.float()`"
        ) from error
    if IS_X:
        return tensor_metadata_to_numpy(tensor, tensor_metadata_field_target(key))
    if key in _PIXELS:
        raise SampleError(
            f"{where}[{key!r}] must be an array (H, W[, C]) in pipelines of albumentations 2.0.8, which take no "
            f"tensors, got one of shape {tuple(tensor.shape)}: give `tensor.permute(1, 2, 0).numpy()`"
        )
    return array
