"""Where randomness comes from: one stream for each worker, and pipelines that are run from one seed."""

import contextvars
import multiprocessing
import os
import random
import sys
from collections.abc import Mapping
from typing import Any

import albumentations as A
import numpy as np

from alb_mixup._backend.installation import IS_X


def worker_words() -> list[int]:
    """Name this worker process: by PyTorch's seed for worker and epoch, else by its place among its siblings."""
    torch_data = sys.modules.get("torch.utils.data")  # looked up, not imported: no worker of PyTorch's without it
    info = torch_data.get_worker_info() if torch_data else None
    if info is not None:
        return [info.seed]
    return list(getattr(multiprocessing.current_process(), "_identity", ()))


class WorkerStream:
    """A stream of seeds for what is no transform: it repeats under a seed, and no two workers have the same.

    Args:
        seed: None: another stream each time.
    """

    def __init__(self, seed: int | None) -> None:
        self._generator, self._process_id = np.random.default_rng(seed), os.getpid()

    def next(self, end: int) -> int:
        """Draw a whole number below `end`."""
        if os.getpid() != self._process_id:  # a copy of the parent's, and of every sibling's
            words, self._process_id = worker_words(), os.getpid()
            if words:
                self._generator = np.random.default_rng([int(self._generator.integers(2**63)), *words])
        return int(self._generator.integers(end))


def seed_in_worker(pipeline: Any, seed: int) -> None:
    """Give a pipeline the stream of this worker of PyTorch's DataLoader, for all of its transforms.

    AlbumentationsX does so itself, from the same seed.

    Args:
        pipeline: `A.Compose`.
        seed: The worker's `torch.initial_seed()`; a seed that the pipeline was built with is combined with it.
    """
    if not IS_X:
        words = [seed] if pipeline.seed is None else [seed, pipeline.seed]
        set_streams(pipeline, words)


def set_streams(pipeline: Any, words: list[int]) -> None:
    # Not `set_random_seed`: 2.0.8 would seed every transform alike, and a flip would follow each jitter.
    pipeline.set_random_state(np.random.default_rng(words), random.Random(str(words)))


def mosaic_pipeline(**settings: Any) -> Any:
    """Build a pipeline of one `A.Mosaic`, for boxes as normalized corners with any further columns."""
    return A.Compose([A.Mosaic(**settings, p=1.0)], bbox_params=A.BboxParams("albumentations"))


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
