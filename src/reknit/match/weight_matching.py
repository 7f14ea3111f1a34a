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
- *Again.* Where units meet themselves on two axes of a tensor, or heads hold what is permuted on its own, where that
  sweep ends depends on the order that units came in. There it starts anew from what it found, until that gains nothing,
  so that matching what was matched leaves it as it is.
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

from reknit.match.families import Family, find_families
from reknit.match.family_matching import Orders, matched
from reknit.match.unit_similarity import Weighing, gain, inner, weighed
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.symmetry import Permutation, Symmetry

SWEEPS = 100
GAIN = 1e-9
"""Share of the objective that a group has to gain to be moved: less is rounding."""


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
    if start is not None:
        return _descended(_State(skeleton, a, b, _orders(start)), families, seed)
    if all(family.once for family in families):  # one assignment after the other, whatever order units came in
        return _descended(_placed(_State(skeleton, a, b, {}), families), families, seed)
    return _matched_again(skeleton, a, b, families, seed)


def _placed(state: _State, families: Sequence[Family]) -> _State:
    for family in _inwards(state.skeleton, families):
        state.place(family, known_only=True)
    return state


def _descended(state: _State, families: Sequence[Family], seed: int) -> WeightMatching:
    """Sweeps until nothing gains."""
    rng = np.random.default_rng(seed)
    sweeps, gained = 0, True
    while gained and sweeps < SWEEPS:
        sweeps += 1
        gained = False
        for k in rng.permutation(len(families)):
            gained |= state.improve(families[k])
    return WeightMatching(state.symmetry, state.objective(), sweeps, not gained)


def _matched_again(
    skeleton: Skeleton,
    left: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    families: Sequence[Family],
    seed: int,
) -> WeightMatching:
    """Inwards, and inwards again from what was found, as long as that gains; never worse than the order it came in."""
    whole = Symmetry(skeleton, ())
    best = WeightMatching(whole, _State(skeleton, left, right, {}).objective(), 0, False)
    for _ in range(SWEEPS):
        moved = whole.apply(dict(right))
        state = _placed(_State(skeleton, left, moved, {}), families)
        if best.settled and state.still:
            break
        found = _descended(state, families, seed)
        if (
            not gains(found.objective, best.objective) and not best.settled
        ):  # the order it came in was better: go on from that
            found = _descended(_State(skeleton, left, moved, {}), families, seed)
        if best.sweeps and not gains(found.objective, best.objective):
            break
        whole = whole.then(found.symmetry)
        best = WeightMatching(whole, found.objective, best.sweeps + found.sweeps, found.settled)
    return best


def gains(value: float, before: float) -> bool:
    """Whether an objective rose by more than rounding."""
    return value - before > GAIN * max(abs(before), 1e-300)


def as_it_came(
    skeleton: Skeleton,
    left: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    weighing: Weighing = "standardised",
) -> WeightMatching:
    """The matching that leaves the right network as it is, with what it reaches."""
    used = {slot for family in find_families(skeleton) for slot in family.slots}
    a, b = ({slot: weighed(tensors[slot], weighing) for slot in used} for tensors in (left, right))
    return WeightMatching(Symmetry(skeleton, ()), _State(skeleton, a, b, {}).objective(), 0, False)


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

    @property
    def still(self) -> bool:
        """Whether every unit is where it was."""
        return all((order == np.arange(order.shape[1])).all() for order in self.orders.values())

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
