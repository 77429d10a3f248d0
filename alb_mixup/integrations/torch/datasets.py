"""A dataset of a pipeline, and streams of their own for a loader's workers."""

import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from alb_mixup import _backend
from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.datasets.protocols import format_of, origins
from alb_mixup.errors import ArgumentError
from alb_mixup.integrations.torch.schedule import MixUpSchedule
from alb_mixup.transforms.pipeline import mixups_of


class TransformedDataset(Dataset):  # type: ignore[misc, unused-ignore]
    """A dataset's samples as a pipeline returns them, each worker and epoch of a loader with a stream of its own.

    Forked workers of albumentations 2.0.8 would otherwise all draw the same numbers. A worker's stream follows from
    `torch.manual_seed`, the rank in distributed training and, where it has one, the pipeline's own seed; persistent
    workers go on with theirs. Where MixUp's reference is this dataset, a cache or a part of it or what it is a part of,
    no sample is mixed with itself.

    Workers also keep up to 64 MB of the memory that they free, for the images that they allocate next, instead of
    giving each back to the system (with glibc; benchmarks/RESULTS.md, "Pages").

    A sample without the pipeline's weight field gets ones: every box of it is a whole one.

    Args:
        dataset: A dataset of this package, or anything with `__len__` and `__getitem__` that returns dicts for the
            pipeline.
        pipeline: `A.Compose`.
        schedule: MixUp's probability by epoch; None leaves `p` as it is.

    Raises:
        ArgumentError: The dataset says (`bbox_format`) that its boxes are in another format than the pipeline reads;
            on access, where one sample of it says so.

    Examples:
        >>> import albumentations as A
        >>> from alb_mixup import MixUp, sample_dataset
        >>> from alb_mixup.integrations.torch import TransformedDataset
        >>> dataset = sample_dataset()
        >>> params = A.BboxParams(dataset.bbox_format, label_fields=["labels", "mixup_weight"])
        >>> data = TransformedDataset(dataset, A.Compose([MixUp(dataset, p=0.5)], bbox_params=params))
        >>> sorted(data[0])
        ['bboxes', 'image', 'labels', 'mixup_weight']
    """

    def __init__(
        self, dataset: Sequence[Mapping[str, Any]], pipeline: Any, schedule: MixUpSchedule | None = None
    ) -> None:
        self.dataset = dataset
        self.pipeline = pipeline
        self.schedule = schedule
        self._rank: int | None = None
        self._entered_in: int | None = None  # the process whose streams the pipeline has
        self._weight_fields = _weight_fields(pipeline)
        self._index_keys = {mixup.index_key for mixup in mixups_of(pipeline)}
        _check_format("dataset", dataset, pipeline)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return what the pipeline makes of `dataset[index]`."""
        if self._entered_in != os.getpid():
            _enter_process([self.pipeline], _backend.distributed_rank(self._rank))
            self._entered_in = os.getpid()
        if self.schedule is not None:
            self.schedule.apply(self.pipeline)
        sample = self.dataset[index]
        _check_format(f"dataset[{index}]", sample, self.pipeline)
        missing = [field for field in self._weight_fields if field not in sample] if "bboxes" in sample else ()
        ones = {field: np.ones(len(sample["bboxes"]), np.float32) for field in missing}
        # A partner is not to be the primary itself, wherever both are of one dataset.
        own = dict.fromkeys(self._index_keys - sample.keys(), origins(self.dataset, operator.index(index) % len(self)))
        out = self.pipeline(**sample, **ones, **own)
        return {key: value for key, value in out.items() if key not in own}

    def __getstate__(self) -> dict[str, Any]:
        """Take the rank along: a spawned worker does not know it."""
        return {**self.__dict__, "_rank": _backend.distributed_rank(self._rank)}


def _check_format(name: str, samples: Any, pipeline: Any) -> None:
    """Refuse boxes that say that they are in another format than the pipeline reads."""
    said, processor = format_of(samples), pipeline.processors.get("bboxes")
    if said is None or processor is None or said == _backend.coord_format(processor):
        return
    raise ArgumentError(
        f"{name} must have boxes in the pipeline's format {_backend.coord_format(processor)!r}, got {said!r}: give "
        f"A.BboxParams({said!r}, ...)"
    )


def _weight_fields(pipeline: Any) -> list[str]:
    """Return the label fields of a pipeline's boxes that hold weights: those of its MixUps, and the usual one."""
    processor = pipeline.processors.get("bboxes")
    fields = (processor.params.label_fields if processor else None) or ()
    weights = {"mixup_weight", *(mixup.weight_field for mixup in mixups_of(pipeline))}
    return [field for field in fields if field in weights]


def worker_init_fn(worker_id: int) -> None:
    """Give the pipelines of a dataset of your own what `TransformedDataset` gives its: `DataLoader(worker_init_fn=)`.

    Args:
        worker_id: Not used; the worker's seed says more.

    Raises:
        ArgumentError: Neither the dataset nor those that it wraps have an `A.Compose` as an attribute.
    """
    dataset = get_worker_info().dataset
    pipelines = list(_pipelines(dataset))
    if not pipelines:
        raise ArgumentError(f"dataset must have an A.Compose as an attribute, got {type(dataset)} without one")
    _enter_process(pipelines, _backend.distributed_rank())


def _enter_process(pipelines: Iterable[Any], rank: int | None) -> None:
    """Give pipelines the streams of this process, among a loader's workers and among ranks; keep a worker's memory."""
    in_worker = get_worker_info() is not None
    if in_worker:
        keep_freed_memory()
    for pipeline in pipelines:
        _backend.seed_in_worker(pipeline, torch.initial_seed() if in_worker else None, rank)


def _pipelines(dataset: Any) -> Iterator[Any]:
    """Find the pipelines of a dataset and of those that it wraps (`Subset`, `ConcatDataset`)."""
    for value in vars(dataset).values():
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, _backend.Compose):
                yield part
            elif isinstance(part, Dataset):
                yield from _pipelines(part)
