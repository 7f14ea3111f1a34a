"""Weight matching: the permutations that bring one network's weights nearest to another's, by coordinate descent.

Ainsworth, Hayase, Srinivasa, "Git Re-Basin: merging models modulo permutation symmetries" (2022, arXiv 2209.04836),
algorithm 1: given all other permutations, the best one of a group is a linear assignment; groups in random order until
nothing gains. Its cost grows as sum over groups of (units^2 x numbers per unit).

    paper            here
    P_l              the order of a group
    vec product      ``unit_similarity.similarity``
    random order     after the first sweep

Where this departs:

- *Heads.* A group may lie within another (``families``): every pair of heads is matched inside first, and the heads
  then by what that reaches.
- *The first sweep* goes from what is fixed (inputs, outputs, tokens) inwards, and counts only tensors whose other axes
  have been matched already. From the identity, the first assignments would compare units in unrelated bases. A
  permuted copy is undone in that sweep.
- Groups may be fixed; they are never moved.
- A group is not looked at again before something has moved that shares a tensor with it: it would gain nothing.
- Large tensors are compared in float32 (``unit_similarity.LARGE``); what a move gains is summed in float64.

Known flaws: a local optimum. For two networks trained apart the matching hardly lowers the distance
(docs/merging.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reknit.match.families import Family, Side, find_families
from reknit.match.unit_similarity import (
    Order,
    Weighing,
    gain,
    inner,
    match_blocks,
    reordered,
    similarity,
    weighed,
)
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.symmetry import Permutation, Symmetry
from reknit.solvers.assignment import best_matching

SWEEPS = 100
GAIN = 1e-9
"""Share of the objective that a group has to gain to be moved: less is rounding."""

Orders = dict[str, np.ndarray]


@dataclass(frozen=True)
class WeightMatching:
    """What brings the right network into the left one's basis.

    Attributes:
        symmetry: to be applied to the right network.
        objective: total similarity, in the units of the weighing.
        sweeps: over all groups, until nothing gained.
        settled: whether the last sweep gained nothing.
    """

    symmetry: Symmetry
    objective: float
    sweeps: int
    settled: bool


def match_weights(
    skeleton: Skeleton,
    left: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    *,
    weighing: Weighing = "standardised",
    start: Symmetry | None = None,
    seed: int = 0,
) -> WeightMatching:
    """Bring the right network into the left one's basis.

    Args:
        skeleton: of both.
        left: slot -> numbers; stays as it is.
        right: slot -> numbers.
        weighing: in which units tensors are compared.
        start: where to start; None: from what is fixed inwards.
        seed: of the order of groups from the second sweep on.
    """
    families = find_families(skeleton)
    used = {slot for family in families for slot in family.slots}
    a, b = ({slot: weighed(tensors[slot], weighing) for slot in used} for tensors in (left, right))
    state = _State(skeleton, a, b, _orders(start))
    if start is None:
        for family in _inwards(skeleton, families):
            state.place(family, known_only=True)
    rng = np.random.default_rng(seed)
    sweeps, gained = 0, True
    while gained and sweeps < SWEEPS:
        sweeps += 1
        gained = False
        for k in rng.permutation(len(families)):
            gained |= state.improve(families[k])
    return WeightMatching(state.symmetry, state.objective(), sweeps, not gained)


def match_rest(
    skeleton: Skeleton, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], start: Symmetry
) -> Symmetry:
    """Match by weights, once, the groups that a symmetry says nothing of."""
    families = [f for f in find_families(skeleton) if not {g.name for g in f.groups} & _orders(start).keys()]
    used = {slot for family in families for slot in family.slots}
    a, b = ({slot: weighed(tensors[slot], "standardised") for slot in used} for tensors in (left, right))
    state = _State(skeleton, a, b, _orders(start))
    for family in families:
        state.place(family, known_only=False)
    return state.symmetry


def _orders(start: Symmetry | None) -> Orders:
    return {} if start is None else {each.group: each.order for each in start.permutations}


class _State:
    """The orders so far."""

    def __init__(
        self, skeleton: Skeleton, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], orders: Orders
    ) -> None:
        self.skeleton, self.left, self.right, self.orders = skeleton, left, right, dict(orders)
        self.open = {group.name for group in skeleton.groups if not group.fixed} - orders.keys()
        self.groups_on: dict[str, set[str]] = {}
        for group in skeleton.groups:
            for member in group.members:
                self.groups_on.setdefault(member.slot, set()).add(group.name)
        self.settled: set[str] = set()
        """Groups matched by all of their slots, on which nothing has moved since: matching them again gains nothing."""

    @property
    def symmetry(self) -> Symmetry:
        return self._symmetry(())

    def _symmetry(self, without: Sequence[str]) -> Symmetry:
        kept = [Permutation(name, order) for name, order in self.orders.items() if name not in without]
        return Symmetry(self.skeleton, tuple(kept))

    def objective(self) -> float:
        moved = self.symmetry.apply(self.right)
        return sum(inner(self.left[slot], moved[slot]) for slot in self.left)

    def _others(self, family: Family, slots: Sequence[str]) -> dict[str, np.ndarray]:
        """The right tensors with all groups but this family's in their orders."""
        symmetry = self._symmetry([group.name for group in family.groups])
        return symmetry.apply({slot: self.right[slot] for slot in slots})

    def place(self, family: Family, *, known_only: bool) -> None:
        """Match a family, by the tensors alone whose other axes are matched already."""
        own = {group.name for group in family.groups}
        slots = [slot for slot in family.slots if not known_only or not (self.groups_on[slot] & self.open) - own]
        self._take(family, matched(family, self.left, self._others(family, slots), slots)[1])
        if len(slots) == len(family.slots):
            self.settled |= own
        self.open -= own

    def improve(self, family: Family) -> bool:
        """Match a family again, if that gains."""
        own = {group.name for group in family.groups}
        if own <= self.settled:
            return False
        others = self._others(family, family.slots)
        value, orders = matched(family, self.left, others, family.slots)
        gained = self._gained(family, others, orders) > GAIN * max(abs(value), 1e-300)
        if gained:
            self._take(family, orders)
        self.settled |= own
        return gained

    def _take(self, family: Family, orders: Orders) -> None:
        """Move a family; what shares a tensor with it has to be looked at again."""
        self.orders |= orders
        for slot in family.slots:
            self.settled -= self.groups_on[slot]

    def _gained(self, family: Family, others: Mapping[str, np.ndarray], orders: Orders) -> float:
        """Similarity with a family's groups in these orders less that in their present ones."""
        present = {group.name: self.orders[group.name] for group in family.groups if group.name in self.orders}
        if all(name in present and np.array_equal(order, present[name]) for name, order in orders.items()):
            return 0.0
        if family.once:
            name, size = family.outer.name, family.outer.size
            before = present[name][0] if name in present else np.arange(size)
            return gain(self.left, others, family.sides, orders[name][0], before)
        return self._value(family, others, orders) - self._value(family, others, present)

    def _value(self, family: Family, others: Mapping[str, np.ndarray], orders: Orders) -> float:
        """Similarity over a family's slots with its groups in these orders."""
        own = Symmetry(self.skeleton, tuple(Permutation(name, order) for name, order in orders.items()))
        moved = own.apply(others)
        return sum(inner(self.left[slot], moved[slot]) for slot in family.slots)


def matched(
    family: Family, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], slots: Sequence[str]
) -> tuple[float, Orders]:
    """The best orders of a family's groups by some of its slots; the identity where these say nothing."""
    if family.inner:
        return _matched_heads(family, left, right, slots)
    scores = similarity(left, right, [side for side in family.sides if side.slot in slots])
    if not scores.size:
        return 0.0, {family.outer.name: np.arange(family.outer.size)[None]}
    order = best_matching(scores)
    orders: Orders = {family.outer.name: order[None]}
    if family.once:
        return float(scores[np.arange(len(order)), order].sum()), orders
    moved = {
        slot: _reordered(right[slot], [side for side in family.sides if side.slot == slot], order) for slot in slots
    }
    return sum(inner(left[slot], moved[slot]) for slot in slots), orders


def _reordered(tensor: np.ndarray, sides: Sequence[Side], order: Order) -> np.ndarray:
    for side in sides:
        tensor = reordered(tensor, side, order)
    return tensor


def _matched_heads(
    family: Family, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], slots: Sequence[str]
) -> tuple[float, Orders]:
    """Every pair of heads inside, and then the heads."""
    heads = family.outer.size
    narrow = Family(family.outer, tuple(side for side in family.sides if side.slot in slots), family.inner)
    within = [[side for side in sides if side.slot in slots] for sides in family.inner_sides]
    told = [k for k, sides in enumerate(within) if sides]
    blocks = [[narrow.blocks(tensors, head) for head in range(heads)] for tensors in (left, right)]
    scores = np.zeros((heads, heads))
    inside: dict[tuple[int, int], list[Order]] = {}
    for first in range(heads):
        for second in [first] if family.outer.fixed else range(heads):
            scores[first, second], found = match_blocks(blocks[0][first], blocks[1][second], [within[k] for k in told])
            orders = [np.arange(group.size) for group in family.inner]
            for k, order in zip(told, found, strict=True):
                orders[k] = order
            inside[first, second] = orders
    outer = np.arange(heads) if family.outer.fixed else best_matching(scores)
    found_orders: Orders = {} if family.outer.fixed else {family.outer.name: outer[None]}
    for k, group in enumerate(family.inner):
        found_orders[group.name] = np.stack([inside[head, int(outer[head])][k] for head in range(heads)])
    return float(scores[np.arange(heads), outer].sum()), found_orders


def _inwards(skeleton: Skeleton, families: Sequence[Family]) -> list[Family]:
    """The families by how much of them is tied to what is known: always the one with most numbers to compare next."""
    groups_on: dict[str, set[str]] = {}
    for group in skeleton.groups:
        for member in group.members:
            groups_on.setdefault(member.slot, set()).add(group.name)
    open_names = {group.name for group in skeleton.groups if not group.fixed}
    left, found = list(families), []
    while left:
        known = []
        for family in left:
            own = {group.name for group in family.groups}
            tied = [slot for slot in family.slots if not (groups_on[slot] & open_names) - own]
            known.append(sum(int(np.prod(skeleton[slot].shape)) for slot in tied) / max(family.outer.size, 1))
        best = left.pop(int(np.argmax(known)))
        open_names -= {group.name for group in best.groups}
        found.append(best)
    return found
