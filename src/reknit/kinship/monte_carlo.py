"""p-values from relabellings drawn at random: exact for any number of draws.

If the statistic of the data and those of N relabellings are exchangeable, p = (1 + #{T_i >= T}) / (N + 1) has
P(p <= x) <= x for every x, however few are drawn (Barnard 1963; Phipson, Smyth 2010, doi:10.2202/1544-6115.1585).
It is never below 1 / (N + 1): that floor is a property of the test, no evidence against a smaller p.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from reknit.errors import UsageError

Relabelled = Callable[[Int[np.ndarray, "draws size"]], Float[np.ndarray, " draws"]]
BATCH = 64
CLOSE = 1e-9
"""Two statistics nearer than this, beside their size, count as equal: sums in another order round otherwise."""


@dataclass(frozen=True)
class Drawn:
    """A statistic among those of random relabellings.

    Attributes:
        statistic: of the data.
        above: how many relabellings had a larger one.
        equal: how many had the same.
        draws: N.
        mean: of the relabellings.
        deviation: of the relabellings; with the mean it describes, it does not test.
    """

    statistic: float
    above: int
    equal: int
    draws: int
    mean: float
    deviation: float

    @property
    def log10_p(self) -> float:
        """log10 (1 + #{T_i >= T}) / (N + 1)."""
        return float(np.log10((1 + self.above + self.equal) / (self.draws + 1)))

    def randomised(self, u: float) -> float:
        """A p that is exactly uniform where the hypothesis holds, with u uniform on [0, 1): for tests of the test."""
        return (self.above + u * (1 + self.equal)) / (self.draws + 1)

    @property
    def z(self) -> float:
        """How many deviations the statistic lies above the mean of the relabellings; descriptive."""
        return (self.statistic - self.mean) / self.deviation if self.deviation > 0 else 0.0


def monte_carlo(statistics: Relabelled, size: int, draws: int, rng: np.random.Generator) -> Drawn:
    """The statistic in place against those of ``draws`` random relabellings.

    Args:
        statistics: permutations, one a row, to their statistics; large is evidence.
        size: of the permutations.
        draws: N, at least 1.
        rng: draws them.

    Raises:
        UsageError: no draws are asked for.
    """
    if draws < 1:
        raise UsageError(f"{draws} relabellings tell nothing", "draws", "Ask for one at least")
    observed = float(statistics(np.arange(size)[None])[0])
    found = np.concatenate(
        [
            statistics(rng.permuted(np.tile(np.arange(size), (min(BATCH, draws - start), 1)), axis=1))
            for start in range(0, draws, BATCH)
        ]
    )
    slack = CLOSE * max(abs(observed), float(np.abs(found).max(initial=0.0)))
    above = int((found > observed + slack).sum())
    equal = int((np.abs(found - observed) <= slack).sum())
    return Drawn(observed, above, equal, draws, float(found.mean()), float(found.std()))
