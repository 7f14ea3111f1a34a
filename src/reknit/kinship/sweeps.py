"""Two matchings of every group of units, one from the inputs on and one from the outputs back: what a panel calibrates.

Forward: a group is matched by incoming weights whose other axes are labelled alike in both networks (inputs, tokens,
taps) or belong to groups that were matched before; A's weights are brought into B's order along those first.
Backward: by outgoing weights, from the outputs on. A group that is read by nothing labelled takes its forward
matching for the way back. Matchings look at absolute cosines of balanced weights, tensor by tensor, and carry signs
along, so permutations, signs and positive factors on any group leave the result alone.

Of a stream (a group written more than once) with enough labelled features, tokens say, not a permutation but the
orthogonal Procrustes map is carried along (``solvers.procrustes``): rotations of the stream leave the result alone,
too. Its own units are then not counted.

T is the number of units that both sweeps give the same partner. It is far above chance between independent networks
that were trained on the same data (``two_matchings``): T is no p-value, and is only ever compared with a panel's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from reknit.kinship.fixed_points import cosines, shuffled_matching
from reknit.kinship.unit_tables import balanced
from reknit.kinship.units_by_skeleton import Plan, State, unit_rows_of
from reknit.skeleton.positions import positions_of
from reknit.skeleton.skeleton import Group, Member
from reknit.solvers.procrustes import procrustes

Map = Float[np.ndarray, "units units"]
"""Rows of A's units to rows in B's order: a signed permutation, or a rotation."""


@dataclass(frozen=True, eq=False)
class Sweeps:
    """What two sweeps agree on.

    Attributes:
        agreeing: group -> units with the same partner in both.
        units: group -> how many there are.
        matchings: group -> of each unit of A the partner in B, by the forward sweep.
    """

    agreeing: Mapping[str, int]
    units: Mapping[str, int]
    matchings: Mapping[str, Int[np.ndarray, " units"]]

    @property
    def statistic(self) -> int:
        """Agreements over all groups."""
        return sum(self.agreeing.values())

    @property
    def share(self) -> float:
        """Of all units."""
        return self.statistic / max(sum(self.units.values()), 1)


def sweeps(plan: Plan, a: State, b: State, rng: np.random.Generator) -> Sweeps:
    """Match every group of a plan twice.

    Args:
        plan: of the skeleton of both.
        a: slot -> tensor.
        b: likewise.
        rng: shuffles labels before each matching.
    """
    walk = _Walk(plan, a, b, rng)
    forward, ahead = walk.swept("writes", {})
    _, back = walk.swept("reads", forward)
    both = [name for name in ahead if name in back and not walk.same_slots(name)]
    return Sweeps(
        {name: int((ahead[name] == back[name]).sum()) for name in both},
        {name: len(ahead[name]) for name in both},
        ahead,
    )


class _Walk:
    """Two networks of one plan."""

    def __init__(self, plan: Plan, a: State, b: State, rng: np.random.Generator) -> None:
        self.plan, self.skeleton, self.a, self.b, self.rng = plan, plan.skeleton, a, b, rng
        self.on: dict[str, list[tuple[Group, Member]]] = {}
        for group in plan.skeleton.groups:
            for member in group.members:
                self.on.setdefault(member.slot, []).append((group, member))

    def swept(
        self, role: str, fallback: Mapping[str, Map]
    ) -> tuple[dict[str, Map], dict[str, Int[np.ndarray, " units"]]]:
        """Maps and matchings of all groups that can be reached from labelled axes through members of a role."""
        maps: dict[str, Map] = {}
        found: dict[str, Int[np.ndarray, " units"]] = {}
        left = list(self.plan.groups)
        while left:
            reached = [group for group in left if self._members(group, role, maps)]
            if not reached:
                lent = [group for group in left if group.name in fallback]
                if not lent:
                    break
                stream = max(lent, key=lambda group: len(group.members))
                maps[stream.name] = fallback[stream.name]
                left.remove(stream)
                continue
            for group in reached:
                members = self._members(group, role, maps)
                tables = [self._table(group, member, maps) for member in members]
                maps[group.name], matching = self._matched(group, tables)
                if matching is not None:
                    found[group.name] = matching
                left.remove(group)
        return maps, found

    def same_slots(self, name: str) -> bool:
        """Whether both sweeps look at one tensor for a group: then they agree of themselves."""
        group = next(each for each in self.plan.groups if each.name == name)
        slots = [{m.slot for m in group.members if m.role == role} for role in ("writes", "reads")]
        return bool(slots[0] & slots[1])

    def _members(self, group: Group, role: str, maps: Mapping[str, Map]) -> list[Member]:
        """Of the group, those of the role whose other axes are all labelled or mapped."""
        known = {each.name for each in self.skeleton.groups if each.fixed} | maps.keys()
        found = []
        for member in group.members:
            if member.role != role or member.slot not in self.a or member.slot not in self.b:
                continue
            slot = self.skeleton[member.slot]
            others = [each for each, other in self.on[member.slot] if other != member]
            if len(slot.shape) > 1 and not slot.is_buffer and all(each.name in known for each in others):
                found.append(member)
        return found

    def _table(self, group: Group, member: Member, maps: Mapping[str, Map]) -> tuple[np.ndarray, np.ndarray]:
        """Units by features, A's other axes in B's basis."""
        first = np.array(self.a[member.slot], dtype=np.float64)
        for other, place in self.on[member.slot]:
            if other.name in maps and place != member and other.name != group.name:
                first = _moved(first, place, other.size, maps[other.name])
        second = np.asarray(self.b[member.slot], dtype=np.float64)
        return unit_rows_of(member, group.size, first), unit_rows_of(member, group.size, second)

    def _matched(
        self, group: Group, tables: Sequence[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[Map, Int[np.ndarray, " units"] | None]:
        """The map of a group and its matching; a stream that is turned has none."""
        writers = len({m.slot for m in group.members if m.role == "writes"})
        if writers > 1 and sum(table[0].shape[1] for table in tables) > group.size:
            raw = [np.concatenate([table[side] / _size(table[side]) for table in tables], axis=1) for side in (0, 1)]
            return procrustes(raw[0].T, raw[1].T).matrix.T, None
        scores = [cosines(balanced(table[0]), balanced(table[1])) for table in tables]
        matching = shuffled_matching(np.sum([np.abs(each) for each in scores], axis=0), self.rng)
        signs = signs_of([each[np.arange(group.size), matching] for each in scores])
        order = np.zeros((group.size, group.size))
        order[matching, np.arange(group.size)] = signs
        return order, matching


def _moved(tensor: np.ndarray, place: Member, size: int, basis: Map) -> np.ndarray:
    """A tensor whose units along one member are replaced by their images."""
    out = np.moveaxis(tensor.copy(), place.axis, 0)
    at = positions_of(place, size)
    for column in at.T:
        out[column] = np.tensordot(basis, out[column], axes=(1, 0))
    return np.moveaxis(out, 0, place.axis)


def signs_of(matched: Sequence[np.ndarray]) -> np.ndarray:
    """Of each unit that of all tensors where they agree, else their product: a gate keeps its sign, its partner not."""
    signs = np.where(np.array(matched) < 0, -1.0, 1.0)
    return np.asarray(np.where((signs == signs[0]).all(0), signs[0], signs.prod(0)))


def _size(table: np.ndarray) -> float:
    return float(np.linalg.norm(table)) or 1.0
