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

WIDER, NEARLY = 1.5, 0.9
"""Behind fitted factors, which have errors of their own: every number lies in its cell made so many times wider, and this
share in the cell itself. No dense change keeps all of its numbers so near."""
ROUNDS = 12
APART = 0.01
"""An eighth of what the size of a factor has to be from 1 to be named where it was fitted through cells or noise."""
FEW = 0.01
"""Share of zeros up to which they are codes that fitted factors just miss."""
CLOSE = 1e-3
"""What a part of low rank may leave, relative, where it was fitted around zeros: many numbers for each of its own."""
ROUNDS_BESIDE = 60
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

    def holds(self, moved: np.ndarray, slack: float, wider: float = 1.0) -> Bool[np.ndarray, ...]:
        """Number by number; ``slack`` is relative to the numbers, ``wider`` to the cells."""
        b = self.second
        if b.grid is not None:
            holds = b.grid.agreeing(moved, off=slack)
            if wider > 1:
                holds |= np.abs(moved - b.grid.numbers) <= wider * b.grid.steps / 2
            return holds
        room = (wider * b.half_step if b.cast else 0.0) + slack * np.abs(b.numbers)
        return np.asarray(np.abs(moved - b.numbers) <= room * (1 + 1e-6))

    @property
    def width(self) -> Float[np.ndarray, ...] | None:
        """Half of each cell; None where cells are but last places."""
        b = self.second
        return b.grid.steps / 2 if b.grid is not None else b.half_step if b.cast else None

    def nearest(self, moved: np.ndarray) -> Float[np.ndarray, ...]:
        """The nearest point of each cell."""
        b = self.second
        half = b.grid.steps / 2 if b.grid is not None else b.half_step
        middle = b.grid.numbers if b.grid is not None else b.numbers
        return np.asarray(np.clip(moved, middle - half, middle + half))


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
    cells = _Cells(second)
    tried = list(befores(first, second))
    for nearly in (False, True):
        for before in tried:
            for found in _exactly(before, first, second, cells, nearly=nearly):
                return found
    return (_settled(first, second, off) if off else None) or _low_rank(first, second, off) or _rest(first, second)


def _settled(first: Facts, second: Facts, off: float) -> Fit | None:
    """Nothing but B's own rounding, and what A is off."""
    b, dropped = second.numbers, _set_to_zero(first, second)
    left = _relative_to(np.where(dropped, 0.0, b - first.numbers), b)
    if left > off + 1.5 * _floor(second):
        return None
    mask = find_mask(first.numbers, b, ~dropped) if dropped.any() and not dropped.all() else None
    names = tuple(_loss_changes(first, second, mask, agreeing=float("nan"), exact=False, rounded=True))
    return Fit(names, True, 0.0)


def _already(first: Facts, second: Facts) -> bool:
    """Whether A lies on a grid as fine as B's: then that grid is no change."""
    return first.plain or (
        first.grid is not None
        and second.grid is not None
        and first.grid.bits <= second.grid.bits
        and first.grid.per == second.grid.per
    )


def _exactly(before: Before, first: Facts, second: Facts, cells: _Cells, *, nearly: bool) -> Iterator[Fit]:
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
        if nearly and dropped.mean() < FEW:  # codes of zero that a number just misses
            holds |= dropped
            dropped = np.zeros_like(dropped)
        if not (~dropped & (a != 0)).any() or share == 0.0 or not (holds | dropped).all():
            continue
        mask = find_mask(first.numbers, b, ~dropped) if dropped.any() else None
        exact = not nearly
        names = [*before.changes, *_factor_changes(factors, exact=exact and second.grid is None)]
        names += _loss_changes(first, second, mask, agreeing=share, exact=exact, rounded=not before.rounded)
        if names:
            yield Fit(tuple(names), True, 0.0, factors)


def _told(factors: Factors, cells: _Cells) -> bool:
    """Whether factors are others than 1 by more than fitting them through cells is off."""
    return factors.scaled(SLACK if cells.width is None else APART) or bool(factors.turned)


def _into_cells(a: np.ndarray, factors: Factors, told: np.ndarray, cells: _Cells) -> Factors:
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


def _factor_changes(factors: Factors | None, *, exact: bool) -> Iterator[Change]:
    if factors is None:
        return
    if factors.scaled(SLACK if exact else APART):
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


def _low_rank(first: Facts, second: Facts, off: float) -> Fit | None:
    """A low-rank change, with or without factors, and B's own rounding behind it."""
    dropped = _set_to_zero(first, second)
    told, b, floor = ~dropped, second.numbers, _floor(second)
    if told.mean() < 0.2 or second.numbers.ndim < 2:
        return None
    best: tuple[int, Fit] | None = None
    for before in (*befores(first, second, 0.0), *_roundings_left(first, second, told)):
        for kind in ("none", "signs", "factors"):
            found = _with_low_rank(before.numbers, second, told, kind)
            if found is None:
                continue
            low, factors = found
            moved = (factors.on(before.numbers) if factors else before.numbers) + low.part
            size = float(np.linalg.norm(low.part) / np.linalg.norm(moved))
            left = _relative_to(np.where(told, b - moved, 0.0), b)
            settled = left <= 2 * floor + 1e-6 + off or (dropped.any() and left <= CLOSE and size > 20 * left)
            if not settled and (size < BETTER * left or before.changes):
                continue
            rank = low.rank if settled else low.rank + min(b.shape[0], b[0].size)
            if best is not None and best[0] <= rank:
                continue
            mask = find_mask(first.numbers, b, told) if dropped.any() else None
            names = [*before.changes, *_factor_changes(factors, exact=settled and floor < 1e-6)]
            names += [low_rank_change(low, size, exact=settled), *([] if settled else [drift_change(left)])]
            names += _loss_changes(first, second, mask, agreeing=float("nan"), exact=False, rounded=not before.rounded)
            best = rank, Fit(tuple(names), settled, 0.0 if settled else left, factors)
        if best is not None and best[1].explained:
            break
    return best[1] if best is not None else None


def _roundings_left(first: Facts, second: Facts, told: np.ndarray) -> Iterator[Before]:
    """Roundings whose error is about what a part of low rank leaves."""
    if second.numbers.size > 1 << 18:
        return
    change = np.where(told, second.numbers - first.numbers, 0.0)
    low = find_low_rank(change, told)
    if low is not None:
        left = _relative_to(np.where(told, change - low.part, 0.0), first.numbers)
        yield from (each for each in befores(first, second, left) if each.rounded)
    elif second.numbers.size <= 1 << 15:
        left = _relative_to(change, first.numbers)
        yield from (each for each in befores(first, second, left, 0.3) if each.rounded)


def _set_to_zero(first: Facts, second: Facts) -> Bool[np.ndarray, ...]:
    """What of A is zero in B; nothing, where the zeros of B are those of a grid."""
    dropped = (second.numbers == 0) & (first.numbers != 0)
    if second.grid is not None and second.grid.steps.any():
        codes = second.grid.codes
        beside = ((codes == 1).sum() + (codes == -1).sum()) / 2
        if dropped.sum() <= 3 * beside + 8:
            return np.zeros_like(dropped)
        dropped &= ~second.grid.agreeing(first.numbers)
    return np.asarray(dropped)


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


def _beside(a: np.ndarray, b: np.ndarray, told: np.ndarray, factors: Factors | None, *, whole: bool) -> LowRank | None:
    """The part of low rank beside A with its factors; sought where all factors are 1, so that no row drowns others."""
    rounds = 40 if factors is None or whole else 8
    if factors is None:
        return find_low_rank(b - a, told, rounds)
    units = factors.on(np.ones(a.shape))
    found = find_low_rank(b / units - a, told, rounds)
    return None if found is None else replace(found, part=found.part * units)


def _floor(second: Facts) -> float:
    """What rounding leaves of a tensor, relative: a uniform error in each cell."""
    half = second.grid.steps / 2 if second.grid is not None else second.half_step
    return float(np.linalg.norm(half) / 3**0.5 / max(float(np.linalg.norm(second.numbers)), 1e-300))


def _rest(first: Facts, second: Facts) -> Fit:
    """A drift, with what else B says on its own."""
    a, b = first.numbers.astype(np.float64), second.numbers
    dropped = _set_to_zero(first, second)
    mask = find_mask(a, b, ~dropped) if dropped.any() and not dropped.all() else None
    told = ~dropped if mask is not None else np.ones(b.shape, dtype=bool)

    def left(factors: Factors | None) -> float:
        moved = a if factors is None else factors.on(a)
        return _relative(np.where(told, moved, 0.0), np.where(told, b, 0.0))

    size, chosen = left(None), None
    fitted = fit_factors(a, b, told & (a != 0))
    if fitted is not None:
        for factors in (fitted.signs, fitted):
            if left(factors) * BETTER < size:
                size, chosen = left(factors), factors
    names = [*_factor_changes(chosen, exact=False), drift_change(size)]
    names += _loss_changes(first, second, mask, agreeing=float("nan"), exact=False, rounded=True)
    return Fit(tuple(names), False, size, chosen)


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return _relative_to(b - a, a)


def _relative_to(left: np.ndarray, whole: np.ndarray) -> float:
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(left)) / size if size > 0 else float(np.linalg.norm(left) > 0)
