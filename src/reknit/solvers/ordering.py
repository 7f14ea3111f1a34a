"""Orders and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


def inversions(order: Sequence[int], reference: Sequence[int]) -> int:
    """How many pairs stand the other way round in ``order`` than in ``reference`` (Kendall's distance).

    >>> inversions([2, 0, 1], [0, 1, 2])
    2
    """
    place = {item: k for k, item in enumerate(reference)}
    positions = np.array([place[item] for item in order])
    return int(np.triu(positions[:, None] > positions[None, :], 1).sum())


def sort_by_position(positions: Float[np.ndarray, " n"]) -> list[int]:
    """The order that sorts real-valued positions; ties keep their present order."""
    return [int(k) for k in np.argsort(positions, kind="stable")]


def largest(values: Float[np.ndarray, " n"], count: int) -> list[int]:
    """Where the ``count`` largest values stand, largest first; ties keep their present order.

    >>> largest(np.array([1.0, 3.0, 2.0, 3.0]), 3)
    [1, 3, 2]
    """
    return [int(k) for k in np.argsort(-values, kind="stable")[:count]]


def moved(order: Sequence[int], source: int, target: int) -> list[int]:
    """The order with the item at ``source`` taken out and put back so that it stands at ``target``."""
    rest = list(order)
    item = rest.pop(source)
    rest.insert(target, item)
    return rest


def fiedler_order(similarity: Float[np.ndarray, "n n"]) -> Int[np.ndarray, " n"]:
    """Seriation: the order in which similar items are neighbours, up to reversal.

    Sorts by the Fiedler vector of the normalised Laplacian of a symmetric, non-negative similarity.
    Source: Atkins, Boman, Hendrickson, "A spectral algorithm for seriation and the consecutive ones problem" (1998),
    doi:10.1137/S0097539795285771. Exact for a similarity that falls with distance (Robinson) without noise.
    """
    n = len(similarity)
    if n < 3:
        return np.arange(n)
    weights = np.array(similarity, dtype=np.float64)
    np.fill_diagonal(weights, 0.0)
    root = 1.0 / np.sqrt(np.maximum(weights.sum(1), 1e-12 * max(weights.sum(), 1e-300)))
    laplacian = np.eye(n) - root[:, None] * weights * root[None, :]
    vectors = np.linalg.eigh(laplacian)[1]
    return np.argsort(vectors[:, 1] * root, kind="stable")


def contradicted(before: Float[np.ndarray, "n n"], order: Sequence[int]) -> float:
    """What an order contradicts: the sum of ``before[i, j]``, the evidence that i stands before j, over i behind j.

    >>> contradicted(np.array([[0.0, 3.0], [1.0, 0.0]]), [1, 0])
    3.0
    """
    sorted_so = np.asarray(before, dtype=np.float64)[np.ix_(order, order)]
    return float(np.tril(sorted_so, -1).sum())


def insertion_search(before: Float[np.ndarray, "n n"], start: Sequence[int] | None = None) -> list[int]:
    """Linear ordering by local search: the best single insertion is made until none lowers what is contradicted.

    The standard heuristic of the linear ordering problem; no optimum is promised (``minimum_feedback_arcs`` is exact).
    Starts from Borda's order, the items by what speaks for them less what speaks against them, unless told otherwise.
    Cost: n^2 flops and numbers an insertion.
    """
    net = np.asarray(before, dtype=np.float64)
    net = net - net.T
    order = list(start) if start is not None else sort_by_position(-net.sum(1))
    n = len(order)
    least = 1e-12 * float(np.abs(net).max(initial=0.0))
    while n > 1:
        here = net[np.ix_(order, order)]
        passed = np.concatenate([np.zeros((n, 1)), np.cumsum(here, axis=1)], axis=1)
        later = passed[:, 1:] - np.diagonal(passed, offset=1)[:, None]
        earlier = passed[:, :-1] - np.diagonal(passed)[:, None]
        # moving the item at p to q > p puts it behind those between, which contradicts here[p, p + 1 : q + 1]
        change = np.where(np.arange(n)[None, :] > np.arange(n)[:, None], later, earlier)
        source, target = divmod(int(np.argmin(change)), n)
        if not change[source, target] < -least:
            break
        order = moved(order, source, target)
    return order
