"""Fixed points of the best matching of units: an exact test of independence, whatever both networks were trained on.

Rows of A and B are the incoming weights of h units each. M is the matching of the rows of A with the rows of B of the
highest total cosine. Let A be independent of B, and let the law of A be the same for every order of its units (drawn
alike, trained by an optimiser that does not know their numbers). Relabelling A by pi turns M into M o pi^-1, so M is
uniform among all h! permutations, given B and given everything in A but the labels. For F, its number of fixed points,

    P(F >= k) = sum_{j >= k} 1/j! sum_{i <= h-j} (-1)^i / i!  <=  1/k!        (rencontres numbers; de Montmort 1713)
    E[F (F-1) ... (F-k+1)] = 1   for every k <= h,   so   e = sum_k w_k (F)_k  with  w_k >= 0, sum_k w_k = 1

has expectation 1: an e-value (Vovk, Wang, "E-values: calibration, combination and applications" (2021),
doi:10.1214/20-AOS2020), which may be averaged over tests that depend on each other. Here w_k = 2^-k, the last one
doubled. Tested against enumeration of all permutations for h up to 7.

Ties (rows of zeros, equal rows) would be broken by position, that is towards the identity: both sets of rows are
shuffled before they are matched. Of more than ``MOST`` units as many are drawn, the same labels in A and in B; the
matching of these is as uniform. Cost: h^2 p multiplications and one assignment, h^3 at worst.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln, logsumexp

from reknit.solvers.assignment import best_matching

MOST = 2048
LN10 = float(np.log(10.0))


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """What the matching of two sets of rows says.

    Attributes:
        matching: of each unit of A, the unit of B it was given.
        count: F, how many were given the unit of their own label.
        size: h.
        log10_p: log10 P(F >= count) for a uniform permutation.
        log10_e: log10 of the e-value.
    """

    matching: Int[np.ndarray, " units"]
    count: int
    size: int
    log10_p: float
    log10_e: float

    @property
    def share(self) -> float:
        """Of the units, how many are in place; chance is 1 / size."""
        return self.count / max(self.size, 1)


def fixed_points(
    a: Float[np.ndarray, "units features"], b: Float[np.ndarray, "units features"], rng: np.random.Generator
) -> FixedPoints:
    """Match the rows of A with those of B by cosine, and count those in place.

    Args:
        a: incoming weights, one unit a row; features in the same order in A and B have the most power.
        b: of the same shape.
        rng: shuffles the labels.

    >>> rows = np.eye(6)
    >>> found = fixed_points(rows, rows, np.random.default_rng(0))
    >>> found.count, round(10**found.log10_p * 720)
    (6, 1)
    """
    if len(a) > MOST:
        kept = np.sort(rng.choice(len(a), MOST, replace=False))
        a, b = a[kept], b[kept]
    return fixed_points_of(cosines(a, b), rng)


def fixed_points_of(scores: Float[np.ndarray, "units units"], rng: np.random.Generator) -> FixedPoints:
    """The same of cosines that are at hand."""
    matching = shuffled_matching(scores, rng)
    size = len(matching)
    count = int((matching == np.arange(size)).sum())
    return FixedPoints(matching, count, size, log10_tail(count, size), log10_e_value(count, size))


def cosines(a: Float[np.ndarray, "n features"], b: Float[np.ndarray, "m features"]) -> Float[np.ndarray, "n m"]:
    """Cosine of every row of A with every row of B; 0 with a row of zeros."""
    return np.asarray(unit_rows(a) @ unit_rows(b).T)


def unit_rows(rows: Float[np.ndarray, "n features"]) -> Float[np.ndarray, "n features"]:
    """Rows of length 1; rows of zeros stay."""
    wide = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(norms > 0, norms, 1.0))


def shuffled_matching(scores: Float[np.ndarray, "h h"], rng: np.random.Generator) -> Int[np.ndarray, " h"]:
    """The best matching, found after rows and columns were shuffled: ties know nothing of the labels."""
    rows, columns = rng.permutation(len(scores)), rng.permutation(len(scores))
    found = best_matching(scores[np.ix_(rows, columns)])
    matching = np.empty(len(scores), dtype=np.int64)
    matching[rows] = columns[found]
    return matching


def log10_tail(count: int, size: int) -> float:
    """log10 P(F >= count) of a uniform permutation of ``size`` units.

    >>> [round(10**log10_tail(k, 4) * 24) for k in range(5)]
    [24, 15, 7, 1, 1]
    """
    if count <= 0:
        return 0.0
    return min(float(logsumexp(_log_chances(size)[count:])) / LN10, 0.0)


def log10_chance(count: int, size: int) -> float:
    """log10 P(F = count); minus infinity for ``size - 1``, which no permutation has."""
    return float(_log_chances(size)[count]) / LN10


def _log_chances(size: int) -> Float[np.ndarray, " counts"]:
    """ln P(F = j) for j = 0 .. size."""
    terms = np.where(np.arange(size + 1) % 2, -1.0, 1.0) * np.exp(-gammaln(np.arange(size + 1) + 1))
    deranged = np.cumsum(terms)  # of m units, the share of permutations that leave none in place
    if size >= 1:
        deranged[1] = 0.0  # exactly
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(deranged[::-1]) - gammaln(np.arange(size + 1) + 1))


def log10_e_value(count: int, size: int) -> float:
    """log10 of sum_k w_k (F)_k with w_k = 2^-k and w_size doubled; minus infinity where nothing is in place.

    >>> round(10**log10_e_value(2, 3), 6)  # 2/2 + 2/4
    1.5
    """
    if count <= 0:
        return -np.inf
    k = np.arange(1, count + 1)
    logs = gammaln(count + 1) - gammaln(count - k + 1) - k * np.log(2.0)
    if count == size:
        logs[-1] += np.log(2.0)
    return float(logsumexp(logs)) / LN10
