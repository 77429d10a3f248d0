"""The class that MixUp derives from: one pair of hooks, `draw` and `mix`, for both Albumentations."""

import inspect
import os
import random
import sys
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

import albumentations as A
import numpy as np
from albumentations.core.type_definitions import Targets

from alb_mixup._backend.installation import IS_X
from alb_mixup._backend.streams import Place, bare_forks, distributed_rank, group_rank, launched_rank, set_streams

if IS_X:
    from albumentations.core.invocation import get_current_invocation


_HANDED = "alb_mixup_drawn"
"""Where a call's own data carries what was drawn to `mix`, for a record is kept and must hold no pixels."""


class _RecordTransform(A.DualTransform):  # type: ignore[misc, unused-ignore]
    """What both have in common: `draw` makes a record, `mix` applies a record, just drawn or replayed."""

    _targets = tuple(
        target for target in Targets if target.name in {"IMAGE", "IMAGES", "MASK", "MASKS", "BBOXES", "KEYPOINTS"}
    )
    _supported_bbox_types = frozenset({"hbb", "obb"})

    def __init__(self, p: float) -> None:
        # looked up here and where a pickle arrives, for in each call it would take longer than the decision to apply
        self._launched_rank = launched_rank(None)
        super().__init__(p=p)

    def draw(self, data: Mapping[str, Any], generator: np.random.Generator) -> tuple[dict[str, Any], Any]:
        """Draw the record of one application, JSON-safe; and what `mix` then need not read again."""
        raise NotImplementedError

    def mix(self, data: dict[str, Any], record: Mapping[str, Any], drawn: Any) -> dict[str, Any]:
        """Apply a record to the targets of one sample; `drawn` is what `draw` made with it, None in a replay."""
        raise NotImplementedError

    def running_processors(self) -> Mapping[str, Any]:
        """Return the processors of the pipeline that is running, by kind; nothing where a transform runs alone."""
        raise NotImplementedError

    def sample_keys(self) -> list[str]:
        """Name the keys of a call under which samples come."""
        raise NotImplementedError

    def update_transform_params(self, params: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        """Keep shapes, fill and interpolation out of the record: nothing there is drawn."""
        return params

    def apply_with_params(self, params: Any, *_: Any, **data: Any) -> dict[str, Any]:
        """Apply a record: where both Albumentations arrive, after drawing and from replay."""
        drawn = data.pop(_HANDED, None)
        return self.mix(data, getattr(params, "params", params), drawn)

    def __getstate__(self) -> dict[str, Any]:
        """Take the rank along: a spawned worker does not know it."""
        state = super().__getstate__() if IS_X else self.__dict__  # BasicTransform of 2.0.8 has none
        return {**state, "_launched_rank": distributed_rank(self._launched_rank)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Look for a rank here; where none is known, that of the sender serves."""
        state["_launched_rank"] = launched_rank(state["_launched_rank"])
        super().__setstate__(state) if IS_X else self.__dict__.update(state)


if IS_X:

    class MixTransform(_RecordTransform):
        """AlbumentationsX: one stream for a whole call, seeded for each DataLoader worker by X itself."""

        def sample_parameters(self, params: Any, data: Any, targets: Any, sampling: Any) -> Any:
            """Draw from the only generator that a seeded X pipeline repeats."""
            generator = sampling.random_generator
            # X knows workers, but neither ranks that are seeded alike nor bare forks. A call with a seed of its own
            # is the same everywhere.
            if getattr(get_current_invocation(), "seed", None) is None:
                rank = group_rank(self._launched_rank)
                words = [*bare_forks(), *([] if rank is None else [rank])]
                if words:
                    generator = np.random.default_rng([int(generator.integers(2**63)), *words])
            record, data[_HANDED] = self.draw(data, generator)
            sampling.applied_overrides["ratio_range"] = [record["ratio"], record["ratio"]]
            return A.SampledParams(params=record)

        def running_processors(self) -> Mapping[str, Any]:
            """Return the running pipeline's processors."""
            found = {}
            for kind in ("bboxes", "keypoints"):
                processor = self.get_processor(kind)
                if processor is not None:
                    found[kind] = processor
            return found

        def get_tensor_metadata_keys(self) -> frozenset[str]:
            """Have X give tensors under these keys as arrays.

            Not by `targets_as_params`: X would warn that a replay may go wrong, which reads the samples again.
            """
            return frozenset(self.sample_keys())

        def get_applied_params(self) -> dict[str, Any]:
            """Return the last record, without X's envelope; empty where the transform was not applied."""
            return dict(super().get_applied_params().get("params", {}))

else:

    class MixTransform(_RecordTransform):  # type: ignore[no-redef]
        """Albumentations 2.0.8: it seeds every transform of a pipeline alike, and forked workers not at all."""

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

        def running_processors(self) -> Mapping[str, Any]:
            """Return the processors of the pipeline that is running; nothing where a transform was called alone.

            2.0.8 tells a transform the processors of the pipeline that was built last, which need not be the one that
            runs. The one that runs is on the stack, a few calls up: it is the nearest that is in no other.
            """
            frame: FrameType | None = sys._getframe(2)  # above `draw` or `mix`, who ask
            while frame is not None:
                if frame.f_code is _COMPOSE_CALL:
                    pipeline = frame.f_locals["self"]
                    if pipeline.main_compose:
                        return pipeline.processors  # type: ignore[no-any-return]
                frame = frame.f_back
            return {}

        def set_random_seed(self, seed: int | None) -> None:
            """Seed with the rank as well: two MixUps in one pipeline must not draw the same partner."""
            self.seed = seed
            words = None if seed is None else [seed, 1 + self._rank]
            self.set_random_state(np.random.default_rng(words), random.Random(None if words is None else str(words)))
            self._place = Place(os.getpid(), None)  # a seed may be that of all ranks

        def set_random_state(self, random_generator: np.random.Generator, py_random: random.Random) -> None:
            """Remember the place too: generators that arrive in another one are copies of its siblings'."""
            super().set_random_state(random_generator, py_random)
            self._place = Place.here(self._launched_rank)

        def should_apply(self, force_apply: bool = False) -> bool:
            """Decide from a stream that no sibling worker and no other rank has."""
            if (os.getpid(), group_rank(self._launched_rank)) != self._place:
                here = Place.here(self._launched_rank)
                words = here.words_after(self._place)
                if words:
                    set_streams(self, [int(self.random_generator.integers(2**63)), *words])
                self._place = here
            return bool(super().should_apply(force_apply))

        def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
            """Draw from the transform's own generator."""
            record, data[_HANDED] = self.draw(data, self.random_generator)
            return record

    class _PipelineRank(threading.local):
        """Counts the transforms that are handed one and the same processors."""

        processors: object = None
        rank = 0

        def next(self, processors: object) -> int:
            self.rank = self.rank + 1 if processors is self.processors else 0
            self.processors = processors
            return self.rank

    _pipeline_rank = _PipelineRank()
    _COMPOSE_CALL = A.Compose.__call__.__code__


def only_printing() -> bool:
    """Tell whether a caller wants a transform's dict for `repr`, which throws it away.

    `repr(A.Compose(...))` calls its transforms' `to_dict_private`, as `A.to_dict` does. What cannot be serialized
    must raise for the second and must not for the first, and nothing but the stack tells them apart.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name not in {"__repr__", "indented_repr"}:
        frame = frame.f_back
    return frame is not None
