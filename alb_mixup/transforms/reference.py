"""What MixUp holds as its reference: any sequence of samples, checked once, described for files and for replay."""

import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from alb_mixup import _backend
from alb_mixup.datasets import RecentSamples, from_spec
from alb_mixup.datasets.protocols import format_of, is_sequence, spec_of
from alb_mixup.errors import ArgumentError, SerializationError


class InMemory:
    """Stands for an in-memory object in a replay record: it keeps the object alive and goes nowhere else.

    Args:
        value: The reference or the reference transform.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        size = f" of {len(self.value)} samples" if hasattr(self.value, "__len__") else ""
        return f"<in-memory {type(self.value).__name__}{size}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> "InMemory":
        return self

    def __reduce__(self) -> NoReturn:
        refuse_serialization(self.value)


def refuse_serialization(value: Any) -> NoReturn:
    """Raise the error that names the way to a reference which can be written down.

    Raises:
        SerializationError: Always.
    """
    # Ultralytics serializes its `augmentations=[...]`, where MixUp must not be whatever its reference.
    ultralytics = "; in Ultralytics, train with trainer=mixup_trainer(...) of alb_mixup.integrations.ultralytics"
    raise SerializationError(
        f"reference must be file-backed to be serialized, got {InMemory(value)!r}: use VocDataset (or another dataset "
        "of alb_mixup), or build the pipeline in code where it is loaded; in the process that recorded it, "
        f"A.ReplayCompose.replay works with any reference{ultralytics if 'ultralytics' in sys.modules else ''}"
    )


def resolve(reference: Any) -> Any:
    """Turn the `reference` argument into the object to draw from.

    Args:
        reference: A sequence of samples (kept as it is, never copied), the spec that `A.to_dict` wrote, the stand-in
            of a replay record, or None.

    Returns:
        The sequence, or None.

    Raises:
        ArgumentError: It is no sequence, it is empty, or it names an unknown `bbox_format`.
    """
    if isinstance(reference, InMemory):
        reference = reference.value
    elif isinstance(reference, Mapping) and "image" not in reference:
        reference = from_spec(reference)
    if reference is None:
        return None
    if not is_sequence(reference):
        raise ArgumentError(
            "reference must be a sequence of dicts shaped like the pipeline's own input (with __len__ and "
            f"__getitem__), or None, got {type(reference).__name__}: e.g. VocDataset(root) or a list of samples"
        )
    if len(reference) == 0 and not isinstance(reference, RecentSamples):
        raise ArgumentError("reference must hold at least one sample, got an empty one: nothing could be drawn from it")
    bbox_format = format_of(reference)
    if bbox_format not in {None, *_backend.BBOX_FORMATS}:
        raise ArgumentError(
            f"reference.bbox_format must be one of {', '.join(_backend.BBOX_FORMATS)}, got {bbox_format!r}"
        )
    return reference


def resolve_transform(transform: Any, reference: Any) -> Any:
    """Turn the `reference_transform` argument into a pipeline whose boxes are in the reference's format.

    Raises:
        ArgumentError: It is no pipeline, or reads the reference's boxes in another format than they have.
    """
    if isinstance(transform, InMemory):
        transform = transform.value
    elif isinstance(transform, Mapping):
        transform = _backend.from_dict(dict(transform))
    if transform is None:
        return None
    if not isinstance(transform, _backend.Compose):
        raise ArgumentError(f"reference_transform must be an A.Compose or None, got {type(transform).__name__}")
    said, processor = format_of(reference), transform.processors.get("bboxes")
    if said is not None and processor is not None and _backend.bbox_format(processor) != said:
        raise ArgumentError(
            f"reference_transform must have bbox_params in the reference's format {said!r}, got "
            f"{_backend.bbox_format(processor)!r}"
        )
    return transform


def describe(reference: Any) -> Any:
    """Describe a reference: a JSON-safe spec where it has one (`to_spec`, not None), a stand-in where it has none."""
    if reference is None:
        return None
    spec = spec_of(reference)
    return InMemory(reference) if spec is None else spec
