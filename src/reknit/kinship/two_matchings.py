"""Agreement of two matchings of the same units: what published tests count, and why it is no p-value by itself.

Units of A and B are matched once by their incoming and once by their outgoing weights (or by gate and up); T counts
the units that get the same partner twice (Zhu et al., "Independence Tests for Language Models" (2025), arXiv
2502.12292, take such matchings for the robust test that they call empirical). A relabelling of units moves both
matchings together, so it says nothing of the law of T. Independent networks trained on the same data find the same
features: on digits MLPs of 64 to 512 units T was 5 to 8 in the mean, up to 18, where two uniform permutations give 1
(docs/kinship.md, section 5). So here T is judged

- by ``stream_relabel``: one random relabelling of the axis that incoming and outgoing weights share, in both. Exact
  if A is independent of B and the law of A is the same for every order of that axis; blind to permutation, scale and
  sign of the units; it wants the shared axis in place, and it keeps the correlation of what comes in and goes out of
  a unit.
- or beside independent networks (``panel``).

``published_log10_p`` is what is claimed elsewhere, for the benches that show it to be wrong.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from reknit.kinship.fixed_points import cosines, log10_tail, shuffled_matching
from reknit.kinship.monte_carlo import Drawn, monte_carlo

Rows = Float[np.ndarray, "units features"]


def agreement(
    incoming: tuple[Rows, Rows], outgoing: tuple[Rows, Rows], rng: np.random.Generator, *, signed: bool = False
) -> int:
    """How many units get the same partner by what comes in and by what goes out.

    Args:
        incoming: of A and B, a unit a row, features in one order.
        outgoing: likewise.
        rng: shuffles labels before each matching.
        signed: tell units of opposite sign apart.
    """
    first, second = (_matching(*pair, rng, signed=signed) for pair in (incoming, outgoing))
    return int((first == second).sum())


def stream_relabel(
    incoming: tuple[Rows, Rows], outgoing: tuple[Rows, Rows], draws: int, rng: np.random.Generator
) -> Drawn:
    """The agreement against those where A's features are relabelled, in both by the same permutation.

    Args:
        incoming: of A and B, units x stream.
        outgoing: likewise, units x the same stream.
        draws: of relabellings; each costs two assignments.
        rng: draws them, and shuffles labels.
    """

    def statistics(orders: Int[np.ndarray, "draws features"]) -> Float[np.ndarray, " draws"]:
        return np.array(
            [
                agreement((incoming[0][:, order], incoming[1]), (outgoing[0][:, order], outgoing[1]), rng)
                for order in orders
            ],
            dtype=np.float64,
        )

    return monte_carlo(statistics, incoming[0].shape[1], draws, rng)


def published_log10_p(agreeing: int, units: int) -> float:
    """log10 P(F >= agreeing) as if the two matchings were independent and uniform. They are not: see above."""
    return log10_tail(agreeing, units)


def _matching(a: Rows, b: Rows, rng: np.random.Generator, *, signed: bool) -> Int[np.ndarray, " units"]:
    scores = cosines(a, b)
    return shuffled_matching(scores if signed else np.abs(scores), rng)
