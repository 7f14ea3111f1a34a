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
