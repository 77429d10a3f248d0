"""From the small JSON-safe description of a dataset back to the dataset."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from alb_mixup.datasets.caches.cached import CachedDataset
from alb_mixup.datasets.caches.disk import DiskCache
from alb_mixup.datasets.caches.recent import RecentSamples
from alb_mixup.datasets.formats.coco import CocoDataset
from alb_mixup.datasets.formats.pseudo import PseudoLabelDataset
from alb_mixup.datasets.formats.voc import VocDataset
from alb_mixup.datasets.formats.yolo import YoloDataset
from alb_mixup.datasets.mosaic import MosaicDataset
from alb_mixup.datasets.open import sample_dataset
from alb_mixup.errors import SerializationError

_BUILDERS: dict[str, Callable[..., Any]] = {
    "CocoDataset": CocoDataset,
    "VocDataset": VocDataset,
    "YoloDataset": YoloDataset,
    "PseudoLabelDataset": PseudoLabelDataset,
    "sample": sample_dataset,
    "CachedDataset": CachedDataset,
    "DiskCache": DiskCache.opened,  # which writes nothing
    "RecentSamples": RecentSamples,
    "MosaicDataset": MosaicDataset,
}


def from_spec(spec: Mapping[str, Any]) -> Any:
    """Build what `to_spec` described: a `DetectionDataset`, a cache, empty `RecentSamples` or a `MosaicDataset`.

    Args:
        spec: What `to_spec` returned, also after a way through JSON or YAML. Only datasets of this package are
            built, whatever it says.

    Raises:
        SerializationError: `spec` is no such description.
        DatasetError: The dataset that it describes cannot be opened here, such as a folder that has moved.

    Examples:
        >>> from alb_mixup import sample_dataset
        >>> from alb_mixup.datasets import from_spec
        >>> len(from_spec(sample_dataset().to_spec()))
        14
    """
    if not isinstance(spec, Mapping):
        raise SerializationError(f"spec must be a dict that to_spec returned, got {spec!r}: pass such a dict")
    arguments = dict(spec)
    name, annotated = arguments.pop("dataset", None), arguments.pop("annotated", False)
    builder = _BUILDERS.get(name) if isinstance(name, str) else None
    if builder is None:
        raise SerializationError(
            f"spec['dataset'] must be one of {', '.join(map(repr, _BUILDERS))}, got {name!r}: pass what to_spec "
            "returned"
        )
    if "of" in arguments:  # what a cache or a mosaic is of
        arguments["dataset"] = from_spec(arguments.pop("of"))
    try:
        inspect.signature(builder).bind(**arguments)
    except TypeError as error:
        raise SerializationError(f"spec must fit {name}, got {dict(spec)!r}: {error}") from error
    dataset = builder(**arguments)
    return dataset.annotated() if annotated else dataset
