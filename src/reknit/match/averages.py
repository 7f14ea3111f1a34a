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
    patterns = {pattern: _checked(each, len(networks), pattern) for pattern, each in (by_slot or {}).items()}
    usual = _checked(shares, len(networks), "--weights")
    for pattern in patterns:
        if not fnmatch.filter(networks[0], pattern):
            raise UsageError("it fits no slot", pattern, "See reknit couple for the slots")
    found = {}
    for slot, first in networks[0].items():
        used = usual
        for pattern, each in patterns.items():
            used = each if fnmatch.fnmatchcase(slot, pattern) else used
        others = [other[slot] for other in networks[1:] if slot in other]
        if first.dtype.kind != "f" or all(np.array_equal(first, other) for other in others):
            found[slot] = first
            continue
        total = sum(share * other[slot].astype(np.float64) for share, other in zip(used, networks, strict=True))
        found[slot] = np.asarray(total).astype(first.dtype)
    return found


def _checked(shares: Sequence[float], count: int, where: str) -> tuple[float, ...]:
    remedy = f"Give {count} numbers from 0 that sum to 1"
    if len(shares) != count:
        raise UsageError(f"there are {len(shares)} shares for {count} networks", where, remedy)
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise UsageError(f"the shares are {', '.join(map(str, shares))}", where, remedy)
    return tuple(shares)
