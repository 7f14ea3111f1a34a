"""Which units may change places, and in which order their tests are independent: read off a skeleton.

A group that is not fixed, lies within no other and has no other within it is one set of exchangeable units. Visited
in the order of the forward pass, a group is matched by incoming weights whose other axes are fixed or belong to
groups that were visited before (or are not tested at all). With pi_1 .. pi_m independent relabellings of the groups,
the matching of group i is f(pi_1 .. pi_{i-1}) o pi_i^-1, which is uniform whatever pi_1 .. pi_{i-1}: so all of them
are independent, and so are Grams, which depend on pi_i alone. Fisher's method is then exact for each kind of test.

A tensor two of whose axes run over one group is left out of matchings: both sides would move. One whose diagonal
stands out in both networks ties the order of two groups together: it is left out, and the rest no longer counts as
independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reknit.kinship.relation import Void
from reknit.kinship.unit_tables import Both, UnitTable, side_by_side
from reknit.kinship.voids import in_sequence, near_identity, units_sorted, written_table
from reknit.skeleton.positions import positions_of
from reknit.skeleton.skeleton import Group, Member, Skeleton

State = Mapping[str, np.ndarray]
SHIFTS = {"shifts": "bias", "scales": "gain"}


@dataclass(frozen=True)
class Plan:
    """What will be tested, without numbers.

    Attributes:
        skeleton: of the networks.
        groups: in the order in which they are visited.
        matched: group -> members whose tensors its matching looks at.
        voids: groups that are not tested, and why.
    """

    skeleton: Skeleton
    groups: tuple[Group, ...]
    matched: Mapping[str, tuple[Member, ...]]
    voids: tuple[Void, ...]


def planned(skeleton: Skeleton) -> Plan:
    """Which groups are tested, in which order."""
    outer = {group.within for group in skeleton.groups if group.within}
    reasons: dict[str, list[str]] = {}
    free = {}
    for group in skeleton.groups:
        reason = _void(group, outer)
        if reason:
            reasons.setdefault(reason, []).append(group.name)
        else:
            free[group.name] = group
    axes = _axes(skeleton)
    matched: dict[str, tuple[Member, ...]] = {}
    for use in skeleton.uses:
        for slot in use.slots.values():
            for name in axes.get(slot, ()):
                if name in free and name not in matched and _writes(free[name], slot):
                    matched[name] = _ordered_writers(free[name], axes, free.keys() - matched.keys(), skeleton)
    for name in free:
        matched.setdefault(name, ())
    voids = tuple(Void(_some(names), reason) for reason, names in reasons.items())
    return Plan(skeleton, tuple(free[name] for name in matched), matched, voids)


def tables(plan: Plan, a: State, b: State) -> Iterator[UnitTable | Void]:
    """The groups of a plan in two networks, one after the other, and what is left out.

    Args:
        plan: of the skeleton of both.
        a: slot -> tensor; slots may be missing.
        b: likewise.
    """
    yield from plan.voids
    left_out = set()
    for slot in plan.skeleton.slots:
        if len(slot.shape) > 1 and slot.key in a and slot.key in b:
            reason = _wrong_numbers(a[slot.key], b[slot.key])
            if reason:
                left_out.add(slot.key)
                yield Void(slot.key, reason)
    for group in plan.groups:
        usable = [m for m in group.members if m.slot in a and m.slot in b and m.slot not in left_out]
        table = _table(group, plan.matched[group.name], usable, plan.skeleton, a, b)
        if table is not None:
            reason = units_sorted(table.marks) or _in_sequence(table)
            yield Void(group.name, reason) if reason else table


def _in_sequence(table: UnitTable) -> str:
    """Why the order of the units means something in both networks; one in which it does not is enough."""
    sides = [[in_sequence(pair[side]) for pair in (*table.incoming, *table.outgoing)] for side in (0, 1)]
    return next((reason for reason in sides[0] if reason), "") if any(sides[1]) else ""


def _wrong_numbers(first: np.ndarray, second: np.ndarray) -> str:
    """Why a tensor is left out; one that was drawn around an identity in one network alone may stay."""
    written = written_table(first) or written_table(second) if first.ndim == 2 else ""
    return written or (near_identity(first) and near_identity(second))


def unit_rows_of(member: Member, size: int, tensor: np.ndarray) -> np.ndarray:
    """A tensor as a table: units of one member along the rows, everything else along the columns."""
    moved = np.moveaxis(np.asarray(tensor, dtype=np.float64), member.axis, 0)
    return np.asarray(moved[positions_of(member, size)].reshape(size, -1))


def _table(
    group: Group, matched: Sequence[Member], usable: Sequence[Member], skeleton: Skeleton, a: State, b: State
) -> UnitTable | None:
    def pairs(members: Iterable[Member]) -> tuple[Both, ...]:
        return tuple((unit_rows_of(m, group.size, a[m.slot]), unit_rows_of(m, group.size, b[m.slot])) for m in members)

    weights = [m for m in usable if len(skeleton[m.slot].shape) > 1 and not skeleton[m.slot].is_buffer]
    incoming = pairs(m for m in weights if m.role in ("writes", "holds"))
    outgoing = pairs(m for m in weights if m.role == "reads")
    if not incoming and not outgoing:
        return None
    by = pairs(m for m in matched if m in weights)
    marks = [
        (
            f"norm of the {word} weights",
            *(np.linalg.norm(np.hstack([p[side] for p in every]), axis=1) for side in (0, 1)),
        )
        for word, every in (("incoming", incoming), ("outgoing", outgoing))
        if every
    ]
    for m in usable:
        if m.role in SHIFTS and len(skeleton[m.slot].shape) == 1:
            values = [unit_rows_of(m, group.size, state[m.slot])[:, 0] for state in (a, b)]
            marks.append((SHIFTS[m.role], values[0], values[1]))
    both = (side_by_side([p[0] for p in by]), side_by_side([p[1] for p in by])) if by else None
    return UnitTable(group.name, group.size, both, incoming, outgoing, tuple(marks))


def _void(group: Group, outer: set[str]) -> str:
    if group.fixed:
        return group.fixed
    if group.name in outer:
        return "heads, with units of their own inside"
    if group.within:
        return "lies within heads or groups"
    if group.size < 3:
        return "fewer than three units"
    return ""


def _axes(skeleton: Skeleton) -> dict[str, list[str]]:
    """Slot -> the groups on its axes, once for every axis or part."""
    found: dict[str, list[str]] = {}
    for group in skeleton.groups:
        for slot, axis in {(m.slot, m.axis): None for m in group.members}:
            del axis
            found.setdefault(slot, []).append(group.name)
    return found


def _writes(group: Group, slot: str) -> bool:
    return any(m.slot == slot and m.role == "writes" for m in group.members)


def _ordered_writers(
    group: Group, axes: Mapping[str, Sequence[str]], later: Iterable[str], skeleton: Skeleton
) -> tuple[Member, ...]:
    """Writers none of whose other axes belongs to a group that is visited later; the first of each slot and axis."""
    later = set(later)
    found = []
    for m in group.members:
        shape = skeleton[m.slot].shape
        others = [name for name in axes[m.slot] if name != group.name]
        twice = axes[m.slot].count(group.name) > 1
        if m.role == "writes" and len(shape) > 1 and not twice and not later & set(others):
            found.append(m)
    return tuple(found)


def _some(names: Sequence[str], most: int = 3) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{rest}"
