"""What may have been done to A before anything else, found by doing it: casts, and roundings as libraries round.

A cast or a rounding that was scaled, turned or rounded again afterwards leaves no mark of its own in B. But A is at
hand: cast or rounded the same way, it has to agree with B as exactly as B allows. Roundings tried: to 2 to 8 bits, per
row, column or tensor, ``step = max |A| / (2^(bits - 1) - 1)``, or with a zero point, ``step = range / (2^bits - 1)``.
Only those are tried whose error is about what lies between A and B.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from reknit.changes.naming.cast import cast_change, rounded
from reknit.changes.naming.change import Change
from reknit.changes.naming.facts import HALVES, Facts
from reknit.changes.naming.scale import Factors, fit_factors

LARGEST = 1 << 21
"""Numbers from which no rounding is tried."""
FARTHEST, CASTS_FARTHEST = 0.7, 0.2
"""Relative distances from which roundings and casts are not tried."""
NEARER = 0.6
"""Share of what is left that the right rounding leaves at most, with factors that were fitted without it."""


@dataclass(frozen=True, eq=False)
class Before:
    """A tensor as it may have been.

    Attributes:
        numbers: in float64.
        changes: what was done.
        rounded: whether that was a rounding to a grid.
    """

    numbers: Float[np.ndarray, ...] = field(repr=False)
    changes: tuple[Change, ...] = ()
    rounded: bool = False


def befores(first: Facts, second: Facts, left: float | None = None, least: float = 0.8) -> Iterator[Before]:
    """A as it is, and then as it may have been, the likely first.

    Args:
        first: A.
        second: B.
        left: relative size of what a rounding has to account for; None: all that factors do not.
        least: of that, which it has to.
    """
    numbers = first.numbers.astype(np.float64)
    yield Before(numbers)
    if first.plain or first.numbers.ndim < 2:
        return
    factors, known = _nearest(numbers, second)
    if left is None:
        left = known
    for dtype in HALVES:
        if left > CASTS_FARTHEST:
            break
        if not first.cast and dtype != second.cast:
            half = rounded(first.numbers, dtype)
            if np.isfinite(half).all():
                yield Before(half, (cast_change(dtype, numbers=half.size, exact=True),))
    if first.grid is not None or numbers.size > LARGEST:
        return
    if 1e-6 < left < FARTHEST:
        yield from _roundings(numbers, second, left, least, factors)


def _nearest(numbers: np.ndarray, second: Facts) -> tuple[Factors | None, float]:
    """The factors that bring A nearest to B, and what they leave, relative."""
    b = second.numbers.astype(np.float64)
    told = (b != 0) & (numbers != 0)
    factors = fit_factors(numbers, b, told)
    return factors, _apart(numbers, factors, b, told)


def _apart(numbers: np.ndarray, factors: Factors | None, b: np.ndarray, told: np.ndarray) -> float:
    nearest = numbers if factors is None else factors.on(numbers)
    return float(np.linalg.norm((b - nearest)[told]) / max(float(np.linalg.norm(nearest[told])), 1e-300))


def _roundings(
    numbers: np.ndarray, second: Facts, left: float, least: float, factors: Factors | None
) -> Iterator[Before]:
    told = (second.numbers != 0) & (numbers != 0)
    for per, axis in (("row", 0), ("tensor", None), ("column", 1)):
        for symmetric in (True, False):
            for bits in range(2, 9):
                grid, error = on_usual_grid(numbers, bits, axis, symmetric=symmetric, told=told)
                nearer = least < 0.8 or _apart(grid, factors, second.numbers, told) < NEARER * left
                if least < error / left < 1.6 and nearer:
                    details = {"bits": bits, "per": per, "group": 0}
                    yield Before(grid, (Change("grid", f"rounded to {bits} bits per {per}", True, details),), True)


def on_usual_grid(
    numbers: np.ndarray, bits: int, axis: int | None, *, symmetric: bool, told: np.ndarray
) -> tuple[Float[np.ndarray, ...], float]:
    """The numbers rounded as libraries do, and the relative error that makes where ``told``."""
    others = tuple(k for k in range(numbers.ndim) if k != axis)
    if symmetric:
        steps = np.abs(numbers).max(others, keepdims=True) / (2 ** (bits - 1) - 1)
        zero = np.zeros_like(steps)
    else:
        low, high = np.minimum(numbers.min(others, keepdims=True), 0), np.maximum(numbers.max(others, keepdims=True), 0)
        steps = (high - low) / (2**bits - 1)
        zero = np.rint(-low / np.where(steps > 0, steps, 1.0))
    steps = np.where(steps > 0, steps.astype(np.float32).astype(np.float64), 1.0)
    codes = np.rint(numbers / steps)
    if not symmetric:
        codes = np.clip(codes + zero, 0, 2**bits - 1) - zero
    found = codes * steps
    size = max(float(np.linalg.norm(numbers[told])), 1e-300)
    return found, float(np.linalg.norm((found - numbers)[told])) / size
