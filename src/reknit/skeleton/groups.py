"""From the classes of a trace to the groups of a skeleton: members, what they may do, why they belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reknit.skeleton.calls import Ledger
from reknit.skeleton.links import Links
from reknit.skeleton.members import places, repetitions
from reknit.skeleton.names import name_groups
from reknit.skeleton.skeleton import Group, Member, Role, Slot
from reknit.skeleton.value import Value
from reknit.skeleton.within import outer_groups

UNUSED = "not used by the forward pass"


def find_groups(slots: Sequence[Slot], ledger: Ledger) -> tuple[Group, ...]:
    """One group for every class of units on the axes of the slots, in the order of the slots.

    Args:
        slots: of the module.
        ledger: what the trace has found.
    """
    units = ledger.units
    used = {key for use in ledger.uses for key in use.slots.values()}
    for slot in slots:
        if slot.key not in ledger.slots:
            dims = tuple(units.leaf(size) if size != 1 else None for size in slot.shape)
            ledger.slots[slot.key] = Value(slot.shape, dims, slot=slot.key, of_slots=True)
        if slot.key not in used:
            for unused in ledger.slots[slot.key].nodes:
                units.fix(unused, UNUSED)
    roles = _roles(ledger)
    members: dict[int, list[Member]] = {}
    for slot in slots:
        for axis, node in enumerate(ledger.slots[slot.key].dims):
            for place in places(units, node) if node is not None else ():
                role = roles.get((slot.key, axis, place.leaf), "holds")
                members.setdefault(place.leaf, []).extend(
                    Member(slot.key, axis, role, start, outer, place.inner, gap)
                    for start, outer, gap in repetitions(place, units.size(place.leaf))
                )
    names = name_groups(members, ledger)
    within = outer_groups(set(members), ledger)
    links = Links(units, {slot.key: ledger.slots[slot.key].dims for slot in slots}, _shapes(slots))
    return tuple(
        Group(
            names[leaf],
            units.size(leaf),
            tuple(found),
            within=names[within[leaf]] if leaf in within else None,
            fixed="; ".join(units.reasons(leaf)),
            links=links.of(leaf, found, units.size(leaf)),
        )
        for leaf, found in members.items()
    )


def _shapes(slots: Sequence[Slot]) -> Mapping[str, tuple[int, ...]]:
    return {slot.key: slot.shape for slot in slots}


def _roles(ledger: Ledger) -> dict[tuple[str, int, int], Role]:
    """(slot, axis, class) -> what the first operation that took the slot did with it."""
    roles: dict[tuple[str, int, int], Role] = {}
    for key, axis, node, role in ledger.roles:
        for leaf in ledger.units.leaves(node):
            roles.setdefault((key, axis, leaf), role)
    return roles
