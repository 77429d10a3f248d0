"""Draws of a position, each position as often as its weight says."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets import RecentSamples
from alb_mixup.datasets.annotations.shared import SharedArrays
from alb_mixup.datasets.partner_weights import PartnerWeights, weights_to_draw_by
from alb_mixup.datasets.protocols import Samples
from alb_mixup.errors import ArgumentError, SampleError


@dataclass(frozen=True, eq=False)
class _Sums(SharedArrays):
    """Sums of n weights, and where each n-th of their total is reached: a search among a million looks at a handful.

    `np.searchsorted` alone takes half a microsecond longer, for memory that is in no cache.

    Attributes:
        ends: (n,) float64: sum of the weights up to and with each position.
        near: (n + 4,) int64: position where (k - 1) n-ths of the total are reached.
        scale: How many n-ths a sum of 1 is.
    """

    ends: NDArray[np.float64]
    near: NDArray[np.int64]
    scale: float

    @classmethod
    def of(cls, weights: NDArray[np.float64]) -> "_Sums":
        """Sum weights: (n,), not negative, not all 0."""
        ends, count = np.cumsum(weights), len(weights)
        near = np.searchsorted(ends, np.arange(-1, count + 3) * (ends[-1] / count))
        return cls(ends, near, count / ends.item(-1))

    def find(self, reached: float, bisect: Callable[..., int]) -> int:
        """Return the position at which a sum is reached, below the total, by either bisection."""
        bucket = int(reached * self.scale)
        # A bucket more on each side, for what this rounds.
        return bisect(self.ends, reached, self.near.item(bucket), self.near.item(bucket + 3))


class WeightedDraws(NamedTuple):
    """Draws from n positions, one of which may be left out: exactly then, by sums from both ends that leave it out.

    Attributes:
        below: Sums from the first position on.
        above: Sums from the last position on, backwards.
    """

    below: _Sums
    above: _Sums

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
        return cls(_Sums.of(weights), _Sums.of(weights[::-1]))

    def position(self, share: float, count: int, but: int | None) -> int:
        """Return the position that a uniform number falls to; never one of weight 0.

        Args:
            share: In [0, 1).
            count: How many positions there are now.
            but: Position that is left out, the others keeping their odds; None: none is.

        Raises:
            SampleError: No other position has a weight, or there are more or fewer than there were.
        """
        below, above = self.below.ends, self.above.ends
        if count != len(below):
            raise SampleError(
                f"reference must keep the {len(below):,} samples that partner_weights were made for, got {count:,}: "
                "build another MixUp"
            )
        if but is None:
            return self.below.find(share * below.item(-1), bisect_right)
        last = count - 1
        before = below.item(but - 1) if but else 0.0
        after = above.item(last - 1 - but) if but < last else 0.0
        rest = before + after
        if rest == 0:
            raise SampleError(
                "partner_weights must leave a sample to draw beside the primary itself, got 0 for all but reference"
                f"[{but}]: give another a weight, or mix primaries that the reference does not hold"
            )
        reached = share * rest
        if reached < before:
            return self.below.find(reached, bisect_right)
        # What is left, from the last position on; rounding must not lead beyond the one that is left out.
        return last - self.above.find(min(rest - reached, after), bisect_left)
