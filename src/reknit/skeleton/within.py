"""Which units may be permuted on their own within each unit of another group.

The dimensions of a head: wherever their axis occurs, in a slot, an argument, a result or on the way, the axis of the
heads runs beside it, index for index, and no second axis of heads. Then a permutation that depends on the head does as
well as one for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from reknit.skeleton.calls import Ledger
from reknit.skeleton.units import Units


def outer_groups(leaves: set[int], ledger: Ledger) -> dict[int, int]:
    """Class -> the class within each of whose units it may be permuted; of several, the largest that is in none.

    Args:
        leaves: classes that have members.
        ledger: what the trace has found.
    """
    units = ledger.units
    found: dict[int, set[int]] = {}
    beside_slots = [
        (node, tuple(other for k, other in enumerate(value.dims) if k != axis and other is not None))
        for value in ledger.slots.values()
        for axis, node in enumerate(value.dims)
        if node is not None
    ]
    for node, others in {*beside_slots, *ledger.together}:
        near = [leaf for other in others for leaf in _throughout(units, other)]
        for leaf, companions in _companions(units, node):
            once = {each for each, count in Counter([*near, *companions]).items() if count == 1} - {leaf}
            found[leaf] = found[leaf] & once if leaf in found else once
    chosen: dict[int, int] = {}
    for leaf in sorted(leaves & set(found), key=lambda each: (len(found[each] & leaves), -each)):
        # one level: with three, an inverse would depend on more than one unit
        candidates = [each for each in found[leaf] & leaves if each not in chosen]
        if candidates and not units.reasons(leaf) and leaf not in chosen.values():
            chosen[leaf] = max(candidates, key=lambda each: (units.size(each), -each))
    return chosen


def _throughout(units: Units, node: int) -> list[int]:
    """The leaf classes that run along the whole axis: those under no sum."""
    return [
        units.find(factor) for factor in units.factors(node) if units.kind(factor) == "leaf" and units.size(factor) > 1
    ]


def _companions(units: Units, node: int) -> Iterator[tuple[int, list[int]]]:
    """Every leaf class on an axis, with the classes that run beside it on that axis."""
    if units.kind(node) == "leaf":
        yield units.find(node), []
    elif units.kind(node) in {"sum", "vary"}:
        for part in units.parts(node):
            yield from _companions(units, part)
    else:
        factors = units.factors(node)
        for k, factor in enumerate(factors):
            beside = [leaf for j, other in enumerate(factors) if j != k for leaf in _throughout(units, other)]
            for leaf, companions in _companions(units, factor):
                yield leaf, [*beside, *companions]
