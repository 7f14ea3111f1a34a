"""The published method for the order of residual blocks: a seed by norms, then swaps while the error falls.

Source: Park, "I Dropped a Neural Net" (2026), arXiv:2602.19845, and the author's script and note to it.
Variant: that of the script (neighbours forward and backward, then gaps of 2 to 5); from the delta-norm seed, on
request, the Bradley-Terry ranking first. The pairs come from ``trace_ratio`` and a linear assignment.

| paper                                     | here                                |
|-------------------------------------------|-------------------------------------|
| ||W_out||_F                               | ``norm_order``                      |
| delta_k = E_x ||r_k(x)||_2                | ``delta_norm_order``                |
| g_AB, what swapping A and B costs         | ``gains`` in ``bradley_terry_order`` |
| T                                         | ``temperature``                     |
| p(A before B) = 1 / (1 + exp(-g_AB / T))  | ``before``                          |
| bubble repair                             | ``hill_climb``                      |

Where we depart:
- A swap has to lower the error by 1e-10 of the outputs' variance, where the script wants 1e-10: the same on the puzzle
  (variance 0.85), and not a matter of units elsewhere.
- Rounds go on until one has no swap, as in the paper; the script stops after 20.
- The note gives neither T nor the rows of its delta-norms and comparisons. 2000 rows and T = 0.001 give its figures
  on the puzzle (mean squared error 0.0368 from the seed, 0.002989 after the ranking), so they are the defaults; T is
  taken in units of the outputs' variance, 0.0012 of it.
- The strengths have a weak normal prior, so that they are finite when no comparison contradicts another.
Cost: forward passes: 2 (n - 1) of 1000 rows a round, 4 n - 14 for the gaps; n (n - 1) / 2 of 2000 rows for the ranking.
Known flaws: it needs a seed that is nearly right, and the trend of norms with depth that gives one is a property of the
puzzle's network; elsewhere it stalls well above the true error. It has no way uphill, and the gaps are tried once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reknit.assembly.problem import Search
from reknit.network.stack import Arrangement, Stack
from reknit.solvers.bradley_terry import bradley_terry
from reknit.solvers.ordering import sort_by_position

LARGEST_GAP = 5
SMALLEST_GAIN = 1e-10  # of the variance of the outputs
TEMPERATURE = 0.0012  # of the variance of the outputs


def norm_order(stack: Stack, outs: Sequence[int]) -> list[int]:
    """Positions in ``outs`` sorted by the Frobenius norm of the out-layer, smallest first (for ``reordered``)."""
    return sort_by_position(np.linalg.norm(stack.out_weight[list(outs)].astype(np.float64), axis=(1, 2)))


def delta_norm_order(search: Search, arrangement: Arrangement, rows: int = 2000) -> list[int]:
    """Positions sorted by how little the block adds to the recorded inputs, E_x ||r_k(x)||_2, smallest first.

    Every block reads the inputs themselves, as if it were the first: the order is not known yet.
    """
    x, stack = search.problem.x[:rows], search.problem.stack
    added = [
        float(np.linalg.norm(stack.branch(x, inner, outer), axis=1).mean())
        for inner, outer in zip(arrangement.ins, arrangement.outs, strict=True)
    ]
    return sort_by_position(np.array(added))


def bradley_terry_order(search: Search, arrangement: Arrangement, rows: int = 2000) -> list[int]:
    """Positions sorted by Bradley-Terry strength, each pair compared by what swapping its two blocks costs.

    A pair whose swap raises the error by much is surely in order; ``temperature`` says how much is much.
    """
    n = len(arrangement)
    if n < 2:
        return list(range(n))
    here = search.problem.mse(arrangement, rows)
    gains = np.zeros((n, n))
    for a in range(n - 1):
        for b in range(a + 1, n):
            search.check_time()
            gains[a, b] = search.problem.mse(swapped(arrangement, a, b), rows) - here
            gains[b, a] = -gains[a, b]
    temperature = TEMPERATURE * max(search.problem.variance, 1e-30)
    before = np.exp(-np.logaddexp(0.0, -gains / temperature))
    return sort_by_position(-bradley_terry(before, precision=1e-6))


def hill_climb(search: Search, arrangement: Arrangement, rows: int = 1000, *, ranking: bool = False) -> Arrangement:
    """Swap blocks while that lowers the error on the first ``rows`` rows; the pairs stay as they are.

    Args:
        search: holds the problem; logs every accepted swap and the end of every round.
        arrangement: the seed: pairs, ordered by ``norm_order`` or ``delta_norm_order``.
        rows: rows on which each trial is scored, by one full forward pass.
        ranking: rank the blocks by Bradley-Terry first, on twice the rows, as the paper does from the delta-norm seed.

    Returns:
        The arrangement at which it stops, whether or not it is right.

    Raises:
        OutOfTime: the search's budget is spent; ``search.best`` holds the best arrangement so far.
    """
    climber = _Climber(search, arrangement, rows)
    search.note("start", climber.arrangement, climber.mse, rows)
    if ranking:
        climber = _Climber(search, arrangement.reordered(bradley_terry_order(search, arrangement, 2 * rows)), rows)
        search.note("ranking", climber.arrangement, climber.mse, rows)
    neighbours = range(len(arrangement) - 1)
    swaps = 1
    while swaps:
        swaps = sum(climber.swap(k, k + 1, "order") for k in [*neighbours, *reversed(neighbours)])
        search.note("round", climber.arrangement, climber.mse, rows)
    for gap in range(2, LARGEST_GAP + 1):
        for k in range(len(arrangement) - gap):
            climber.swap(k, k + gap, "gap")
    return climber.arrangement


def swapped(arrangement: Arrangement, a: int, b: int) -> Arrangement:
    """The arrangement with the blocks at two positions exchanged."""
    positions = list(range(len(arrangement)))
    positions[a], positions[b] = b, a
    return arrangement.reordered(positions)


class _Climber:
    """An arrangement, its error, and the swaps that are tried on it."""

    def __init__(self, search: Search, arrangement: Arrangement, rows: int) -> None:
        self.search, self.arrangement, self.rows = search, arrangement, rows
        self.mse = search.problem.mse(arrangement, rows)
        self.gain = SMALLEST_GAIN * search.problem.variance

    def swap(self, a: int, b: int, stage: str) -> bool:
        """Swap two positions if that lowers the error; say whether it did."""
        self.search.check_time()
        trial = swapped(self.arrangement, a, b)
        mse = self.search.problem.mse(trial, self.rows)
        if not mse < self.mse - self.gain:
            return False
        self.arrangement, self.mse = trial, mse
        self.search.note(stage, trial, mse, self.rows)
        return True
