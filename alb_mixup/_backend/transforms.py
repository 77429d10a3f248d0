"""The class that MixUp derives from: one pair of hooks, `draw` and `mix`, for both Albumentations."""

import inspect
import os
import random
import threading
from collections.abc import Mapping
from typing import Any

import albumentations as A
import numpy as np
from albumentations.core.type_definitions import Targets

from alb_mixup._backend.installation import IS_X
from alb_mixup._backend.streams import set_streams, worker_words


class _RecordTransform(A.DualTransform):  # type: ignore[misc, unused-ignore]
    """What both have in common: `draw` makes a record, `mix` applies a record, just drawn or replayed."""

    _targets = tuple(
        target for target in Targets if target.name in {"IMAGE", "IMAGES", "MASK", "MASKS", "BBOXES", "KEYPOINTS"}
    )
    _supported_bbox_types = frozenset({"hbb", "obb"})

    def draw(self, data: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        """Draw the record of one application: JSON-safe, and all that `mix` needs besides data and reference."""
        raise NotImplementedError

    def mix(self, data: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a record to the targets of one sample."""
        raise NotImplementedError

    def update_transform_params(self, params: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        """Keep shapes, fill and interpolation out of the record: nothing there is drawn."""
        return params

    def apply_with_params(self, params: Any, *_: Any, **data: Any) -> dict[str, Any]:
        """Apply a record: where both Albumentations arrive, after drawing and from replay."""
        return self.mix(data, getattr(params, "params", params))


if IS_X:

    class MixTransform(_RecordTransform):
        """AlbumentationsX: one stream for a whole call, seeded for each DataLoader worker by X itself."""

        def sample_parameters(self, params: Any, data: Any, targets: Any, sampling: Any) -> Any:
            """Draw from the only generator that a seeded X pipeline repeats."""
            record = self.draw(data, sampling.random_generator)
            sampling.applied_overrides["ratio_range"] = [record["ratio"], record["ratio"]]
            return A.SampledParams(params=record)

        def get_applied_params(self) -> dict[str, Any]:
            """Return the last record, without X's envelope; empty where the transform was not applied."""
            return dict(super().get_applied_params().get("params", {}))

else:

    class MixTransform(_RecordTransform):  # type: ignore[no-redef]
        """albumentations 2.0.8: it seeds every transform of a pipeline alike, and forked workers not at all."""

        def __init__(self, p: float) -> None:
            self._rank = 0  # among the transforms of this class in one pipeline
            super().__init__(p=p)

        def set_processors(self, processors: dict[str, Any]) -> None:
            """Take the pipeline's processors; the pipeline hands them to its transforms one after the other."""
            super().set_processors(processors)
            rank = _pipeline_rank.next(processors)
            if rank != self._rank:
                self._rank = rank
                self.set_random_seed(self.seed)

        def set_random_seed(self, seed: int | None) -> None:
            """Seed with the rank as well: two MixUps in one pipeline must not draw the same partner."""
            self.seed = seed
            words = None if seed is None else [seed, 1 + self._rank]
            self.set_random_state(np.random.default_rng(words), random.Random(None if words is None else str(words)))

        def set_random_state(self, random_generator: np.random.Generator, py_random: random.Random) -> None:
            """Remember the process too: generators that arrive in another one are copies of its siblings'."""
            super().set_random_state(random_generator, py_random)
            self._process_id = os.getpid()

        def should_apply(self, force_apply: bool = False) -> bool:
            """Decide from a stream that no sibling worker has."""
            if os.getpid() != self._process_id:
                self._leave_siblings()
            return bool(super().should_apply(force_apply))

        def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
            """Draw from the transform's own generator."""
            return self.draw(data, self.random_generator)

        def _leave_siblings(self) -> None:
            words = worker_words()
            self._process_id = os.getpid()
            if words:
                words = [int(self.random_generator.integers(2**63)), *words]
                set_streams(self, words)

    class _PipelineRank(threading.local):
        """Counts the transforms that are handed one and the same processors."""

        processors: object = None
        rank = 0

        def next(self, processors: object) -> int:
            self.rank = self.rank + 1 if processors is self.processors else 0
            self.processors = processors
            return self.rank

    _pipeline_rank = _PipelineRank()


def only_printing() -> bool:
    """Tell whether a caller wants a transform's dict for `repr`, which throws it away.

    `repr(A.Compose(...))` calls its transforms' `to_dict_private`, as `A.to_dict` does. What cannot be serialized
    must raise for the second and must not for the first, and nothing but the stack tells them apart.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name not in {"__repr__", "indented_repr"}:
        frame = frame.f_back
    return frame is not None
