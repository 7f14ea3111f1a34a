"""A low-rank change beside what else was done: factors, zeros, a cast or a rounding before.

Factors that are fitted beside a low-rank change are off, and hide its gap; so both are sought in turn until they stay,
the part of low rank in units where all factors are 1. Around zeros the part is filled in by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from reknit.changes.naming.before import Before, befores
from reknit.changes.naming.cells import (
    APART,
    Fit,
    factor_changes,
    loss_changes,
    relative,
    relative_to,
    rounding_of,
    set_to_zero,
)
from reknit.changes.naming.drift import changed_rows, drift_change
from reknit.changes.naming.facts import Facts
from reknit.changes.naming.low_rank import LOW, LowRank, find_low_rank, low_rank_change
from reknit.changes.naming.mask import find_mask
from reknit.changes.naming.scale import Factors, fit_factors

NARROW, FEW_NUMBERS, ROUNDS_NARROW, PER_OWN = 16, 64, 150, 1.5
"""Rows or columns up to which all ranks are tried beside factors, and how long these may be; rounds; numbers for each
that is free."""
SMALL = 0.3
"""Size up to which a change of more than half the full rank is believed, where nothing is left behind it."""
CLOSE = 1e-3
"""What a part of low rank may leave, relative, where it was fitted round by round: many numbers for each of its own."""
LARGER = 3.0
"""Times what is left that a part of low rank has to be to be said beside a drift."""
EXACT = 1e-6
"""What float32 leaves of a sum of two matrices."""
ROUNDS_BESIDE = 60


def low_rank_fit(first: Facts, second: Facts, off: float) -> Fit | None:
    """A low-rank change, with or without factors, and B's own rounding behind it; of those that fit, the lowest rank.

    Args:
        first: A, moved.
        second: B.
        off: by how much A may be off for the way it was moved.
    """
    told = ~set_to_zero(first, second)
    if told.mean() < 0.2 or second.numbers.ndim < 2:
        return None
    best: tuple[int, Fit] | None = None
    for before in _befores_of_low_rank(first, second, told):
        if before.changes and not before.rounded and best is None:
            continue  # a cast hides no gap
        for kind in ("none", "signs", "factors") if not before.rounded else ("none",):
            found = _with_low_rank(before.numbers, second, told, kind)
            judged = None if found is None else _judged(first, second, before, found, told, off)
            if judged is not None and (best is None or judged[0] < best[0]):
                best = judged
        if best is not None and best[1].explained:
            break
    return best[1] if best is not None else None


def _judged(
    first: Facts,
    second: Facts,
    before: Before,
    found: tuple[LowRank, Factors | None],
    told: np.ndarray,
    off: float,
) -> tuple[int, Fit] | None:
    """Whether a part of low rank is believed; its rank, beyond the full one where something is left behind it."""
    b, floor = second.numbers, rounding_of(second)
    low, factors = found
    moved = (factors.on(before.numbers) if factors else before.numbers) + low.part
    size = float(np.linalg.norm(low.part) / np.linalg.norm(moved))
    left = relative_to(np.where(told, b - moved, 0.0), b)
    iterated = factors is not None or not told.all()
    settled = left <= 2 * floor + 1e-6 + off or (iterated and left <= CLOSE and size > 20 * left)
    full = min(b.shape[0], b[0].size)
    if not settled and (size < LARGER * left or before.changes):
        return None
    if low.rank > LOW * full and not (settled and size < SMALL):
        return None
    if off and size < 100 * off:
        return None  # what the way it was moved is off may be of low rank, too
    if factors is not None and PER_OWN * _free(low.rank, b) > b.size:
        return None
    if low.rank > LOW * changed_rows(first.numbers, b):
        return None  # rows that were left alone make a dense change of the others look like one of low rank
    exact = left <= EXACT
    mask = find_mask(first.numbers, b, told) if not told.all() else None
    names = [*before.changes, *factor_changes(factors, exact=exact)]
    if settled:
        names.append(low_rank_change(low, size, exact=exact))
    else:
        names.append(drift_change(float(np.hypot(size, left)), mostly=low.rank))
    names += loss_changes(first, second, mask, agreeing=float("nan"), exact=False, rounded=not before.rounded)
    return low.rank + (0 if settled else full), Fit(tuple(names), settled, 0.0 if settled else left, factors)


def _befores_of_low_rank(first: Facts, second: Facts, told: np.ndarray) -> Iterator[Before]:
    yield from befores(first, second, 0.0)
    yield from _roundings_left(first, second, told)


def _roundings_left(first: Facts, second: Facts, told: np.ndarray) -> Iterator[Before]:
    """Roundings whose error is about what a part of low rank leaves."""
    if second.numbers.size > 1 << 18:
        return
    change = np.where(told, second.numbers - first.numbers, 0.0)
    low = find_low_rank(change, told)
    if low is not None:
        left = relative_to(np.where(told, change - low.part, 0.0), first.numbers)
        yield from (each for each in befores(first, second, left, 0.7) if each.rounded)
    elif second.numbers.size <= 1 << 15:
        left = relative_to(change, first.numbers)
        yield from (each for each in befores(first, second, left, 0.3) if each.rounded)


def _with_low_rank(a: np.ndarray, second: Facts, told: np.ndarray, kind: str) -> tuple[LowRank, Factors | None] | None:
    """The part of low rank, and the factors fitted again beside it until they stay."""
    b = second.numbers
    factors = None
    if kind != "none":
        factors = fit_factors(a, b, told & (a != 0))
        if factors is None:
            return None
        if kind == "signs":
            factors = factors.signs
            if not factors.turned:
                return None
    whole = bool(told.all())
    low = _beside(a, b, told, factors, whole=whole)
    if kind == "factors" and factors is not None and low is None:
        return _of_every_rank(a, b, factors) if whole and _narrow(b) else None
    if low is None or factors is None or kind == "signs":
        return None if low is None else (low, factors)
    for _ in range(ROUNDS_BESIDE if whole else ROUNDS_BESIDE // 3):
        again = fit_factors(a, b - low.part, told & (a != 0))
        if again is None:
            break
        nearer = _beside(a, b, told, again, whole=whole)
        if nearer is None or nearer.rank > low.rank:
            break
        still = bool(np.linalg.norm(nearer.part - low.part) <= 1e-9 * np.linalg.norm(b))
        low, factors = nearer, again
        if still:
            break
    return (low, factors) if factors.scaled(APART) or factors.turned else None


def _free(rank: int, b: np.ndarray) -> int:
    """How many numbers a part of that rank and factors are free in."""
    n, m = len(b), int(b[0].size)
    return rank * (n + m - rank) + n + m


def _narrow(b: np.ndarray) -> bool:
    return min(b.shape[0], b[0].size) <= NARROW and b.size <= NARROW * FEW_NUMBERS


def _of_every_rank(a: np.ndarray, b: np.ndarray, factors: Factors) -> tuple[LowRank, Factors] | None:
    """Factors and a part of each rank in turn, where there are so few rows that factors hide the gap."""
    told = np.ones(b.shape, dtype=bool)
    n, m = b.shape[0], b[0].size
    if relative(factors.on(a), b) > 0.5:
        return None
    for rank in range(1, min(n, m) // 2 + 1):
        if PER_OWN * _free(rank, b) > n * m:
            return None
        chosen, part = factors, np.zeros(b.shape)
        began = 0.0
        for number in range(ROUNDS_NARROW):
            left, values, right = np.linalg.svd((b - chosen.on(a)).reshape(n, m), full_matrices=False)
            part = ((left[:, :rank] * values[:rank]) @ right[:rank]).reshape(b.shape)
            again = fit_factors(a, b - part, told)
            if again is None:
                return None
            chosen = again
            began = began or float(values[rank])
            stalls = number == ROUNDS_NARROW // 5 and values[rank] > began / 3
            if stalls or values[rank] <= 1e-7 * values[0]:
                break
        if relative(chosen.on(a) + part, b) <= CLOSE and (chosen.scaled(APART) or chosen.turned):
            return LowRank(rank, float(values[rank - 1] / max(values[rank], 1e-300)), part), chosen
    return None


def _beside(a: np.ndarray, b: np.ndarray, told: np.ndarray, factors: Factors | None, *, whole: bool) -> LowRank | None:
    """The part of low rank beside A with its factors; sought where all factors are 1, so that no row drowns others."""
    rounds = 40 if factors is None or whole else 8
    if factors is None:
        return find_low_rank(b - a, told, rounds)
    units = factors.on(np.ones(a.shape))
    found = find_low_rank(b / units - a, told, rounds)
    return None if found is None else replace(found, part=found.part * units)
