"""The trace of the cosines of corresponding units: for traces too faint to settle a matching.

With C the cosines of the units of A and B and D = C with row and column means taken off,

    T = sum_i D[i, i],   under a random relabelling   T_pi = sum_i D[i, pi(i)],   mean 0,  variance sum D^2 / (h - 1)

(Hoeffding, "A combinatorial central limit theorem" (1951), doi:10.1214/aoms/1177729545). The p-value is that of
``monte_carlo`` under the same assumptions as in ``fixed_points``; z = T / sqrt(variance) is shown beside it and is no
p-value. Signs matter: units of the opposite sign count against.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from reknit.kinship.monte_carlo import Drawn, monte_carlo


def linear_trace(
    c: Float[np.ndarray, "units units"],
    draws: int,
    rng: np.random.Generator,
) -> Drawn:
    """T and its relabellings; its p has the floor 1 / (draws + 1).

    Args:
        c: cosines of the units of A with those of B, two or more.
        draws: N.
        rng: draws the relabellings.

    >>> rows = np.random.default_rng(0).normal(size=(50, 20))
    >>> linear_trace(rows @ rows.T, 99, np.random.default_rng(1)).log10_p
    -2.0
    """
    d = c - c.mean(0) - c.mean(1, keepdims=True) + c.mean()
    rows = np.arange(len(d))

    def statistics(orders: Int[np.ndarray, "draws units"]) -> Float[np.ndarray, " draws"]:
        return np.asarray(d[rows, orders].sum(1))

    return monte_carlo(statistics, len(d), draws, rng)
