"""One-to-one assignment: the best matching, how sure each edge is, and its soft relaxation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def best_matching(scores: Float[np.ndarray, "n n"]) -> Int[np.ndarray, " n"]:
    """The column given to each row in the matching of the highest total score.

    Where the best columns of all rows differ there is nothing to solve.

    >>> best_matching(np.array([[1.0, 2.0], [0.0, 3.0]])).tolist()
    [0, 1]
    """
    best: Int[np.ndarray, " n"] = scores.argmax(1) if len(scores) else np.empty(0, dtype=np.int64)
    if len(set(best.tolist())) == len(best):
        return best
    from scipy.optimize import linear_sum_assignment  # takes longer to load than all that is needed of numpy

    return np.asarray(linear_sum_assignment(scores, maximize=True)[1], dtype=np.int64)


def edge_margins(scores: Float[np.ndarray, "n n"], columns: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Each chosen score minus its best rival's, in its row and its column; in the units of the scores.

    Negative where the matching as a whole overrules a single edge; infinite when there is no rival (n = 1).

    >>> edge_margins(np.array([[5.0, 2.0], [1.0, 4.0]]), np.array([0, 1])).tolist()
    [3.0, 2.0]
    """
    rows = np.arange(len(scores))
    chosen = scores[rows, columns]
    rivals = scores.astype(np.float64, copy=True)
    rivals[rows, columns] = -np.inf
    best = np.maximum(rivals.max(1), rivals.max(0)[columns])
    return np.asarray(chosen - best, dtype=np.float64)


def doubly_standardised(scores: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Scores with row and column means taken off and row and column deviations divided out; overall deviation 1.

    A score that rates some rows or columns higher throughout says nothing about who belongs to whom; this removes it.
    A constant matrix becomes zero.
    """
    centred = scores - scores.mean(0, keepdims=True) - scores.mean(1, keepdims=True) + scores.mean()
    tiny = np.finfo(np.float64).tiny
    total = centred.std()
    if len(scores) < 2 or total <= 1e-12 * (np.abs(scores).max() + tiny):
        return np.zeros_like(centred)
    rows = np.maximum(centred.std(1, keepdims=True), 1e-9 * total)
    columns = np.maximum(centred.std(0, keepdims=True), 1e-9 * total)
    scaled = centred / rows / columns
    return np.asarray(scaled / scaled.std(), dtype=np.float64)


def sinkhorn(weights: Float[np.ndarray, "n n"], rounds: int = 50) -> Float[np.ndarray, "n n"]:
    """Scale a positive matrix until its rows and columns sum to one (columns exactly; rows to within the rounds).

    A fixed number of plain rounds, for weights that a search draws thousands of times: they need not converge. A plan
    that has to be one, to a tolerance and at a small epsilon, is ``solvers.sinkhorn``'s.

    Source: Sinkhorn, "A relationship between arbitrary positive matrices and doubly stochastic matrices" (1964),
    doi:10.1214/aoms/1177703591.
    """
    plan = np.maximum(weights, 1e-9)
    for _ in range(rounds):
        plan = plan / plan.sum(1, keepdims=True)
        plan = plan / plan.sum(0, keepdims=True)
    return np.asarray(plan, dtype=np.float64)
