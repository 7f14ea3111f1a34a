"""Subspaces: angles between them, leading singular directions of two matrices, and how sure a principal subspace is.

Principal angles: Bjorck and Golub 1973, doi:10.1090/S0025-5718-1973-0348991-3 (scipy's, by sines where small).

Confidence regions: Naumov, Spokoiny and Ulyanov 2017, "Bootstrap confidence sets for spectral projectors of sample
covariance", arXiv 1703.00871. The rows are weighted by w_i ~ N(1, 1), drawn anew each time, and the top-r projector P*
of the weighted covariance is compared with the sample's, P^. The level-quantile of n ||P* - P^||_F^2 is that of
n ||P^ - P||_F^2, up to an error that falls with the rows and the gap of the spectrum, and needs neither the
distribution nor the gap to be known:

    region = { P : ||P^ - P||_F <= radius }

Departures: rows are centred by their mean, which the paper takes to be zero; rows that belong together (positions of
one input) share a weight, so that groups of rows are what is drawn; and with more than 64 columns P* is taken to first
order in its difference from P^, which is what the paper's proof compares,

    ||P* - P^||_F^2 ~ 2 sum over i <= r < j of  (u_i' S* u_j)^2 / (l_i - l_j)^2

with u, l the sample's eigenvectors and eigenvalues and S* the weighted covariance: it needs no decomposition for each
draw, and has no bound where the exact distance has one. How often such regions hold the truth is
measured in docs/cards/representations.md. Where the gap is small for the rows the radius nears the distance of random
subspaces (``vacuous``): then the region says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from reknit.errors import InputError, UsageError

BLOCK = 2**24
"""Numbers held at a time by the bootstrap."""
EXACT = 64
"""Columns up to which every draw of the bootstrap is decomposed."""


def principal_angles(first: Float[np.ndarray, "d a"], second: Float[np.ndarray, "d b"]) -> Float[np.ndarray, " angles"]:
    """The angles between the column spaces of two matrices of full column rank, in radians, rising.

    Raises:
        InputError: the columns are of different lengths, or numbers are not finite.

    >>> principal_angles(np.eye(3)[:, :2], np.eye(3)[:, 1:]).round(6).tolist()
    [0.0, 1.570796]
    """
    from scipy.linalg import subspace_angles

    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        problem = f"columns of shapes {first.shape} and {second.shape} do not lie in one space"
        raise InputError(problem, "subspaces", "Give matrices with the same number of rows")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("not every number is finite", "subspaces", "Leave this matrix out")
    if not first.size or not second.size:
        return np.zeros(0)
    return np.asarray(subspace_angles(first, second)[::-1], dtype=np.float64)


@dataclass(frozen=True)
class Agreement:
    """How far the leading singular directions of two matrices span the same spaces.

    Attributes:
        left: mean squared cosine of the principal angles of the top left singular vectors: 1 the same, 0 orthogonal.
        right: of the right ones.
        left_chance: what random subspaces would have: rank / rows.
        right_chance: rank / columns.
    """

    left: float
    right: float
    left_chance: float
    right_chance: float


def leading_agreement(first: Float[np.ndarray, "m n"], second: Float[np.ndarray, "m n"], rank: int) -> Agreement:
    """Of the top ``rank`` singular directions of two matrices of one shape.

    Vectors of equal singular values may be turned into one another, and so may all that lie inside the rank: the
    measure is of spans. Where singular values at the rank are nearly equal, so is the choice of the span.

    Raises:
        InputError: the shapes differ, or numbers are not finite.
        UsageError: the rank is not between 1 and the smaller side.
    """
    if first.shape != second.shape or first.ndim != 2:
        problem = f"matrices of shapes {first.shape} and {second.shape} are not comparable"
        raise InputError(problem, "matrices", "Give two of one shape")
    if not 1 <= rank <= min(first.shape):
        problem = f"a matrix of shape {first.shape} has no {rank} leading directions"
        raise UsageError(problem, "rank", f"Give 1 to {min(first.shape)}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("not every number is finite", "matrices", "Leave this matrix out")
    (u, _, v), (u2, _, v2) = (np.linalg.svd(w, full_matrices=False) for w in (first, second))
    left = float(np.square(u[:, :rank].T @ u2[:, :rank]).sum()) / rank
    right = float(np.square(v[:rank] @ v2[:rank].T).sum()) / rank
    return Agreement(left, right, rank / len(first), rank / first.shape[1])


@dataclass(frozen=True)
class SubspaceRegion:
    """A confidence region for a principal subspace.

    Attributes:
        basis: the sample's top directions, orthonormal columns.
        distances: of projectors, ||P* - P^||_F, one for each draw of the bootstrap, rising.
        level: the nominal rate at which such regions hold the truth, in (0, 1).
        gap: of the sample's eigenvalues at the rank, as a share of the largest.

    Raises:
        UsageError: no such level.
    """

    basis: Float[np.ndarray, "d rank"]
    distances: Float[np.ndarray, " draws"]
    level: float
    gap: float

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise UsageError(f"there is no region of level {self.level}", "level", "Give one between 0 and 1")

    def at(self, level: float) -> SubspaceRegion:
        """The region of another level, from the same draws."""
        return replace(self, level=level)

    @property
    def radius(self) -> float:
        """In Frobenius distance of projectors: sqrt(2) times the root of the summed squared sines."""
        draws = len(self.distances)
        return float(self.distances[min(int(np.ceil(self.level * (draws + 1))), draws) - 1])

    @property
    def vacuous(self) -> bool:
        """The region reaches four fifths of the root mean square distance of random subspaces, or farther."""
        d, rank = self.basis.shape
        return bool(self.radius >= 0.8 * np.sqrt(2 * rank * (1 - rank / d)))

    def distance(self, basis: Float[np.ndarray, "d rank"]) -> float:
        """||P^ - P||_F to the span of these columns."""
        sines = np.sin(principal_angles(self.basis, basis))
        return float(np.sqrt(2 * np.square(sines).sum()))

    def __contains__(self, basis: Float[np.ndarray, "d rank"]) -> bool:
        return self.distance(basis) <= self.radius


def subspace_region(
    x: Float[np.ndarray, "rows d"],
    rank: int,
    *,
    level: float = 0.95,
    draws: int = 500,
    seed: int = 0,
    groups: Int[np.ndarray, " rows"] | None = None,
) -> SubspaceRegion:
    """A region for the span of the top ``rank`` eigenvectors of the covariance that the rows were drawn with.

    Args:
        x: rows, independent of one another, or of those of other groups.
        rank: of the subspace, below d.
        level: in (0, 1).
        draws: of the bootstrap.
        seed: of its weights.
        groups: a label a row; None: each is a group of its own.

    Raises:
        UsageError: rank, level or draws out of range.
        InputError: fewer than rank + 2 groups, or numbers that are not finite.
    """
    if not 1 <= rank < x.shape[1] or draws < 1:
        problem = f"there is no region for {rank} of {x.shape[1]} directions from {draws} draws"
        raise UsageError(problem, "rank", "Give a rank of 1 to below the width, and a draw or more")
    member = np.arange(len(x)) if groups is None else np.unique(groups, return_inverse=True)[1]
    known = int(member.max(initial=-1)) + 1
    if known < rank + 2 or not np.isfinite(x).all():
        raise InputError(f"{known} rows are too few, or not finite", "rows", f"Give {rank + 2} or more finite ones")
    centred = np.asarray(x, dtype=np.float64) - x.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    rng = np.random.default_rng(seed)
    if x.shape[1] <= EXACT:
        distances = _bootstrap(centred, member, vectors[:, -rank:], draws, rng)
    else:
        distances = _first_order(centred @ vectors, member, values, rank, draws, rng)
    gap = float((values[-rank] - values[-rank - 1]) / max(values[-1], np.finfo(np.float64).tiny))
    return SubspaceRegion(vectors[:, -rank:], np.sort(distances), level, gap)


def _weights(rng: np.random.Generator, draws: int, member: np.ndarray) -> Float[np.ndarray, "draws rows"]:
    """N(1, 1) for each group."""
    return np.asarray(rng.normal(1, 1, size=(draws, int(member.max()) + 1))[:, member])


def _bootstrap(
    centred: np.ndarray, member: np.ndarray, basis: np.ndarray, draws: int, rng: np.random.Generator
) -> Float[np.ndarray, " draws"]:
    """||P* - P^||_F for each draw of the weights."""
    rows, d = centred.shape
    rank = basis.shape[1]
    found = []
    each = max(1, BLOCK // (d * max(rows, d)))
    for start in range(0, draws, each):
        weights = _weights(rng, min(each, draws - start), member)
        covariances = np.matmul((weights[:, :, None] * centred).transpose(0, 2, 1), centred) / rows
        top = np.linalg.eigh(covariances)[1][:, :, -rank:]
        shared = np.square(np.matmul(basis.T, top)).sum((1, 2))
        found.append(np.sqrt(np.maximum(2 * (rank - shared), 0)))
    return np.concatenate(found)


def _first_order(
    scores: np.ndarray, member: np.ndarray, values: np.ndarray, rank: int, draws: int, rng: np.random.Generator
) -> Float[np.ndarray, " draws"]:
    """The same to first order; ``scores`` are the rows in the coordinates of the eigenvectors, of rising values."""
    top, rest = scores[:, -rank:], scores[:, :-rank]
    gaps = np.maximum(values[-rank:, None] - values[:-rank], np.finfo(np.float64).tiny)
    found = []
    for _ in range(draws):
        couplings = (top * _weights(rng, 1, member)[0][:, None]).T @ rest / len(scores)
        found.append(np.sqrt(2 * np.square(couplings / gaps).sum()))
    return np.array(found)
