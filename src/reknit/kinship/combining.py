"""From many tests one p-value, by what is known of how they depend on each other.

| tests | combined by | valid |
|---|---|---|
| independent: units of different groups, each test looking at groups before its own | ``fisher`` | exactly |
| any e-values | ``averaged`` | whatever their dependence |
| any p-values | ``bonferroni``, ``geometric`` | whatever their dependence |

Fisher, "Statistical methods for research workers" (1925): -2 sum ln p_i is chi-squared with 2 m degrees of freedom,
or stochastically smaller where the p_i are super-uniform; its tail is exp(-x/2) sum_{j<m} (x/2)^j / j!, here in
logarithms. Averages of e-values are e-values, and 1/e is a p-value (Markov). Geometric: e times the geometric mean of
p-values is a p-value (Vovk, Wang, "Combining p-values via averaging" (2020), doi:10.1093/biomet/asaa027).

Everything is in log10: these numbers underflow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln, logsumexp

from reknit.kinship.fixed_points import LN10


def fisher(log10_ps: Sequence[float]) -> float:
    """log10 of Fisher's p of independent tests; 0 of none.

    >>> round(fisher([-2.0]), 12), round(10 ** fisher([-1.0, -1.0]), 6)
    (-2.0, 0.056052)
    """
    if not log10_ps:
        return 0.0
    half = -sum(log10_ps) * LN10
    if half <= 0:
        return 0.0
    j = np.arange(len(log10_ps))
    return min(float(-half + logsumexp(j * np.log(half) - gammaln(j + 1))) / LN10, 0.0)


def averaged(log10_es: Sequence[float]) -> float:
    """log10 of the mean of e-values; minus infinity where all are 0, 0 of none."""
    if not log10_es:
        return 0.0
    if all(e == -np.inf for e in log10_es):
        return -np.inf
    return float(logsumexp(np.array(log10_es) * LN10) / LN10 - np.log10(len(log10_es)))


def as_p(log10_e: float) -> float:
    """log10 of the p-value that an e-value is worth, min(1, 1 / e)."""
    return min(-log10_e, 0.0)


def bonferroni(log10_ps: Sequence[float], tests: int | None = None) -> float:
    """log10 of the smallest p times the number of tests, at most 1; 0 of none."""
    if not log10_ps:
        return 0.0
    return min(min(log10_ps) + float(np.log10(len(log10_ps) if tests is None else tests)), 0.0)


def geometric(log10_ps: Sequence[float]) -> float:
    """log10 of e times the geometric mean, at most 1; 0 of none."""
    return min(float(np.mean(log10_ps)) + 1 / LN10, 0.0) if log10_ps else 0.0
