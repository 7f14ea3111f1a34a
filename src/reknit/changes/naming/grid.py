"""A rounding: numbers on an even grid, ``step * code (+ offset)``, one step for a tensor, row, column or group.

*Statistic.* For each unit, the whole number m of steps in its largest size (or its range) for which every number lies
on the grid; m up to 255. Of all ways of sharing steps that fit, the one that takes the fewest bits to write down.
*Null.* A continuous number lies within t steps of a grid by chance 2 t. A unit gives ``sum -log2(2 t)`` bits over its
numbers, less those that its choice of m took; below ``BITS`` for the tensor nothing is said. t is the rounding of the
stored dtype: the last places decide, not a threshold. *False friends.* Numbers that were on the grid before are no
change. A grid of few bits has zeros that look like pruning, so it is asked before masks. Behind a cast t is wide, which
the bits account for.

B is a rounding of A where every code of B is that of A: ``code == round((A - offset) / step)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from reknit.changes.naming.cast import held_by
from reknit.changes.naming.change import Change

Per = Literal["tensor", "row", "column", "group"]
GROUPS = (32, 64, 128)
LEVELS = 255
BITS = 40.0
"""Evidence that is asked for: chance below 1e-12."""
LAST = {"float32": 3 * 2.0**-24, "bfloat16": 2 * 2.0**-8, "float16": 2 * 2.0**-11}
"""What a number may be off, beside its size: half a last place for itself, and half for the largest number, which the
step is taken from; in float32 once more for the product of the two."""
TIE = 1e-4
"""Steps by which a number may lie beyond the edge between two codes: ties and the rounding of the step."""
EXACT = 1e-6
"""Up to here a number that fits by chance is rare enough for a unit of few numbers to be believed."""
LEAST_SLACK = 1e-9
_SCREEN, _STEP_BITS, _CHUNK = 8, 32, 128


@dataclass(frozen=True, eq=False)
class Grid:
    """An even grid that all numbers of a tensor lie on.

    Attributes:
        per: what has a step of its own.
        group: numbers of a group along a row; 0 elsewhere.
        steps: of every number, in the shape of the tensor; 0 where all numbers that share it are equal.
        offsets: of every number; 0 where zero is on the grid.
        codes: whole numbers.
        bits: the fewest that hold the codes of any unit.
        evidence: bits, see above; infinite where the codes are stored as such.
        cast: the narrow float that holds all numbers, so that the grid may have gone through it; empty for float32.
        length: bits that it takes to write the numbers down.
    """

    per: Per
    group: int
    steps: Float[np.ndarray, ...] = field(repr=False)
    offsets: Float[np.ndarray, ...] = field(repr=False)
    codes: Int[np.ndarray, ...] = field(repr=False)
    bits: int
    evidence: float
    cast: str = ""
    length: float = 0.0

    @property
    def where(self) -> str:
        """In words: ``per row``, ``per group of 32``."""
        return f"per group of {self.group}" if self.per == "group" else f"per {self.per}"

    @property
    def numbers(self) -> Float[np.ndarray, ...]:
        """The numbers on the grid, in float64."""
        return np.asarray(self.codes * self.steps + self.offsets)

    def agreeing(self, first: np.ndarray, *, off: float = 0.0) -> Bool[np.ndarray, ...]:
        """Which numbers round to the codes that are there; the outermost codes take all that lies beyond.

        Args:
            first: of the shape of the grid.
            off: how far each may be off, beside its size, for reasons of its own.
        """
        values = np.asarray(first, dtype=np.float64)
        steps = np.where(self.steps > 0, self.steps, np.inf)
        last = LAST[self.cast or "float32"] if self.cast else 0.0
        slack = TIE + (last * (np.abs(self.numbers) + self.steps / 2) + off * np.abs(values)) / steps
        places = (values - self.offsets) / steps - self.codes
        top, low = self.codes.max(initial=0), self.codes.min(initial=0)
        beyond = ((self.codes == top) & (places > 0)) | ((self.codes == low) & (places < 0))
        return np.asarray((self.steps > 0) & ((np.abs(places) <= 0.5 + slack) | beyond) | (self.numbers == values))


def bits_of(codes: Int[np.ndarray, ...]) -> int:
    """The fewest bits that hold all codes, counted from the least."""
    return max(1, int(np.ptp(codes)).bit_length()) if codes.size else 1


def find_grid(tensor: np.ndarray) -> Grid | None:
    """The grid that every number of a tensor lies on; None where there is none that the numbers could tell.

    Args:
        tensor: any shape; axis 0 are the rows, axis 1 the columns, and groups run along what is behind axis 0.
    """
    values = np.asarray(tensor, dtype=np.float64)
    if values.size < _SCREEN or not np.isfinite(values).all() or not values.any():
        return None
    cast = next((each for each in ("bfloat16", "float16") if held_by(values, each)), "")
    found = [_shortest(values, each) for each in dict.fromkeys(("", cast))]
    lengths = [each.length for each in found if each is not None]
    best = next((each for each in found if each is not None and each.length == min(lengths)), None)
    return None if best is None else replace(best, cast=cast)


def on_any_grid(tensor: np.ndarray) -> bool:
    """Whether numbers are so few in kind that grids hold them anyway: constants, whole numbers, one-hot tables."""
    sizes = np.unique(np.abs(np.asarray(tensor, dtype=np.float64)))
    return len(sizes) < 3 or bool((sizes == np.round(sizes)).all())


def as_rounding(first: np.ndarray, second: np.ndarray) -> Change | None:
    """B is A rounded: B lies on a grid that A does not lie on, and every code of B is that of A."""
    if first.shape != second.shape or second.dtype.kind != "f" or np.array_equal(first, second):
        return None
    if on_any_grid(first):
        return None
    grid = find_grid(second)
    if grid is None or not grid.agreeing(first).all():
        return None
    return grid_change(grid, exact=True, agreeing=1.0)


def grid_change(grid: Grid, *, exact: bool, agreeing: float) -> Change:
    """The change in words."""
    details = {
        "bits": grid.bits,
        "per": grid.per,
        "group": grid.group,
        "codes": int(grid.codes.size),
        "codes_equal": agreeing,
        "evidence_bits": grid.evidence,
    }
    return Change("grid", f"rounded to {grid.bits} bits {grid.where}", exact, details)


def _units(values: np.ndarray) -> Iterator[tuple[Per, int, Float[np.ndarray, "units numbers"]]]:
    """Every way of sharing steps, with the numbers that share one as rows."""
    yield "tensor", 0, values.reshape(1, -1)
    if values.ndim < 2:
        return
    rows = values.reshape(len(values), -1)
    if len(rows) > 1 and rows.shape[1] > 2:
        yield "row", 0, rows
    columns = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
    if len(columns) > 1 and columns.shape[1] > 2:
        yield "column", 0, columns
    for group in GROUPS:
        if rows.shape[1] % group == 0 and rows.shape[1] > group:
            yield "group", group, rows.reshape(-1, group)


class _Fit(NamedTuple):
    """Of every unit."""

    steps: Float[np.ndarray, " units"]
    low: Float[np.ndarray, " units"]
    codes: Int[np.ndarray, "units numbers"]
    bits: int
    evidence: float
    length: float
    """Bits that it takes to write the numbers down."""


def _shortest(values: np.ndarray, cast: str) -> Grid | None:
    """The grid that writes the numbers down in the fewest bits, of those that fit."""
    best: tuple[Per, int, _Fit] | None = None
    for offset in (False, True):
        for per, group, units in _units(values):
            fit = _fit(units, LAST[cast or "float32"], offset=offset)
            if fit is not None and (best is None or fit.length < best[2].length):
                best = per, group, fit
        if best is not None:
            break
    if best is None:
        return None
    per, group, fit = best
    steps, low = (np.broadcast_to(each[:, None], fit.codes.shape) for each in (fit.steps, fit.low))
    back = [_back(each, values, per) for each in (steps, low, fit.codes)]
    return Grid(per, group, back[0], back[1], back[2], fit.bits, fit.evidence, cast, fit.length)


def _fit(units: Float[np.ndarray, "units numbers"], last: float, *, offset: bool) -> _Fit | None:
    """Steps and codes; None where a unit fits no grid or all of them together say too little."""
    low = units.min(1) if offset else np.zeros(len(units))
    reach = np.ptp(units, axis=1) if offset else np.abs(units).max(1)
    live = np.flatnonzero(reach > 0)
    if not len(live):
        return None
    few = live[np.linspace(0, len(live) - 1, min(_SCREEN, len(live))).astype(int)]
    if (_steps(units[few], low[few], reach[few], last)[0] == 0).any():
        return None
    found, evidence = _steps(units[live], low[live], reach[live], last)
    if (found == 0).any() or evidence.sum() < BITS:
        return None
    steps = np.zeros(len(units))
    steps[live] = found
    safe = np.where(steps > 0, steps, 1.0)
    codes = np.round((units - low[:, None]) / safe[:, None]).astype(np.int64)
    spread = int(np.ptp(codes, axis=1).max())
    reached = spread if offset else 2 * int(np.abs(codes).max())
    length = len(units) * _STEP_BITS * (2 if offset else 1) + units.size * np.log2(reached + 1)
    return _Fit(steps, low, codes, max(1, spread.bit_length()), float(evidence.sum()), length)


def _steps(
    units: np.ndarray, low: np.ndarray, reach: np.ndarray, last: float
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """For each unit the widest step that fits, 0 where none does, and its evidence in bits."""
    steps, evidence = np.zeros(len(units)), np.zeros(len(units))
    heads = units[:, np.linspace(0, units.shape[1] - 1, min(16 if last <= EXACT else 96, units.shape[1])).astype(int)]
    for begin in range(0, len(units), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        likely = _likely(heads[part], low[part], reach[part], last)
        left = np.arange(begin, begin + len(likely))
        for level in (np.flatnonzero(likely.any(0)) + 1).tolist():
            chosen = left[likely[left - begin, level - 1]]
            if not len(chosen):
                continue
            on, bits = _on_grid(units[chosen], low[chosen], reach[chosen], level, last)
            bits -= np.log2(level + 1)
            believed = on & (bits > (1 if last > EXACT else -np.inf))
            steps[chosen[believed]] = reach[chosen[believed]] / level
            evidence[chosen[believed]] = bits[believed]
            left = left[steps[left] == 0]
            if not len(left):
                break
    return steps, evidence


def _likely(heads: np.ndarray, low: np.ndarray, reach: np.ndarray, last: float) -> Bool[np.ndarray, "units levels"]:
    """Which numbers of steps fit the first few numbers of each unit."""
    steps = reach[:, None] / np.arange(1, LEVELS + 1)
    places = (heads - low[:, None])[:, None, :] / steps[:, :, None]
    slack = last * (np.abs(heads) + np.abs(low)[:, None])[:, None, :] / steps[:, :, None] + LEAST_SLACK
    return np.asarray((np.abs(places - np.round(places)) <= slack).all(2))


def _on_grid(
    units: np.ndarray, low: np.ndarray, reach: np.ndarray, level: int, last: float
) -> tuple[Bool[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """Which units lie on their grid, and what that is worth in bits."""
    step = (reach / level)[:, None]
    places = (units - low[:, None]) / step
    slack = last * (np.abs(units) + np.abs(low)[:, None]) / step + LEAST_SLACK
    on = (np.abs(places - np.round(places)) <= slack).all(1)
    worth = -np.log2(np.minimum(2 * slack, 1.0))
    worth[units == 0] = 0.0  # on every grid that has a zero: pruned numbers say nothing
    ends = np.argmax(np.abs(places), axis=1)[:, None]  # fits by construction
    np.put_along_axis(worth, ends, 0.0, axis=1)
    lows = np.argmin(np.abs(places), axis=1)[:, None]
    if low.any():
        np.put_along_axis(worth, lows, 0.0, axis=1)
    return on, worth.sum(1)


def _back(units: np.ndarray, values: np.ndarray, per: Per) -> np.ndarray:
    """Rows of units as they lie in the tensor."""
    if per != "column":
        return np.asarray(units.reshape(values.shape))
    first = (values.shape[1], values.shape[0], *values.shape[2:])
    return np.moveaxis(units.reshape(first), 0, 1)
