"""Where randomness comes from: one stream for each worker, and pipelines that are run from one seed."""

import contextvars
import multiprocessing
import multiprocessing.util
import os
import random
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import albumentations as A
import numpy as np

from alb_mixup._backend.installation import IS_X


class _BareForks(list[int]):  # a list of its own kind, for a plain one takes no weak reference
    """Of which fork of its parent this process is the child, and its parent of its own: where nothing else tells."""


_bare_forks = _BareForks()
_forked = 0


def _count_fork() -> None:
    global _forked  # noqa: PLW0603  (what the interpreter calls after a fork has no other place for it)
    _forked += 1


def _note_fork() -> None:
    global _forked  # noqa: PLW0603
    _bare_forks.append(_forked)
    _forked = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_count_fork, after_in_child=_note_fork)
    # A child that multiprocessing has forked has an identity, and begins to count anew.
    multiprocessing.util.register_after_fork(_bare_forks, list.clear)


def bare_forks() -> list[int]:
    """Name this process where nothing but a bare `os.fork` tells it from its parent and its siblings."""
    return list(_bare_forks)


def worker_words() -> list[int]:
    """Name this worker process: by PyTorch's seed for worker and epoch, else by its place among its siblings."""
    torch_data = sys.modules.get("torch.utils.data")  # looked up, not imported: no worker of PyTorch's without it
    info = torch_data.get_worker_info() if torch_data else None
    identity = getattr(multiprocessing.current_process(), "_identity", ())
    return [*(identity if info is None else [info.seed]), *_bare_forks]


def distributed_rank(carried: int | None = None) -> int | None:
    """Return this process's rank in distributed training, which seeds that are alike on all ranks leave out.

    Args:
        carried: Rank of the process that an object comes from, in case none is known here: in a spawned worker, say.

    Returns:
        The rank; `carried` where there is one process, or none is known.
    """
    return group_rank(launched_rank(carried))


def group_rank(launched: int | None) -> int | None:
    """Return this process's rank in PyTorch's process group, which may begin at any time, else that of its launch."""
    distributed = sys.modules.get("torch.distributed")  # looked up, not imported: no ranks without it, but by launchers
    # a PyTorch that was built without it lacks the function
    if distributed is not None and hasattr(distributed, "is_initialized") and distributed.is_initialized():
        return int(distributed.get_rank()) if distributed.get_world_size() > 1 else launched
    return launched


def launched_rank(carried: int | None) -> int | None:
    """Return the rank that a launcher has named to this process in its environment, else the carried one."""
    rank, world_size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    return int(rank) if rank.isdecimal() and world_size.isdecimal() and int(world_size) > 1 else carried


class Place(NamedTuple):
    """Where code runs, as far as its randomness must differ from that of the same code elsewhere.

    Attributes:
        process_id: Of the process.
        rank: In distributed training; None where there is one process.
    """

    process_id: int
    rank: int | None

    @classmethod
    def here(cls, launched: int | None) -> "Place":
        """Name this place; where no process group is, the rank is `launched`."""
        return cls(os.getpid(), group_rank(launched))

    def words_after(self, before: "Place") -> list[int]:
        """Return what a stream must take up that comes from another place; nothing where both may draw alike."""
        words = worker_words() if self.process_id != before.process_id else []
        return words if self.rank is None else [*words, self.rank]


class WorkerStream:
    """A stream of seeds for what is not a transform: it repeats under a seed, and no two workers have the same.

    Args:
        seed: None: another stream each time.
    """

    def __init__(self, seed: int | None) -> None:
        self._generator, self._place = np.random.default_rng(seed), Place(os.getpid(), None)
        self._carried_rank: int | None = None

    def next(self, end: int) -> int:
        """Draw a whole number below `end`."""
        here = Place.here(launched_rank(self._carried_rank))
        if here != self._place:  # a copy of the parent's, of every sibling's, or seeded alike on every rank
            words, self._place = here.words_after(self._place), here
            if words:
                self._generator = np.random.default_rng([int(self._generator.integers(2**63)), *words])
        return int(self._generator.integers(end))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_carried_rank": distributed_rank(self._carried_rank)}


def seed_in_worker(pipeline: Any, seed: int | None, rank: int | None) -> None:
    """Give a pipeline the stream of this worker of PyTorch's DataLoader, or of this rank, for all of its transforms.

    AlbumentationsX seeds workers itself, from the same seed, but knows no ranks.

    Args:
        pipeline: `A.Compose`.
        seed: The worker's `torch.initial_seed()`; None outside of a worker. A seed that the pipeline was built with is
            combined with it.
        rank: In distributed training; None where there is one process.
    """
    known = [word for word in (seed, pipeline.seed) if word is not None]
    if known and (rank is not None or (seed is not None and not IS_X)):
        set_streams(pipeline, known if rank is None else [*known, rank])


def set_streams(pipeline: Any, words: list[int]) -> None:
    # Not `set_random_seed`: 2.0.8 would seed every transform alike, and a flip would follow each jitter.
    pipeline.set_random_state(np.random.default_rng(words), random.Random(str(words)))


def compose(transforms: Sequence[Any], **settings: Any) -> Any:
    """Build an `A.Compose` of this package's own, which reports nothing to anybody."""
    return A.Compose(list(transforms), **settings, **({"telemetry": False} if IS_X else {}))


def keypoint_params(label_fields: Sequence[str]) -> Any:
    """Build the `A.KeypointParams` of keypoints as x and y in pixels, which leave with the image's borders."""
    with warnings.catch_warnings():  # X takes label fields to be for swapping labels alone
        warnings.filterwarnings("ignore", "label_fields are set but label_mapping is not provided")
        return A.KeypointParams("xy", label_fields=list(label_fields))


def mosaic_pipeline(**settings: Any) -> Any:
    """Build a pipeline of one `A.Mosaic`, for boxes as normalized corners with any further columns."""
    return compose([A.Mosaic(**settings, p=1.0)], bbox_params=A.BboxParams("albumentations"))


def run_nested(pipeline: Any, sample: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Run a pipeline of its own inside a transform, all of its randomness from one seed."""
    # An empty context: within the outer call's, X would run this one as a part of the outer pipeline.
    return contextvars.Context().run(run_seeded, pipeline, sample, seed)


def run_seeded(pipeline: Any, sample: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Run a pipeline, all of its randomness from one seed."""
    if IS_X:
        return dict(pipeline(invocation_seed=seed, **sample))
    set_streams(pipeline, [seed])
    return dict(pipeline(**sample))
