"""Directed pairs out of one pool: every item is either the first or the second of exactly one pair.

The assignment problem when the two sides cannot be told apart beforehand: score[a, b] says how well a (as the first)
goes with b (as the second), a and b from the same 2n items, and a perfect matching of the complete graph is sought
together with a direction of every edge. The direction of an edge is the better of its two, so this is maximum-weight
perfect matching in a general graph.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def best_pairs(scores: Float[np.ndarray, "n n"]) -> list[tuple[int, int]]:
    """The pairs (first, second) of a perfect matching with a high total score; the diagonal is never used.

    The assignment relaxation is solved first: its even cycles are halved the better way, optimal for them; what lies
    on odd cycles is matched exactly among itself (networkx, Edmonds' blossoms). Exact where no odd cycle comes up,
    a lower bound otherwise; n^3 flops and n^2 numbers.

    >>> best_pairs(np.array([[0, 9, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 8, 0.0]]))
    [(0, 1), (3, 2)]
    """
    from scipy.optimize import linear_sum_assignment  # slow to load, and only a pool needs it here

    n = len(scores)
    either = np.maximum(scores, scores.T).astype(np.float64)
    np.fill_diagonal(either, either.min() - 10.0 * (np.ptp(either) + 1.0))
    successor = linear_sum_assignment(either, maximize=True)[1]
    edges: list[tuple[int, int]] = []
    left: list[int] = []
    seen = np.zeros(n, dtype=bool)
    for start in range(n):
        cycle = []
        item = start
        while not seen[item]:
            seen[item] = True
            cycle.append(item)
            item = int(successor[item])
        if len(cycle) % 2:
            left.extend(cycle)
        elif cycle:
            halves = ([(cycle[k - 1], cycle[k]) for k in range(first, len(cycle), 2)] for first in (0, 1))
            edges.extend(max(halves, key=lambda half: sum(either[a, b] for a, b in half)))
    edges.extend(_match_exactly(either, left))
    return sorted((a, b) if scores[a, b] >= scores[b, a] else (b, a) for a, b in edges)


def _match_exactly(weights: Float[np.ndarray, "n n"], items: list[int]) -> list[tuple[int, int]]:
    import networkx as nx  # slow to load, and seldom needed

    graph = nx.Graph()
    graph.add_weighted_edges_from((a, b, weights[a, b]) for k, a in enumerate(items) for b in items[k + 1 :])
    return [(a, b) for a, b in nx.max_weight_matching(graph, maxcardinality=True)]


def scale_to_pool(weights: Float[np.ndarray, "n n"], rounds: int = 60) -> Float[np.ndarray, "n n"]:
    """Scale a positive matrix until row m and column m together sum to one, for every m; the diagonal is zero.

    The relaxation of ``best_pairs``: entry [a, b] is the share of the pair (a, b). Symmetric scaling by a vector, as
    Sinkhorn's, whose fixed point it shares when the graph is bipartite.
    """
    plan = np.maximum(weights, 1e-9)
    np.fill_diagonal(plan, 0.0)
    for _ in range(rounds):
        root = 1.0 / np.sqrt(np.maximum(plan.sum(0) + plan.sum(1), 1e-300))
        plan = plan * root[:, None] * root[None, :]
    return np.asarray(plan, dtype=np.float64)
