"""What made B of A once their units stand in one order: the tests in the order in which they mistake least.

    grid  ->  cast  ->  zeros  ->  factors  ->  low-rank change  ->  drift

B is taken to be *rounded* from something: each of its numbers is a cell, of the width of B's grid, cast or last place.
A change is named exactly where every number of A, changed so, lies in its cell, or was set to zero. Where factors are
unknown they are fitted to the nearest points of the cells, round by round (alternating projections). What was done
before the factors is found by doing it: A cast, or rounded as libraries round (``before``), is tried in A's place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from reknit.changes.naming.before import Before, befores
from reknit.changes.naming.cells import (
    APART,
    Cells,
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
from reknit.changes.naming.identical import equal, identical_change
from reknit.changes.naming.low_rank_fit import low_rank_fit
from reknit.changes.naming.mask import find_mask
from reknit.changes.naming.scale import SLACK, Factors, fit_factors

WIDER, NEARLY = 1.5, 0.9
"""Behind fitted factors, which have errors of their own: every number lies in its cell made so many times wider, and
this share in the cell itself. No dense change keeps all of its numbers so near."""
ROUNDS = 12
FEW = 0.01
"""Share of zeros up to which they are codes that fitted factors just miss."""
SPREAD = 0.25
"""Deviation of the logarithms of factors from which they are named beside a drift: training makes factors, too."""
BETTER = 3.0
"""Times by which factors have to lower what is left to be named beside a drift; of fine-tunes they hardly did."""


def explain(first: Facts, second: Facts, off: float = 0.0) -> Fit:
    """Name what makes B of A, whose units stand in one order.

    Args:
        first: A, moved.
        second: B, of the same shape.
        off: by how much A may be off for the way it was moved, by Frobenius norms; 0 where numbers were only moved.
    """
    if equal(first.numbers, second.numbers):
        return Fit((identical_change(int(second.numbers.size)),), True, 0.0)
    a, b = first.numbers.astype(np.float64), second.numbers.astype(np.float64)
    if not np.isfinite(a).all() or not np.isfinite(b).all():
        return Fit((), False, 1.0)
    second = replace(second, numbers=b, grid=None if _already(first, second) else second.grid)
    cells = Cells(second)
    tried = list(befores(first, second))
    for nearly in (False, True):
        for before in tried:
            for found in _exactly(before, first, second, cells, nearly=nearly):
                return found
    return (_settled(first, second, off) if off else None) or low_rank_fit(first, second, off) or _rest(first, second)


def _settled(first: Facts, second: Facts, off: float) -> Fit | None:
    """Nothing but B's own rounding, and what A is off."""
    b, dropped = second.numbers, set_to_zero(first, second)
    left = relative_to(np.where(dropped, 0.0, b - first.numbers), b)
    if left > off + 1.5 * rounding_of(second):
        return None
    mask = find_mask(first.numbers, b, ~dropped) if dropped.any() and not dropped.all() else None
    names = tuple(loss_changes(first, second, mask, agreeing=float("nan"), exact=False, rounded=True))
    return Fit(names, True, 0.0)


def _already(first: Facts, second: Facts) -> bool:
    """Whether A lies on a grid as fine as B's: then that grid is no change."""
    return first.plain or (
        first.grid is not None
        and second.grid is not None
        and first.grid.bits <= second.grid.bits
        and first.grid.per == second.grid.per
    )


def _exactly(before: Before, first: Facts, second: Facts, cells: Cells, *, nearly: bool) -> Iterator[Fit]:
    """Changes that account for every number: without factors, with signs, with factors; ``nearly``: with factors alone,
    and cells made wider by what factors may be off."""
    a, b = before.numbers, second.numbers
    told = (b != 0) & (a != 0)
    fitted = None
    for kind in ("factors",) if nearly else ("none", "signs", "factors"):
        factors = None
        if kind != "none":
            fitted = fitted or fit_factors(a, b, told, cells.width)
            if fitted is None:
                return
            factors = fitted.signs if kind == "signs" else _into_cells(a, fitted, told, cells)
            if (kind == "signs" and not factors.turned) or (kind == "factors" and not _told(factors, cells)):
                continue
        moved = a if factors is None else factors.on(a)
        holds = cells.holds(moved, SLACK if kind == "factors" else 0.0)
        share = float(holds[b != 0].mean()) if (b != 0).any() else 0.0
        if nearly:
            if share < NEARLY:
                continue
            holds |= cells.holds(moved, SLACK, WIDER)
        dropped = (b == 0) & (a != 0) & ~holds
        beyond = dropped if second.grid is None else dropped & (np.abs(moved) > second.grid.steps)
        if nearly and beyond.mean() < FEW:  # codes of zero that a number just misses
            holds |= dropped
            dropped = np.zeros_like(dropped)
        if not (~dropped & (a != 0)).any() or share == 0.0 or not (holds | dropped).all():
            continue
        mask = find_mask(first.numbers, b, ~dropped) if dropped.any() else None
        exact = not nearly
        names = [*before.changes, *factor_changes(factors, exact=exact and second.grid is None)]
        names += loss_changes(first, second, mask, agreeing=share, exact=exact, rounded=not before.rounded)
        if names:
            yield Fit(tuple(names), True, 0.0, factors)


def _told(factors: Factors, cells: Cells) -> bool:
    """Whether factors are others than 1 by more than fitting them through cells is off."""
    return factors.scaled(SLACK if cells.width is None else APART) or bool(factors.turned)


def _into_cells(a: np.ndarray, factors: Factors, told: np.ndarray, cells: Cells) -> Factors:
    """Factors moved until everything lies in its cell, if it can: alternating projections."""
    if cells.width is None:
        return factors
    for _ in range(ROUNDS):
        moved = factors.on(a)
        holds = cells.holds(moved, SLACK)[told]
        if holds.all() or holds.mean() < NEARLY / 2:
            break
        again = fit_factors(a, cells.nearest(moved), told, cells.width)
        if again is None:
            break
        factors = again
    return factors


def _rest(first: Facts, second: Facts) -> Fit:
    """A drift, with what else B says on its own."""
    a, b = first.numbers.astype(np.float64), second.numbers
    dropped = set_to_zero(first, second)
    mask = find_mask(a, b, ~dropped) if dropped.any() and not dropped.all() else None
    told = ~dropped if mask is not None else np.ones(b.shape, dtype=bool)

    def left(factors: Factors | None) -> float:
        moved = a if factors is None else factors.on(a)
        return relative(np.where(told, moved, 0.0), np.where(told, b, 0.0))

    size, chosen = left(None), None
    rows = (changed_rows(a, b), len(a)) if a.ndim > 1 else None
    fitted = fit_factors(a, b, told & (a != 0))
    if fitted is not None:
        for factors in (fitted.signs, fitted):
            if left(factors) * BETTER < size and (factors.turned or factors.spread > SPREAD):
                size, chosen = left(factors), factors
    names = [*factor_changes(chosen, exact=False), drift_change(size, rows=rows)]
    names += loss_changes(first, second, mask, agreeing=float("nan"), exact=False, rounded=True)
    return Fit(tuple(names), False, size, chosen)
