"""What made B of A once their units stand in one order: the tests in the order in which they mistake least.

    grid  ->  cast  ->  zeros  ->  factors  ->  low-rank change  ->  drift

B is taken to be *rounded* from something: each of its numbers is a cell, of the width of B's grid, cast or last place.
A change is named exactly where every number of A, changed so, lies in its cell, or was set to zero. Where factors are
unknown they are fitted to the nearest points of the cells, round by round (alternating projections). What was done
before the factors is found by doing it: A cast, or rounded as libraries round (``before``), is tried in A's place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from reknit.changes.naming.before import Before, befores
from reknit.changes.naming.cast import cast_change
from reknit.changes.naming.change import Change
from reknit.changes.naming.drift import drift_change
from reknit.changes.naming.facts import Facts
from reknit.changes.naming.grid import grid_change
from reknit.changes.naming.identical import equal, identical_change
from reknit.changes.naming.low_rank import LowRank, find_low_rank, low_rank_change
from reknit.changes.naming.mask import Mask, find_mask, mask_change
from reknit.changes.naming.scale import SLACK, Factors, fit_factors, scale_change
from reknit.changes.naming.sign import sign_change

NEARLY = 0.999
"""Share of cells that have to hold where factors were fitted through a grid: they end on the edges of some."""
ROUNDS = 40
BETTER = 3.0
"""Times by which factors have to lower what is left to be named beside a drift; of fine-tunes they hardly did."""


@dataclass(frozen=True, eq=False)
class Fit:
    """What was done to A, in its order, and what is left.

    Attributes:
        changes: without the basis.
        explained: whether every number of B is accounted for.
        left: what is not, beside B, by Frobenius norms; 0 where explained.
        factors: on the units, where they were needed.
    """

    changes: tuple[Change, ...]
    explained: bool
    left: float
    factors: Factors | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Whether numbers could have been rounded to those of B."""

    second: Facts

    def holds(self, moved: np.ndarray, slack: float) -> Bool[np.ndarray, ...]:
        """Number by number; ``slack`` is relative."""
        b = self.second
        if b.grid is not None:
            return b.grid.agreeing(moved, off=slack)
        room = (b.half_step if b.cast else 0.0) + slack * np.abs(b.numbers)
        return np.asarray(np.abs(moved - b.numbers) <= room * (1 + 1e-6))

    def nearest(self, moved: np.ndarray) -> Float[np.ndarray, ...]:
        """The nearest point of each cell."""
        b = self.second
        half = b.grid.steps / 2 if b.grid is not None else b.half_step
        middle = b.grid.numbers if b.grid is not None else b.numbers
        return np.asarray(np.clip(moved, middle - half, middle + half))


def explain(first: Facts, second: Facts) -> Fit:
    """Name what makes B of A, whose units stand in one order.

    Args:
        first: A, moved.
        second: B, of the same shape.
    """
    if equal(first.numbers, second.numbers):
        return Fit((identical_change(int(second.numbers.size)),), True, 0.0)
    a, b = first.numbers.astype(np.float64), second.numbers.astype(np.float64)
    if not np.isfinite(a).all() or not np.isfinite(b).all():
        return Fit((), False, 1.0)
    second = replace(second, numbers=b, grid=None if _already(first, second) else second.grid)
    cells = _Cells(second)
    rough = _relative(a, b)
    for before in befores(first, second, rough):
        for fitted in (False, True):
            found = _exactly(before, first, second, cells, fitted=fitted)
            if found is not None:
                return found
    return _low_rank(first, second, cells) or _rest(first, second)


def _already(first: Facts, second: Facts) -> bool:
    """Whether A lies on a grid as fine as B's: then that grid is no change."""
    return first.plain or (
        first.grid is not None
        and second.grid is not None
        and first.grid.bits <= second.grid.bits
        and first.grid.per == second.grid.per
    )


def _exactly(before: Before, first: Facts, second: Facts, cells: _Cells, *, fitted: bool) -> Fit | None:
    """A change that accounts for every number, with or without factors."""
    a, b = before.numbers, second.numbers
    factors, moved = None, a
    told = (b != 0) & (a != 0)
    if fitted:
        factors = fit_factors(a, b, told)
        if factors is None:
            return None
        factors = _into_cells(a, factors, told, cells, second)
        moved = factors.on(a)
    holds = cells.holds(moved, SLACK if fitted else 0.0)
    dropped = (b == 0) & (a != 0) & ~holds
    kept = ~dropped & (a != 0)
    whole = bool((holds | dropped).all())
    nearly = fitted and second.grid is not None and float((holds | dropped).mean()) >= NEARLY
    if not (whole or nearly) or not kept.any() or not (b != 0).any():
        return None
    mask = find_mask(first.numbers, b, ~dropped) if dropped.any() else None
    share = float(holds[~dropped].mean())
    names = [*before.changes, *_factor_changes(factors, exact=whole and second.grid is None)]
    names += _loss_changes(first, second, mask, agreeing=share, exact=whole, rounded=not before.rounded)
    return Fit(tuple(names), True, 0.0, factors) if names else None


def _into_cells(a: np.ndarray, factors: Factors, told: np.ndarray, cells: _Cells, second: Facts) -> Factors:
    """Factors moved until everything lies in its cell, if it can: alternating projections."""
    if second.grid is None and not second.cast:
        return factors
    for _ in range(ROUNDS):
        moved = factors.on(a)
        if cells.holds(moved, SLACK)[told].all():
            break
        again = fit_factors(a, cells.nearest(moved), told)
        if again is None:
            break
        factors = again
    return factors


def _factor_changes(factors: Factors | None, *, exact: bool) -> Iterator[Change]:
    if factors is None:
        return
    if factors.scaled():
        yield scale_change(factors, exact=exact)
    if factors.turned:
        yield sign_change(factors.turned, exact=True)


def _loss_changes(
    first: Facts, second: Facts, mask: Mask | None, *, agreeing: float, exact: bool, rounded: bool
) -> Iterator[Change]:
    """What was lost, in the order in which it is usually done."""
    if mask is not None:
        yield mask_change(mask, exact=exact)
    if second.grid is not None and rounded:
        yield grid_change(second.grid, exact=exact, agreeing=agreeing)
    if second.cast and second.cast != first.cast and _tells(second) and not _held(first, second.cast):
        yield cast_change(second.cast, numbers=int(second.numbers.size), exact=exact)


def _tells(second: Facts) -> bool:
    """Whether B's cast says something beside its grid: sizes of few bits may be held by chance."""
    return second.grid is None or len(np.unique(second.grid.steps)) >= 3 or second.grid.cast != ""


def _held(first: Facts, dtype: str) -> bool:
    """Whether A's numbers are all of this narrow float already."""
    from reknit.changes.naming.cast import held_by

    return held_by(first.numbers, dtype)


def _low_rank(first: Facts, second: Facts, cells: _Cells) -> Fit | None:
    """A low-rank change, with or without factors, and B's own rounding behind it."""
    a, b = first.numbers.astype(np.float64), second.numbers
    told = ~((b == 0) & (a != 0))
    if told.mean() < 0.2:
        return None
    for fitted in (False, True):
        found = _with_low_rank(a, second, told, fitted=fitted)
        if found is None:
            continue
        low, factors = found
        moved = (factors.on(a) if factors else a) + low.part
        left = np.where(told, b - moved, 0.0)
        floor = _floor(second)
        size = float(np.linalg.norm(low.part) / np.linalg.norm(moved))
        mask = find_mask(first.numbers, b) if not told.all() else None
        spare = _relative_to(left, b)
        settled = spare <= 3 * floor + 1e-6
        if not settled and size < BETTER * spare:
            continue
        names = [*_factor_changes(factors, exact=settled), low_rank_change(low, size, exact=settled)]
        names += [] if settled else [drift_change(spare)]
        names += _loss_changes(first, second, mask, agreeing=float("nan"), exact=False, rounded=True)
        return Fit(tuple(names), settled, 0.0 if settled else spare, factors)
    return None


def _with_low_rank(
    a: np.ndarray, second: Facts, told: np.ndarray, *, fitted: bool
) -> tuple[LowRank, Factors | None] | None:
    """The part of low rank, and the factors fitted again beside it until they stay."""
    b = second.numbers
    factors = fit_factors(a, b, told & (a != 0)) if fitted else None
    if fitted and factors is None:
        return None
    low = find_low_rank(b - (factors.on(a) if factors else a), told)
    if low is None or not fitted:
        return None if low is None else (low, factors)
    for _ in range(ROUNDS):
        again = fit_factors(a, b - low.part, told & (a != 0))
        if again is None:
            break
        nearer = find_low_rank(b - again.on(a), told)
        if nearer is None or nearer.rank > low.rank:
            break
        still = bool(np.linalg.norm(nearer.part - low.part) <= 1e-9 * np.linalg.norm(b))
        low, factors = nearer, again
        if still:
            break
    return (low, factors) if factors is not None and (factors.scaled(1e-4) or factors.turned) else None


def _floor(second: Facts) -> float:
    """What rounding leaves of a tensor, relative: a uniform error in each cell."""
    half = second.grid.steps / 2 if second.grid is not None else second.half_step
    return float(np.linalg.norm(half) / 3**0.5 / max(float(np.linalg.norm(second.numbers)), 1e-300))


def _rest(first: Facts, second: Facts) -> Fit:
    """A drift, with what else B says on its own."""
    a, b = first.numbers.astype(np.float64), second.numbers
    dropped = (b == 0) & (a != 0)
    if second.grid is not None:
        dropped &= ~second.grid.agreeing(np.zeros_like(b))
    mask = find_mask(a, b, ~dropped) if dropped.any() and not dropped.all() else None
    told = ~dropped if mask is not None else np.ones(b.shape, dtype=bool)
    plain = _relative(np.where(told, a, 0.0), np.where(told, b, 0.0))
    names: list[Change] = []
    factors = fit_factors(a, b, told & (a != 0))
    if factors is not None:
        left = _relative(np.where(told, factors.on(a), 0.0), np.where(told, b, 0.0))
        if left * BETTER < plain:
            names, plain = list(_factor_changes(factors, exact=False)), left
        else:
            factors = None
    names.append(drift_change(plain))
    names += _loss_changes(first, second, mask, agreeing=float("nan"), exact=False, rounded=True)
    return Fit(tuple(names), False, plain, factors)


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return _relative_to(b - a, a)


def _relative_to(left: np.ndarray, whole: np.ndarray) -> float:
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(left)) / size if size > 0 else float(np.linalg.norm(left) > 0)
