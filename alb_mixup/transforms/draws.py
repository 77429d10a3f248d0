"""Draws of a position, each position as often as its weight says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets import RecentSamples
from alb_mixup.datasets.annotations.shared import SharedArrays
from alb_mixup.datasets.partner_weights import PartnerWeights, weights_to_draw_by
from alb_mixup.datasets.protocols import Samples
from alb_mixup.errors import ArgumentError, SampleError


@dataclass(frozen=True, eq=False)
class WeightedDraws(SharedArrays):
    """Draws from n positions, one of which may be left out: exactly then, by sums from both ends that leave it out.

    Attributes:
        below: (n,) float64: sum of the weights up to and with each position, from the first on.
        above: (n,) float64: the same from the last on, backwards.
    """

    below: NDArray[np.float64]
    above: NDArray[np.float64]

    @classmethod
    def by(cls, law: PartnerWeights, samples: Samples | None) -> "WeightedDraws":
        """Build them of what a law makes of samples.

        Raises:
            ArgumentError: The law does not fit the samples, or these do not stay where they are.
        """
        if samples is None or isinstance(samples, RecentSamples):
            got = "none" if samples is None else "RecentSamples"
            raise ArgumentError(
                f"partner_weights must come with a reference whose samples stay where they are, got {law!r} with "
                f"{got}: hold a dataset, MixUp(dataset, partner_weights=...), or leave them out"
            )
        weights = weights_to_draw_by(law, samples)
        return cls(np.cumsum(weights), np.cumsum(weights[::-1]))

    def position(self, share: float, count: int, but: int | None) -> int:
        """Return the position that a uniform number falls to; never one of weight 0.

        Args:
            share: In [0, 1).
            count: How many positions there are now.
            but: Position that is left out, the others keeping their odds; None: none is.

        Raises:
            SampleError: No other position has a weight, or there are more or fewer than there were.
        """
        if count != len(self.below):
            raise SampleError(
                f"reference must keep the {len(self.below):,} samples that partner_weights were made for, got {count:,}"
                ": build another MixUp"
            )
        # `item`, and no NumPy scalars, whose arithmetic takes longer than the search (benchmarks/RESULTS.md, "Laws")
        if but is None:
            return int(self.below.searchsorted(share * self.below.item(-1), "right"))
        last = count - 1
        before = self.below.item(but - 1) if but else 0.0
        after = self.above.item(last - 1 - but) if but < last else 0.0
        rest = before + after
        if rest == 0:
            raise SampleError(
                "partner_weights must leave a sample to draw beside the primary itself, got 0 for all but reference"
                f"[{but}]: give another a weight, or mix primaries that the reference does not hold"
            )
        reached = share * rest
        if reached < before:
            return int(self.below.searchsorted(reached, "right"))
        # What is left, from the last position on; rounding must not lead beyond the one that is left out.
        return last - int(self.above.searchsorted(min(rest - reached, after), "left"))
