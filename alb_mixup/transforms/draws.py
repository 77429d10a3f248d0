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

_ROUNDING = 1e-6  # of an n-th: far more than float64 rounds sums and positions by


@dataclass(frozen=True, eq=False)
class _Sums(SharedArrays):
    """Sums of n weights, and where each n-th of their total is reached: a search among a million looks at a handful.

    `np.searchsorted` alone takes half a microsecond longer, for memory that is in no cache.

    Attributes:
        ends: (n + 1,) float64: sum of the first k weights.
        near: (n + 3,) int64: how many weights it takes to nearly reach k n-ths of the total.
        total: Sum of all.
        scale: How many n-ths of the total a sum of 1 is.
    """

    ends: NDArray[np.float64]
    near: NDArray[np.int64]
    total: float
    scale: float

    @classmethod
    def of(cls, weights: NDArray[np.float64]) -> "_Sums":
        """Sum weights: (n,), not negative, not all 0."""
        ends, count = np.append(0.0, np.cumsum(weights)), len(weights)
        total = ends.item(-1)
        near = np.searchsorted(ends, (np.arange(count + 3) - _ROUNDING) * (total / count))
        return cls(ends, near, total, count / total)

    def find(self, reached: float, bisect: Callable[..., int]) -> int:
        """Return how many weights it takes to reach a sum, by either bisection."""
        bucket = int(reached * self.scale)
        return bisect(self.ends, reached, self.near.item(bucket), self.near.item(bucket + 2))


class WeightedDraws(NamedTuple):
    """Draws from n positions, one of which may be left out: exactly then, by sums from both ends that leave it out.

    Attributes:
        below: Sums from the first position on.
        above: Sums from the last position on, backwards.
        weighty: How many positions have a weight.
    """

    below: _Sums
    above: _Sums
    weighty: int

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
        below = _Sums.of(weights)
        return cls(below, _Sums.of(weights[::-1]), int(np.count_nonzero(np.diff(below.ends))))

    def position(self, share: float, count: int, own: list[int]) -> int:
        """Return the position that a uniform number falls to; never one of weight 0.

        Args:
            share: In [0, 1).
            count: How many positions there are now.
            own: Positions that are not wanted. The first is left out, the others keeping their odds; where one of the
                further ones is returned, draw again.

        Raises:
            SampleError: No other position has a weight, or there are more or fewer than there were.
        """
        below, above, weighty = self
        if count != len(below.ends) - 1:
            raise SampleError(
                f"reference must keep the {len(below.ends) - 1:,} samples that partner_weights were made for, got "
                f"{count:,}: build another MixUp"
            )
        if not own:
            return below.find(share * below.total, bisect_right) - 1
        before, after = below.ends.item(own[0]), above.ends.item(count - 1 - own[0])
        rest = before + after
        if not rest or (len(own) > 1 and np.count_nonzero(below.ends[own] < below.ends[np.add(own, 1)]) == weighty):
            raise SampleError(
                "partner_weights must leave a sample to draw beside the primary itself, got 0 for all but "
                f"reference{own}: give another a weight, or mix primaries that the reference does not hold"
            )
        reached = share * rest
        if reached < before:
            return below.find(reached, bisect_right) - 1
        left = rest - reached  # from the last position on
        return count - above.find(left if left < after else after, bisect_left)  # rounding must not lead beyond
