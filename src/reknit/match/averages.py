"""Weighted means of networks in one basis, one share for each network, or one for each network and slot."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

import numpy as np

from reknit.errors import UsageError


def average(
    networks: Sequence[Mapping[str, np.ndarray]],
    shares: Sequence[float],
    by_slot: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, np.ndarray]:
    """The mean, slot by slot, in float64, stored as the first network's dtype. Whole numbers are the first network's.

    Args:
        networks: slot -> numbers, all with the same slots.
        shares: of each network; they sum to one.
        by_slot: pattern of slots (``*`` for any) -> other shares; of several that fit the last one counts.

    Raises:
        UsageError: shares are too few, negative or do not sum to one, or a pattern fits no slot.
    """
    of_slot = shares_of(list(networks[0]), len(networks), shares, by_slot)
    found = {}
    for slot, first in networks[0].items():
        others = [other[slot] for other in networks[1:] if slot in other]
        if first.dtype.kind != "f" or all(np.array_equal(first, other) for other in others):
            found[slot] = first
            continue
        pairs = zip(of_slot[slot], networks, strict=True)
        total = sum(share * network[slot].astype(np.float64) for share, network in pairs)
        found[slot] = np.asarray(total).astype(first.dtype)
    return found


def shares_of(
    slots: Sequence[str], count: int, shares: Sequence[float], by_slot: Mapping[str, Sequence[float]] | None = None
) -> dict[str, tuple[float, ...]]:
    """The shares of each slot.

    Args:
        slots: all there are.
        count: of networks.
        shares: of each network; they sum to one.
        by_slot: pattern of slots (``*`` for any) -> other shares; of several that fit the last one counts.

    Raises:
        UsageError: shares are too few, negative or do not sum to one, or a pattern fits no slot.
    """
    patterns = {pattern: _checked(each, count, pattern) for pattern, each in (by_slot or {}).items()}
    found = dict.fromkeys(slots, _checked(shares, count, "--weights"))
    for pattern, each in patterns.items():
        fitting = [slot for slot in slots if fnmatch.fnmatchcase(slot, pattern)]
        if not fitting:
            raise UsageError("it fits no slot", pattern, "See reknit couple for the slots")
        found |= dict.fromkeys(fitting, each)
    return found


def _checked(shares: Sequence[float], count: int, where: str) -> tuple[float, ...]:
    remedy = f"Give {count} numbers from 0 that sum to 1"
    if len(shares) != count:
        raise UsageError(f"there are {len(shares)} shares for {count} networks", where, remedy)
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise UsageError(f"the shares are {', '.join(map(str, shares))}", where, remedy)
    return tuple(shares)
