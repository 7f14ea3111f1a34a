"""The order that contradicts the least of what is known about who stands before whom, with its certificate or its gap.

Given ``before[i, j]``, the evidence that i stands before j, an order pays ``before[i, j]`` for every i behind j. The
cheapest order is the linear ordering problem; the arcs it contradicts are a minimum feedback arc set. Solved exactly:
pairs pay their lighter side, the rest falls into strongly connected components, ``arc_reductions`` shrinks them and
``cycle_cover`` solves what is left with linear and integer programs (HiGHS).

Source: Baharev, Schichl, Neumaier, Achterberg, "An exact method for the minimum feedback arc set problem" (2021),
doi:10.1145/3446429; Groetschel, Juenger, Reinelt, "A cutting plane algorithm for the linear ordering problem" (1984),
doi:10.1287/opre.32.6.1195. Where we depart is said there, file by file.

The certificate is a packing: cycles with multipliers that together load no arc beyond its weight. Every order
contradicts an arc of every cycle, so no order costs less than the multipliers' sum; ``packing_bound`` checks that
by additions alone. Where the linear relaxation is not tight, the bound is HiGHS's word, and where limits end it a gap
stays. Cost: exponential at worst; see ``cycle_cover`` for what is out of reach.
Use ``insertion_search`` where a good order is enough, ``bradley_terry`` where strengths are wanted and not an order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.errors import UsageError
from reknit.solvers.arc_reductions import Cancelled, Contracted, reduce, restored_order, restored_packing
from reknit.solvers.cycle_cover import Packing, cheapest_cover, topological_order
from reknit.solvers.ordering import contradicted

NODES = 2000
"""Of HiGHS's branching, in each run: a limit that every machine reaches at the same place."""
TIGHT = 1e-6
"""A gap of this share of the largest weight is HiGHS's tolerance, and counts as none."""


@dataclass(frozen=True)
class FeedbackArcs:
    """The best order found, and what bounds every other.

    Attributes:
        order: items, first to last.
        cost: the evidence it contradicts, in the units of the evidence.
        lower_bound: no order costs less; at most ``cost``.
        packing_bound: the part of that bound which ``packing`` proves; the rest is HiGHS's word.
        packing: cycles of net evidence (``before - before.T``, where positive) with their multipliers.
        arcs: the pairs (i, j) with i behind j in the order although more speaks for i before j than against.
        tolerance: HiGHS's, in the units of the evidence: a smaller gap counts as none.
        components: how many strongly connected components had a contradiction.
        contracted: vertices taken out by reductions.
        cycles: how many cycles the programs looked at.
    """

    order: tuple[int, ...]
    cost: float
    lower_bound: float
    packing_bound: float
    packing: tuple[tuple[tuple[int, ...], float], ...]
    arcs: tuple[tuple[int, int], ...]
    tolerance: float
    components: int
    contracted: int
    cycles: int

    @property
    def gap(self) -> float:
        """By how much a better order might cost less; not negative."""
        return self.cost - self.lower_bound

    @property
    def optimal(self) -> bool:
        """There is no gap."""
        return self.gap <= self.tolerance

    @property
    def proven(self) -> bool:
        """Optimal, and the packing alone says so."""
        return self.cost - self.packing_bound <= self.tolerance


def minimum_feedback_arcs(
    before: Float[np.ndarray, "n n"], *, nodes: int = NODES, seconds: float = math.inf
) -> FeedbackArcs:
    """The order that contradicts least, by a certificate or up to a gap.

    Args:
        before: evidence that i stands before j, finite; negative is evidence against. The diagonal is left aside.
        nodes: of branching at most, in each run of HiGHS; more narrow the gap where one is left.
        seconds: at most for each component, but for the linear program under way. An answer with a gap may then depend
            on the machine.

    Raises:
        UsageError: the evidence is not square, or not finite.

    Three items that beat each other in a circle, 1 before 2 least surely:

    >>> found = minimum_feedback_arcs(np.array([[0, 5.0, 0], [0, 0, 2.0], [3.0, 0, 0]]))
    >>> found.order, found.cost, found.arcs, found.proven
    ((2, 0, 1), 2.0, ((1, 2),), True)
    """
    evidence = np.array(before, dtype=np.float64)
    if evidence.ndim != 2 or len(evidence) != evidence.shape[-1] or not np.isfinite(evidence).all():
        fault = f"evidence of shape {evidence.shape} is not one finite number for every ordered pair"
        raise UsageError(fault, "before", "Give a square matrix without NaN and infinity")
    np.fill_diagonal(evidence, 0.0)
    net = np.maximum(evidence - evidence.T, 0.0)
    scale = float(net.max(initial=0.0))
    counts = _Counts()
    order, packing, bound = _solve(net, (nodes, seconds), counts)
    cost = contradicted(evidence, order)
    proven = min(packing_bound(evidence, packing), cost)
    settled = float(np.triu(np.minimum(evidence, evidence.T), 1).sum())
    place = np.argsort(np.array(order, dtype=np.intp))
    back = np.argwhere((net > 0) & (place[:, None] > place[None, :]))
    entangled = sum(len(members) > 1 for members in components(net))
    return FeedbackArcs(
        order=tuple(order),
        cost=cost,
        lower_bound=min(max(settled + bound, proven), cost),
        packing_bound=proven,
        packing=tuple(packing),
        arcs=tuple((int(a), int(b)) for a, b in back),
        tolerance=TIGHT * scale * max(entangled, 1),
        components=entangled,
        contracted=counts.contracted,
        cycles=counts.cycles,
    )


def packing_bound(
    before: Float[np.ndarray, "n n"], packing: Packing | tuple[tuple[tuple[int, ...], float], ...]
) -> float:
    """The lower bound that a packing proves, by additions alone: what every pair pays anyhow, and the multipliers.

    Multipliers that load an arc beyond its net weight by more than rounding are scaled down until they do not, so
    whatever is given, no order contradicts less than what is returned (but for rounding).
    """
    evidence = np.asarray(before, dtype=np.float64)
    net = np.maximum(evidence - evidence.T, 0.0)
    load = np.zeros_like(net)
    total = 0.0
    for cycle, multiplier in packing:
        total += max(multiplier, 0.0)
        for tail, head in zip(cycle, cycle[1:] + cycle[:1], strict=True):
            load[tail, head] += max(multiplier, 0.0)
    loaded = load > 0
    share = float((net[loaded] / load[loaded]).min(initial=1.0))
    return float(np.triu(np.minimum(evidence, evidence.T), 1).sum()) + total * share


@dataclass
class _Counts:
    contracted: int = 0
    cycles: int = 0


def _solve(
    weights: Float[np.ndarray, "n n"], limits: tuple[int, float], counts: _Counts
) -> tuple[list[int], Packing, float]:
    """Order, packing and lower bound of a graph with at most one arc between two vertices, component by component."""
    order, packing, bound = list[int](), Packing(), 0.0
    for members in components(weights):
        if len(members) > 1:
            inside, cycles, least = _within(weights[np.ix_(members, members)], limits, counts)
            order += [members[v] for v in inside]
            packing += [(tuple(members[v] for v in cycle), multiplier) for cycle, multiplier in cycles]
            bound += least
        else:
            order += members
    return order, packing, bound


def _within(
    weights: Float[np.ndarray, "n n"], limits: tuple[int, float], counts: _Counts
) -> tuple[list[int], Packing, float]:
    """The same of one component: reduced, and what is left of it solved."""
    shrunk = weights.copy()
    done = reduce(shrunk)
    if not done:
        cover = cheapest_cover(weights, nodes=limits[0], seconds=limits[1], relative=TIGHT)
        counts.cycles += cover.cycles
        return cover.order, cover.packing, cover.bound
    gone = {step.v for step in done if isinstance(step, Contracted)}
    left = [v for v in range(len(weights)) if v not in gone]
    counts.contracted += len(gone)
    inside, cycles, bound = _solve(shrunk[np.ix_(left, left)], limits, counts)
    order = restored_order([left[v] for v in inside], done)
    packing = restored_packing([(tuple(left[v] for v in cycle), y) for cycle, y in cycles], done)
    return order, packing, bound + sum(step.weight for step in done if isinstance(step, Cancelled))


def components(weights: Float[np.ndarray, "n n"]) -> list[list[int]]:
    """The strongly connected components, each sorted, in an order in which all arcs between them go forward."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if not len(weights):
        return []
    count, labels = connected_components(csr_array(weights > 0), connection="strong")
    sets = sorted(np.flatnonzero(labels == label).tolist() for label in range(count))
    place = np.empty(len(weights), dtype=np.intp)
    for k, members in enumerate(sets):
        place[members] = k
    between = {(a, b) for a, b in place[np.argwhere(weights > 0)].tolist() if a != b}
    order = topological_order(between, len(sets))
    assert order is not None  # noqa: S101  (components have no cycle between them)
    return [sets[k] for k in order]
