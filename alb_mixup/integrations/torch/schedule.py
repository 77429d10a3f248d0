"""MixUp's probability by epoch, in the main process and in a loader's workers."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import torch

from alb_mixup._support import checks
from alb_mixup.errors import ArgumentError
from alb_mixup.transforms.mixup import MixUp


class MixUpSchedule:
    """MixUp's probability by epoch, in shared memory, so that persistent workers follow (fork, spawn, forkserver).

    The main process calls `set_epoch` before it iterates over its loader; whatever the epoch's workers then read is
    what it set. Pickled into a worker process it stays shared; a checkpoint or a deep copy holds a copy.

    Strong recipes switch mixing off for the last epochs: YOLOX (arXiv 2107.08430) for its last 15, RTMDet (arXiv
    2212.07784) for its last 20.

    Args:
        p: Probability from each epoch on: `{0: 0.5, 90: 0.0}` is 0.5 from epoch 0, off from epoch 90. Epochs are whole
            numbers of at least 0, epoch 0 among them; probabilities are in [0, 1].

    Raises:
        ArgumentError: An epoch or a probability breaks its constraint.
    """

    def __init__(self, p: Mapping[int, float]) -> None:
        if not isinstance(p, Mapping) or 0 not in p:
            raise ArgumentError(f"p must be a dict with epoch 0, such as {{0: 0.5, 90: 0.0}}, got {p!r}")
        self._epochs = sorted(checks.whole_number("an epoch of p", epoch) for epoch in p)
        self._values = [
            checks.number(f"p[{epoch}]", p[epoch], "a probability in [0, 1]", low=0.0, high=1.0)
            for epoch in self._epochs
        ]
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch that the main process has set, 0 at first."""
        return int(self._epoch)

    @property
    def p(self) -> float:
        """MixUp's probability in this epoch."""
        return self._values[bisect_right(self._epochs, self.epoch) - 1]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch for all processes, before the loader is iterated over.

        Raises:
            ArgumentError: It is not a whole number of at least 0.
        """
        self._epoch.fill_(checks.whole_number("epoch", epoch))

    def apply(self, pipeline: Any) -> None:
        """Set the probability of every MixUp in a pipeline, as if it had been built with it. Cheap enough to repeat.

        Args:
            pipeline: `A.Compose` or another container, however nested, or a MixUp. `reference_transform`s are left
                alone: what they mix is a part of the reference.

        Raises:
            ArgumentError: There is no MixUp in it, or one that `A.OneOrOther` applies whatever its probability.
        """
        if not _set_probability(pipeline, self.p):
            raise ArgumentError(f"pipeline must hold a MixUp for MixUpSchedule to set its p, got {type(pipeline)}")

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, for a checkpoint."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on at the epoch of a checkpoint.

        Raises:
            ArgumentError: Its epoch is not a whole number of at least 0.
        """
        self.set_epoch(state["epoch"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._epoch.share_memory_()  # a copy's; what came from another process is shared already


def _set_probability(transform: Any, p: float) -> bool:
    """Set the probability of every MixUp at or below a transform; tell whether there is one."""
    if isinstance(transform, MixUp):
        transform.p = p
        return True
    children = getattr(transform, "transforms", ())
    having = [child for child in children if _set_probability(child, p)]
    if type(transform).__name__ == "OneOrOther" and any(isinstance(child, MixUp) for child in children):
        raise ArgumentError(
            "MixUp must not be in A.OneOrOther for MixUpSchedule, got one there, where p is ignored: take A.OneOf"
        )
    if having and hasattr(transform, "transforms_ps"):  # A.OneOf chooses by shares that it took from its children's p
        total = sum(child.p for child in children)
        transform.transforms_ps = [child.p / total for child in children] if total else []
    return bool(having)
