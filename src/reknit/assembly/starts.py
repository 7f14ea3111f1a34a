"""Orders to start from, given the pairs. The outputs only say which end of a sorted order comes first.

``seriation`` uses no trend in depth: blocks that are neighbours in depth have similar Grams, so the Fiedler vector of
the Grams' similarity sorts them up to reversal; which end comes first is decided by two evaluations (see
``docs/evidence.md``). ``norm`` is the published proxy (arXiv 2602.19845), ascending ``||W_out||_F``; outside the puzzle
it is often nearly reversed, so here too both ends are tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from reknit.assembly.problem import Problem
from reknit.network.stack import Arrangement, Stack
from reknit.solvers.ordering import fiedler_order, sort_by_position

STARTS = ("seriation", "norm", "delta-norm", "random")


def _correlation(vectors: Float[np.ndarray, "blocks features"]) -> Float[np.ndarray, "blocks blocks"]:
    centred = vectors - vectors.mean(1, keepdims=True)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-30)
    return np.asarray(unit @ unit.T)


def block_similarity(stack: Stack, pairs: Sequence[tuple[int, int]]) -> Float[np.ndarray, "blocks blocks"]:
    """How alike two blocks are in stream coordinates: readers ``A^T A``, writers ``B B^T`` and products ``B A``.

    For each of the three, the correlation of the entries (off the diagonal for the Grams), negative ones cut to zero,
    divided by its largest; the sum of the three. Symmetric, in [0, 3].
    """
    ins, outs = np.array(pairs).T
    inner, outer = stack.in_weight[ins], stack.out_weight[outs]
    readers, writers = inner.transpose(0, 2, 1) @ inner, outer @ outer.transpose(0, 2, 1)
    off = ~np.eye(stack.width, dtype=bool)
    total = np.zeros((len(pairs), len(pairs)))
    for features in (readers[:, off], writers[:, off], (outer @ inner).reshape(len(pairs), stack.width**2)):
        alike = _correlation(features).clip(0)
        np.fill_diagonal(alike, 0)
        total += alike / alike.max().clip(1e-30)
    return total


def start_order(
    problem: Problem, pairs: Sequence[tuple[int, int]], start: str, generator: np.random.Generator, rows: int = 256
) -> Arrangement:
    """An arrangement of these (in-layer, out-layer) pairs in the order of the named start."""
    stack, n = problem.stack, len(pairs)
    given = Arrangement(tuple(i for i, _ in pairs), tuple(o for _, o in pairs))
    if start == "random":
        return given.reordered(generator.permutation(n).tolist())
    if start == "seriation":
        order = fiedler_order(block_similarity(stack, pairs)).tolist()
    elif start == "delta-norm":
        added = [float(np.linalg.norm(stack.branch(problem.x[:2000], i, o), axis=1).mean()) for i, o in pairs]
        order = sort_by_position(np.array(added))
    else:
        order = sort_by_position(np.linalg.norm(stack.out_weight[list(given.outs)], axis=(1, 2)))
    forward = given.reordered(order)
    return min((forward, forward.reordered(range(n)[::-1])), key=lambda a: problem.mse(a, rows))
