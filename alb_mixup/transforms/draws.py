"""Draws of a position, each position as often as its weight says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.shared import SharedArrays
from alb_mixup.errors import SampleError


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
    def by(cls, weights: NDArray[np.float64]) -> "WeightedDraws":
        """Build them of weights: (n,), not negative, not all 0, the largest 1."""
        return cls(np.cumsum(weights), np.cumsum(weights[::-1]))

    def __len__(self) -> int:
        return len(self.below)

    def position(self, share: float, but: int | None) -> int:
        """Return the position that a uniform number falls to; never one of weight 0.

        Args:
            share: In [0, 1).
            but: Position that is left out, the others keeping their odds; None: none is.

        Raises:
            SampleError: No other position has a weight.
        """
        count = len(self.below)
        before = self.below[-1] if but is None else self.below[but - 1] if but else 0.0
        after = 0.0 if but is None or but == count - 1 else self.above[count - 2 - but]
        rest = before + after
        if rest == 0:
            raise SampleError(
                f"partner_weights must leave a sample to draw beside the primary itself, got 0 for all but reference"
                f"[{but}]: give another a weight, or mix primaries that the reference does not hold"
            )
        reached = share * rest
        if reached < before:
            return int(self.below.searchsorted(reached, "right"))
        # What is left, from the last position on; rounding must not lead beyond the one that is left out.
        return count - 1 - int(self.above.searchsorted(min(rest - reached, after), "left"))
