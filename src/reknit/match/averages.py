"""Weighted means of networks in one basis, one share for each network, or one for each network and slot."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from reknit.errors import UsageError


class Averages(Mapping[str, np.ndarray]):
    """The mean, slot by slot, made when it is asked for, in float64, stored as the first network's dtype.

    Whole numbers are the first network's. Networks are asked for one tensor at a time: those on disk stay there.

    Args:
        networks: slot -> numbers, all with the same slots.
        shares: of each network; they sum to one.
        by_slot: pattern of slots (``*`` for any) -> other shares; of several that fit the last one counts.

    Raises:
        UsageError: shares are too few, negative or do not sum to one, or a pattern fits no slot.
    """

    def __init__(
        self,
        networks: Sequence[Mapping[str, np.ndarray]],
        shares: Sequence[float],
        by_slot: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self._networks = networks
        self._shares = shares_of(list(networks[0]), len(networks), shares, by_slot)

    def __getitem__(self, slot: str) -> np.ndarray:
        """The mean of a tensor; that of equal ones is the first, to the bit."""
        shares = self._shares[slot]
        first, *others = self._networks
        whole = first[slot]
        if whole.dtype.kind != "f" or any(slot not in other for other in others):  # a counter, or what nothing uses
            return whole
        total, equal = shares[0] * whole.astype(np.float64), True
        for share, other in zip(shares[1:], others, strict=True):
            tensor = other[slot]
            equal = equal and np.array_equal(whole, tensor)
            total += share * tensor.astype(np.float64)
        return whole if equal else np.asarray(total).astype(whole.dtype)

    def __iter__(self) -> Iterator[str]:
        """The slots of the first network."""
        return iter(self._networks[0])

    def __len__(self) -> int:
        """How many there are."""
        return len(self._networks[0])


def average(
    networks: Sequence[Mapping[str, np.ndarray]],
    shares: Sequence[float],
    by_slot: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, np.ndarray]:
    """All of ``Averages`` at once."""
    return dict(Averages(networks, shares, by_slot))


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
