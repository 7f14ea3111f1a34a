"""Groups that have to be matched together: a group on its own, or heads with all that may be permuted inside a head.

    Family
    |-- outer      a group; its units are heads where there are inner groups
    |-- sides      the axes its units lie on, with the positions that each unit takes
    `-- inner      groups that are permuted on their own within each unit of the outer one
        `-- sides      on the part of a tensor that belongs to one outer unit

All of it is read off the skeleton. A family whose outer group is fixed still matches what is inside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from reknit.skeleton.positions import positions_of, unit_at
from reknit.skeleton.skeleton import Group, Member, Skeleton

Positions = Int[np.ndarray, "units repeats"]


@dataclass(frozen=True, eq=False)
class Side:
    """Units on one axis of a tensor.

    Attributes:
        slot: the key.
        axis: which axis.
        positions: those that each unit takes, in an order that is the same for every unit.
    """

    slot: str
    axis: int
    positions: Positions


@dataclass(frozen=True, eq=False)
class Family:
    """Groups that are matched together.

    Attributes:
        outer: the group.
        sides: where its units lie.
        inner: groups within it that are not fixed.
        inner_sides: for each of these, where its units lie within the part of one outer unit.
    """

    outer: Group
    sides: tuple[Side, ...]
    inner: tuple[Group, ...] = ()
    inner_sides: tuple[tuple[Side, ...], ...] = ()

    @property
    def groups(self) -> tuple[Group, ...]:
        """All groups that may be permuted."""
        return (*(() if self.outer.fixed else (self.outer,)), *self.inner)

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """Every slot that any of its units lie in."""
        return tuple(dict.fromkeys(side.slot for side in self.sides))

    @property
    def once(self) -> bool:
        """Whether there is nothing inside, and no tensor has two sides: then similarity is a sum over units."""
        return not self.inner and len(self.slots) == len(self.sides)

    def blocks(self, tensors: Mapping[str, np.ndarray], unit: int) -> dict[str, np.ndarray]:
        """The part of every slot that belongs to one outer unit."""
        found = {slot: tensors[slot] for slot in self.slots}
        for side in self.sides:
            found[side.slot] = found[side.slot].take(side.positions[unit], side.axis)
        return found


def find_families(skeleton: Skeleton) -> tuple[Family, ...]:
    """Every family with a group that may be permuted, in the order of the skeleton's groups."""
    within: dict[str, list[Group]] = defaultdict(list)
    for group in skeleton.groups:
        if group.within is not None and not group.fixed:
            within[group.within].append(group)
    found = []
    for group in skeleton.groups:
        inner = tuple(within[group.name])
        if group.within is None and (inner or not group.fixed):
            sides = _sides(skeleton, group)
            inner_sides = tuple(_inner_sides(skeleton, group, sides, each) for each in inner)
            found.append(Family(group, sides, inner, inner_sides))
    return tuple(found)


def _by_axis(group: Group) -> dict[tuple[str, int], list[Member]]:
    found: dict[tuple[str, int], list[Member]] = defaultdict(list)
    for member in group.members:
        found[member.slot, member.axis].append(member)
    return found


def _sides(skeleton: Skeleton, group: Group) -> tuple[Side, ...]:
    found = []
    for (slot, axis), members in _by_axis(group).items():
        reach = skeleton[slot].shape[axis]
        positions = np.concatenate([positions_of(member, group.size) for member in members], 1)
        found.append(Side(slot, axis, positions[:, positions.max(0, initial=0) < reach]))
    return tuple(found)


def _inner_sides(skeleton: Skeleton, outer: Group, sides: Sequence[Side], group: Group) -> tuple[Side, ...]:
    """Where the units of an inner group lie within the part of one outer unit: the same place in every part."""
    whole = {(side.slot, side.axis): side.positions for side in sides}
    found = []
    for (slot, axis), members in _by_axis(group).items():
        length = skeleton[slot].shape[axis]
        units = np.max([unit_at(member, group.size, length) for member in members], axis=0)
        part = whole.get((slot, axis))
        inside = units if part is None else units[part[0]]
        if part is not None and any((units[row] != inside).any() for row in part):
            raise ValueError(f"{group.name} lies differently in the units of {outer.name}")
        order = np.argsort(inside, kind="stable")
        found.append(Side(slot, axis, order[(inside < 0).sum() :].reshape(group.size, -1)))
    return tuple(found)
