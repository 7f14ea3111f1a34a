"""Exchanges of more than two tensors at once, for records of labels: what no single exchange would show.

Numbers that are all reproduced to rounding leave little room for a second error that hides a first. Labels do: two
neighbouring blocks may change places and no label change, though every tensor exchanged alone would change some. So
where only labels were recorded, tried as well are

- all tensors of two modules of one structure (two blocks, two norms, the query and the key of a block);
- every two of the exchanges that change fewer than ``ENOUGH`` labels, one after the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from reknit.wiring.exchange_tests import Exchange, ExchangeTester
from reknit.wiring.exchanges import Swap, exchanged
from reknit.wiring.pools import Pool

MOST = 1000
"""Pairs of weak exchanges that are tried; where there are more, the weak ones count as undecided."""

Move = tuple[Swap, ...]


def module_exchanges(pools: Sequence[Pool]) -> list[Move]:
    """Exchanges of all tensors of two modules whose slots have the same names and shapes."""
    pool_of = {slot: k for k, pool in enumerate(pools) for slot in pool.slots}
    inside: dict[str, dict[str, int]] = {}
    for slot, pool in pool_of.items():
        parts = slot.split(".")
        for depth in range(1, len(parts)):
            inside.setdefault(".".join(parts[:depth]), {})[".".join(parts[depth:])] = pool
    alike: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for path, names in inside.items():
        alike.setdefault(tuple(sorted(names.items())), []).append(path)
    moves = []
    for names_alike, paths in alike.items():
        if len(names_alike) == 1:
            continue  # a single exchange
        for first, second in itertools.combinations(paths, 2):
            if not (first.startswith(f"{second}.") or second.startswith(f"{first}.")):
                moves.append(tuple((f"{first}.{name}", f"{second}.{name}") for name, _ in names_alike))
    return moves


def two_together(moves: Sequence[Move]) -> list[Move]:
    """Every two moves one after the other, in both orders where that makes a difference."""
    found: dict[tuple[tuple[str, str], ...], Move] = {}
    for first, second in itertools.permutations(moves, 2):
        swaps = (*first, *second)
        origin = exchanged({slot: slot for swap in swaps for slot in swap}, swaps)
        moved = tuple(sorted((slot, from_) for slot, from_ in origin.items() if slot != from_))
        if moved:
            found.setdefault(moved, swaps)
    return list(found.values())


def try_compounds(
    tester: ExchangeTester, pools: Sequence[Pool], tested: Sequence[tuple[Move, Exchange]]
) -> tuple[int, list[Exchange]]:
    """How many compound exchanges were tried, and those that are not rejected.

    Args:
        tester: of the placement.
        pools: slots and tensors.
        tested: the single exchanges that were computed exactly.
    """
    whole = [(move, tester.exactly(*move)) for move in module_exchanges(pools)]
    undecided = [found for _, found in whole if not tester.rejects(found)]
    weak = [(m, one) for m, one in (*tested, *whole) if not tester.is_enough(one) and not one.leaves_function]
    if len(weak) * (len(weak) - 1) > 2 * MOST:
        return len(whole), undecided + [found for _, found in weak if tester.rejects(found)]
    both = [tester.exactly(*move) for move in two_together([move for move, _ in weak])]
    return len(whole) + len(both), undecided + [found for found in both if not tester.rejects(found)]
