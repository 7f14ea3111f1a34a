"""The cheapest set of arcs that meets every cycle of a directed graph, its cycles found as they are needed.

Source: Baharev, Schichl, Neumaier, Achterberg, "An exact method for the minimum feedback arc set problem" (2021),
doi:10.1145/3446429: with a variable x_e in {0, 1} for every arc, minimise ``sum w_e x_e`` such that ``sum of x_e >= 1``
over every cycle; cycles are added while the cheapest cover of those known leaves one uncovered.

Where we depart: the linear relaxation is first solved to the end. Its violated cycles are found exactly, as shortest
paths with lengths x_e (Groetschel, Juenger, Reinelt 1984, doi:10.1287/opre.32.6.1195, for dense graphs). Its duals are
a *packing*: cycles with multipliers that together load no arc beyond its weight. The sum of the multipliers is a lower
bound that plain additions verify, and mostly it equals the cost already. Only then HiGHS branches (scipy's ``milp``),
without the arcs whose reduced cost exceeds the gap: no cover that has one is better than the best known.
Cost: a round is one linear program and n shortest paths, n (m + n log n).
Known flaws: random dense graphs of more than some 40 vertices are beyond it; it then stops at its limits, with a gap.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from reknit.solvers.ordering import contradicted, insertion_search

Cycle = tuple[int, ...]
Packing = list[tuple[Cycle, float]]
"""Cycles (v_0, ..., v_k: arcs v_0 v_1, ..., v_k v_0) and their multipliers."""

VIOLATED = 1e-6
"""A cycle counts as uncovered when its arcs sum to less than one by more than this, HiGHS's own tolerance."""
EACH_ROUND, ROUNDS = 2000, 200
"""Cycles added at a time, and linear programs solved, at most."""
INFEASIBLE = 2
"""Status of ``milp``."""
SHORT = 1e-9
"""Added to every length, so that of equally violated cycles the one with fewest arcs is found."""


@dataclass(frozen=True)
class Cover:
    """An order, and what is known about every other.

    Attributes:
        order: of the vertices; the arcs that go backwards in it are the cover.
        cost: their weight.
        packing: cycles that certify a lower bound, see ``Packing``.
        bound: the largest lower bound known: of the packing, or of HiGHS's branching.
        cycles: how many cycles were looked at.
    """

    order: list[int]
    cost: float
    packing: Packing
    bound: float
    cycles: int


def topological_order(arcs: Iterable[tuple[int, int]], n: int) -> list[int] | None:
    """The vertices 0 ... n - 1 so that every arc goes forward, the smallest that may be next first; None: a cycle."""
    behind: list[list[int]] = [[] for _ in range(n)]
    waiting = [0] * n
    for a, b in arcs:
        behind[a].append(b)
        waiting[b] += 1
    ready = [v for v in range(n) if not waiting[v]]
    order = []
    while ready:
        order.append(heapq.heappop(ready))
        for b in behind[order[-1]]:
            waiting[b] -= 1
            if not waiting[b]:
                heapq.heappush(ready, b)
    return order if len(order) == n else None


def cheapest_cover(weights: Float[np.ndarray, "n n"], *, nodes: int, seconds: float, relative: float) -> Cover:
    """Cover the cycles of a graph at least cost.

    Args:
        weights: positive where there is an arc, else 0; at most one arc between two vertices.
        nodes: of HiGHS's branching at most, in each of its runs.
        seconds: at most, but for the linear program under way; infinite: however long it takes.
        relative: a gap of this share of the largest weight counts as none.
    """
    scale = float(weights.max())
    search = _Search(weights / scale, deadline=time.perf_counter() + seconds)
    search.relax()
    if search.gap > relative:
        search.branch(nodes, relative)
    packing = [(cycle, scale * y) for cycle, y in search.packing]
    return Cover(search.order, contradicted(weights, search.order), packing, scale * search.bound, len(search.cycles))


@dataclass
class _Search:
    """The cycles known so far, the best order and the best bound; weights are at most one."""

    weights: Float[np.ndarray, "n n"]
    cycles: dict[Cycle, list[int]] = field(default_factory=dict)
    packing: Packing = field(default_factory=list)
    bound: float = 0.0
    deadline: float = math.inf

    def __post_init__(self) -> None:
        self.tails, self.heads = np.nonzero(self.weights)
        self.costs = self.weights[self.tails, self.heads]
        self.number = {arc: k for k, arc in enumerate(zip(self.tails.tolist(), self.heads.tolist(), strict=True))}
        self.reduced = self.costs
        self.order = insertion_search(self.weights)
        self.cost = contradicted(self.weights, self.order)

    @property
    def gap(self) -> float:
        return self.cost - self.bound

    @property
    def packed(self) -> float:
        """The lower bound that the packing proves."""
        return sum(multiplier for _, multiplier in self.packing)

    def relax(self) -> None:
        """Solve the linear relaxation over all cycles; keep its packing."""
        from scipy.optimize import linprog  # slow to load, and an order without contradictions needs none

        fresh = self._uncovered(np.zeros(len(self.costs)))
        for _ in range(ROUNDS):
            if not fresh or time.perf_counter() > self.deadline:
                break
            self.cycles.update(fresh)
            rows = self._rows()
            found = linprog(self.costs, A_ub=-rows, b_ub=-np.ones(rows.shape[0]), bounds=(0, None), method="highs")
            if found.status != 0:
                break
            self._pack(-np.asarray(found.ineqlin.marginals))
            self._improve(np.asarray(found.x))
            fresh = self._uncovered(np.asarray(found.x))

    def branch(self, nodes: int, relative: float) -> None:
        """Solve the integer program over the cycles known, adding those it leaves, until none is left or time is up."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        while (left := self.deadline - time.perf_counter()) > 0:
            rows, allowed = self._rows(), self.reduced <= self.cost - self.packed
            limits = {"mip_rel_gap": 0.0, "node_limit": nodes} | ({"time_limit": left} if math.isfinite(left) else {})
            found = milp(
                self.costs,
                integrality=np.ones(len(self.costs)),
                bounds=Bounds(0, allowed.astype(np.float64)),
                constraints=LinearConstraint(rows, lb=1),
                options=limits,
            )
            if found.status == INFEASIBLE:  # every cover of these cycles costs at least as much as the order held
                self.bound = self.cost
                return
            bound = found.mip_dual_bound
            if bound is not None and np.isfinite(
                bound
            ):  # or, with an arc that was left out, the cost of the order held
                self.bound = max(self.bound, min(float(bound), self.cost))
            fresh: dict[Cycle, list[int]] = {}
            if found.x is not None:
                self._improve(np.asarray(found.x))
                fresh = self._uncovered(np.round(found.x))
            if self.gap <= relative or found.status != 0 or not fresh.keys() - self.cycles.keys():
                return
            self.cycles.update(fresh)

    def _rows(self) -> Any:
        from scipy.sparse import csr_array

        columns = [arc for arcs in self.cycles.values() for arc in arcs]
        ends = np.cumsum([0, *(len(arcs) for arcs in self.cycles.values())])
        return csr_array((np.ones(len(columns)), columns, ends), shape=(len(self.cycles), len(self.costs)))

    def _pack(self, multipliers: Float[np.ndarray, " cycles"]) -> None:
        """Make the duals a packing to the last bit, and keep it if it is the best so far."""
        multipliers = np.maximum(multipliers, 0.0)
        load = np.zeros(len(self.costs))
        for arcs, y in zip(self.cycles.values(), multipliers.tolist(), strict=True):
            load[arcs] += y
        share = min(1.0, float((self.costs / np.maximum(load, self.costs)).min()))
        multipliers = multipliers * share
        if multipliers.sum() > self.packed:
            self.packing = [(c, y) for c, y in zip(self.cycles, multipliers.tolist(), strict=True) if y > 0]
            self.bound = max(self.bound, float(multipliers.sum()))
            self.reduced = self.costs - share * load

    def _improve(self, chosen: Float[np.ndarray, " arcs"]) -> None:
        """Look for a better order near a cover or a fractional one."""
        rest = chosen < 0.5
        arcs = zip(self.tails[rest].tolist(), self.heads[rest].tolist(), strict=True)
        near = topological_order(arcs, len(self.weights))  # there is one if the choice is a cover
        if near is None:
            kept = self.weights.copy()
            kept[self.tails, self.heads] *= 1 - np.clip(chosen, 0, 1)
            near = insertion_search(kept)
        order = insertion_search(self.weights, near)
        cost = contradicted(self.weights, order)
        if cost < self.cost:
            self.order, self.cost = order, cost

    def _uncovered(self, chosen: Float[np.ndarray, " arcs"]) -> dict[Cycle, list[int]]:
        """The most violated cycle through every arc, most violated first."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        n = len(self.weights)
        lengths = np.maximum(chosen, 0.0) + SHORT
        graph = csr_array((lengths, (self.tails, self.heads)), shape=(n, n))
        back, previous = dijkstra(graph, return_predecessors=True)
        total = chosen + back[self.heads, self.tails]
        found: dict[Cycle, list[int]] = {}
        for arc in np.argsort(total, kind="stable").tolist():
            if total[arc] >= 1 - VIOLATED or len(found) == EACH_ROUND:
                break
            tail, head = int(self.tails[arc]), int(self.heads[arc])
            cycle = [tail]
            while cycle[-1] != head:
                cycle.append(int(previous[head, cycle[-1]]))
            cycle.reverse()
            least = cycle.index(min(cycle))
            key = tuple(cycle[least:] + cycle[:least])
            following = key[1:] + key[:1]
            found[key] = [self.number[pair] for pair in zip(key, following, strict=True)]
        return found
