"""Which pairs of many files are worth a full comparison: those whose sketches are nearest by most of their vectors.

For every kind of vector, files are ranked by how near their nearest vector of that kind is to one of a file's own (each
number scaled by its spread over the files at hand, so that what differs most does not drown the rest). A file at rank r
of n is given -log(r / n): for unrelated files about a standard exponential number for each kind, for kin much more with
each kind that their laundering left alone. The sum over kinds, from both sides, is the score of a pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from reknit.kinship.sketches import Vector

NEAREST = 12
"""Full comparisons that a file asks for."""
_CHUNK = 2**24


def likely_pairs(
    sketches: Sequence[Sequence[Vector]], *, nearest: int = NEAREST, new: Iterable[int] | None = None
) -> list[tuple[int, int]]:
    """Pairs of files to be compared in full: each file with the ``nearest`` others of the highest score.

    Args:
        sketches: the vectors of every file, of one seed.
        nearest: how many others each file asks for; with no more files than that it is all pairs.
        new: files that ask; None: all of them.

    Returns:
        Pairs with the smaller number first, sorted, each once.
    """
    count = len(sketches)
    asking = np.arange(count) if new is None else np.array(sorted(set(new)), dtype=np.int64)
    if count < 2 or not len(asking):
        return []
    scores = pair_scores(sketches, asking)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : min(nearest, count - 1)]
    pairs = {(min(a, b), max(a, b)) for a, row in zip(asking.tolist(), order.tolist(), strict=True) for b in row}
    return sorted(pairs)


def pair_scores(
    sketches: Sequence[Sequence[Vector]], asking: Int[np.ndarray, " asking"]
) -> Float[np.ndarray, "asking files"]:
    """The score of each asking file with every file; minus infinity with itself.

    Where all files ask, both directions count; where some do, their own alone.
    """
    count = len(sketches)
    scores = np.zeros((len(asking), count))
    for owners, vectors in _by_kind(sketches).values():
        distances = _nearest(owners, vectors, asking, count)
        scores += _from_ranks(distances, asking)
    if len(asking) == count:
        scores = scores + scores.T
    scores[np.arange(len(asking)), asking] = -np.inf
    return scores


def _by_kind(sketches: Sequence[Sequence[Vector]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kind -> the file of every vector, ascending, and the vectors, scaled."""
    owners: dict[str, list[int]] = {}
    found: dict[str, list[np.ndarray]] = {}
    for file, vectors in enumerate(sketches):
        for vector in vectors:
            owners.setdefault(vector.kind, []).append(file)
            found.setdefault(vector.kind, []).append(vector.numbers)
    return {kind: (np.array(owners[kind]), _scaled(np.array(found[kind], dtype=np.float64))) for kind in found}


def _scaled(vectors: np.ndarray) -> np.ndarray:
    spread = vectors.std(axis=0)
    scaled: np.ndarray = vectors / np.where(spread > 0, spread, 1)
    return scaled


def _nearest(owners: np.ndarray, vectors: np.ndarray, asking: np.ndarray, count: int) -> np.ndarray:
    """The squared distance of the nearest two vectors of each asking and each file; infinite where there is none."""
    found = np.full((len(asking), count), np.inf)
    squares = np.square(vectors).sum(1)
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    held = owners[starts]
    rows_of = dict(zip(asking.tolist(), range(len(asking)), strict=True))
    mine = np.flatnonzero(np.isin(owners, asking))
    for part in np.array_split(mine, max(1, -(-len(mine) * len(vectors) // _CHUNK))):
        distances = np.maximum(squares[part, None] + squares - 2 * vectors[part] @ vectors.T, 0)
        nearest = np.minimum.reduceat(distances, starts, axis=1)
        for row, owner in zip(nearest, owners[part].tolist(), strict=True):
            place = rows_of[owner]
            found[place, held] = np.minimum(found[place, held], row)
    return found


def _from_ranks(distances: np.ndarray, asking: np.ndarray) -> np.ndarray:
    """-log(rank / others), ties sharing their mean rank; 0 for files without such a vector, and with itself."""
    from scipy.stats import rankdata

    others = distances.copy()
    others[np.arange(len(asking)), asking] = np.inf
    known = np.isfinite(others)
    number = np.maximum(known.sum(1, keepdims=True), 1)
    ranks = rankdata(others, axis=1)
    return np.where(known, -np.log(np.minimum(ranks, number) / number), 0.0)
