"""How alike two representations of the same rows are, each in its own basis: linear CKA, CCA, leading subspaces.

``cka``, ``stochastic_cca`` and ``subspace`` hold the methods and their papers; here they are put to one site of two
networks, with what keeps each from being misread:

    CKA       unbiased; its 95 % interval is by the influence of rows on it (infinitesimal jackknife: Jaeckel 1972).
              With h_i(K, L) = sum_j U(K)_ij U(L)_ij, and U(K), U(L) scaled to CKA = sum_i h_i(K, L), row i moves it by
              2 h_i(K, L) - CKA (h_i(K, K) + h_i(L, L)). The positions of one row are summed before they are squared.
    CCA       the mean of squared canonical correlations, beside what unrelated rows would have, max(a, b) / (n - 1);
              nothing where there are no more positions than units.
    leading   the directions, r, whose deviation is at least .3 of the largest one's. Over the rows, the scores on the
              leading directions of both networks span subspaces of which the mean squared cosine of principal angles
              needs no common basis. Over the units, they need one: there the confidence region of the first
              network's subspace is a yardstick for the distance to the second one's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from reknit.match.cka import linear_kernel, u_centred
from reknit.match.judging import Interval
from reknit.match.stochastic_cca import exact_cca, stochastic_cca
from reknit.match.subspace import subspace_region

KERNEL = 1024
"""Positions of which kernel matrices are made."""
FEWEST_ROWS = 20
"""Rows from which an interval over rows means anything."""
EXACT_UNITS, COMPONENTS, STEPS = 1024, 64, 500
"""Units up to which CCA is exact; components and steps of the stochastic one."""
LEADING, MOST_LEADING, REGION_UNITS = 0.3, 16, 1024
DRAWS = 199
DEAD = 1e-9
"""Share of the largest deviation up to which a unit does not vary."""


@dataclass(frozen=True)
class Cca:
    """Canonical correlations of two representations, in one number.

    Attributes:
        value: mean squared canonical correlation, of ``count`` correlations; None where it would say nothing.
        chance: what unrelated representations of as many positions would have.
        how: ``exact``, or ``stochastic``: of the largest ones alone, from minibatches, at most the exact ones.
        count: of correlations.
        reason: why there is no value.
    """

    value: float | None
    chance: float
    how: str
    count: int
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return dict(vars(self))


@dataclass(frozen=True)
class Leading:
    """Leading principal directions of two representations.

    Attributes:
        rank: how many.
        share: of the variance that they carry, in the first and the second network.
        agreement: mean squared cosine of the angles between the subspaces of scores: 1 the same, 0 unrelated.
        radius: of the 95 % region for the first network's subspace of units; distances are Frobenius, of projectors.
            None where there is none (``reason``).
        vacuous: the rows do not tell which directions lead: the region holds nearly everything.
        before: distance to the second network's subspace, units as they are.
        after: the same with the second network aligned; None where it is not.
        unrelated: the root mean square of distances of random subspaces.
        reason: why there is no region.
    """

    rank: int
    share: tuple[float, float]
    agreement: float
    radius: float | None
    vacuous: bool
    before: float
    after: float | None
    unrelated: float
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {**vars(self), "share": list(self.share)}


@dataclass(frozen=True, eq=False)
class Representation:
    """What one network has at one site, rows and positions.

    Attributes:
        values: float64.
    """

    values: Float[np.ndarray, "rows positions units"]

    @property
    def flat(self) -> Float[np.ndarray, "n units"]:
        """All rows and positions, one after the other; units that do not vary are left out."""
        values = self.values.reshape(-1, self.values.shape[2])
        return values[:, self.varies]

    @cached_property
    def varies(self) -> np.ndarray:
        """Which units vary."""
        deviation = self.values.std((0, 1))
        size = np.abs(self.values).max((0, 1), initial=0.0)
        return np.asarray(deviation > DEAD * np.maximum(size, deviation.max(initial=0.0)))

    @cached_property
    def kept(self) -> tuple[Float[np.ndarray, "n units"], Int[np.ndarray, " n"]]:
        """At most ``KERNEL`` rows and positions, and the row of each."""
        kept = self.values[:KERNEL, : max(1, KERNEL // min(len(self.values), KERNEL))]
        return kept.reshape(-1, kept.shape[2]), np.repeat(np.arange(len(kept)), kept.shape[1])

    @cached_property
    def kernel(self) -> Float[np.ndarray, "n n"] | None:
        """U-centred linear kernel, of norm 1; None with fewer than 4 positions, or where nothing varies."""
        values = self.kept[0]
        if len(values) < 4 or not self.varies.any():
            return None
        centred = u_centred(linear_kernel(values))
        size = float(np.linalg.norm(centred))
        return centred / size if size > 0 else None

    @cached_property
    def principal(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of those: deviations, falling; unit vectors of scores, and directions of units, one a column."""
        values = self.kept[0] - self.kept[0].mean(0)
        if values.shape[1] <= len(values):
            squares, directions = np.linalg.eigh(values.T @ values)
            sizes = np.sqrt(np.maximum(squares, 0))
            scores = values @ directions / np.maximum(sizes, 1e-300)
        else:
            squares, scores = np.linalg.eigh(values @ values.T)
            sizes = np.sqrt(np.maximum(squares, 0))
            directions = values.T @ scores / np.maximum(sizes, 1e-300)
        return sizes[::-1], scores[:, ::-1], directions[:, ::-1]


def cka_between(first: Representation, second: Representation) -> Interval | None:
    """Unbiased linear CKA with a 95 % interval over rows (NaN with fewer than 20); None where one does not vary."""
    a, b = first.kernel, second.kernel
    if a is None or b is None:
        return None
    value = float((a * b).sum())
    moved = 2 * (a * b).sum(1) - value * ((a * a).sum(1) + (b * b).sum(1))
    by_row = np.bincount(first.kept[1], moved)
    rows = len(by_row)
    if rows < FEWEST_ROWS:
        return Interval(value, float("nan"), float("nan"))
    half = 1.96 * float(np.sqrt(np.square(by_row).sum() * rows / (rows - 1)))
    return Interval(value, value - half, min(value + half, 1.0))


def cca_between(first: Representation, second: Representation, seed: int = 0) -> Cca:
    """The mean squared canonical correlation of two representations."""
    a, b = first.flat, second.flat
    units = f"{a.shape[1]} + {b.shape[1]} units"
    chance = max(a.shape[1], b.shape[1]) / max(len(a) - 1, 1)
    if not (a.shape[1] and b.shape[1]):
        return Cca(None, 1.0, "", 0, "one of the two does not vary")
    if len(a) <= a.shape[1] + b.shape[1]:
        return Cca(None, 1.0, "", 0, f"{len(a)} rows and positions say nothing of {units}: some would correlate anyway")
    if max(a.shape[1], b.shape[1]) <= EXACT_UNITS:
        found, how = exact_cca(a, b), "exact"
    else:
        most = min(COMPONENTS, a.shape[1], b.shape[1])
        found, how = stochastic_cca(a, b, most, steps=STEPS, seed=seed), "stochastic"
    return Cca(float(np.square(found.correlations).mean()), chance, how, len(found.correlations))


def leading_between(
    first: Representation, second: Representation, aligned: Representation | None, seed: int = 0
) -> Leading | None:
    """How far the leading principal directions agree; None where one of the two does not vary."""
    (sizes, scores, units), (other_sizes, other_scores, other_units) = first.principal, second.principal
    if not (first.varies.any() and second.varies.any()):
        return None
    known, groups = first.kept
    most = min(MOST_LEADING, int(first.varies.sum()), int(second.varies.sum()), len(known) - 1)
    rank = max(1, min(int((s >= LEADING * s[0]).sum()) for s in (sizes, other_sizes)))
    rank = min(rank, most)
    share = tuple(float(np.square(s[:rank]).sum() / np.square(s).sum()) for s in (sizes, other_sizes))
    agreement = float(np.square(scores[:, :rank].T @ other_scores[:, :rank]).sum() / rank)
    before = projector_distance(units[:, :rank], other_units[:, :rank])
    after = None if aligned is None else projector_distance(units[:, :rank], aligned.principal[2][:, :rank])
    rows = int(groups.max()) + 1
    unrelated = float(np.sqrt(2 * rank * (1 - rank / known.shape[1])))
    reason = ""
    if rows < max(FEWEST_ROWS, rank + 2):
        reason = f"{rows} rows are too few"
    elif rank >= known.shape[1]:
        reason = "all directions lead"
    elif known.shape[1] > REGION_UNITS:
        reason = f"there are more than {REGION_UNITS} units"
    region = None if reason else subspace_region(known, rank, draws=DRAWS, seed=seed, groups=groups)
    radius, vacuous = (None, False) if region is None else (region.radius, region.vacuous)
    return Leading(rank, (share[0], share[1]), agreement, radius, vacuous, before, after, unrelated, reason)


def projector_distance(first: Float[np.ndarray, "d r"], second: Float[np.ndarray, "d r"]) -> float:
    """||P - P'||_F of the projectors to two spans of orthonormal columns."""
    outside = second - first @ (first.T @ second)
    return float(np.sqrt(2) * np.linalg.norm(outside))
