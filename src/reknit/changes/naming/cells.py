"""B as cells: for each of its numbers, what could have been rounded to it; and the words for what was lost so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from reknit.changes.naming.cast import cast_change, held_by
from reknit.changes.naming.change import Change
from reknit.changes.naming.facts import Facts
from reknit.changes.naming.grid import grid_change
from reknit.changes.naming.mask import Mask, mask_change
from reknit.changes.naming.scale import SLACK, Factors, scale_change
from reknit.changes.naming.sign import sign_change

APART = 0.01
"""An eighth of what the size of a factor has to be from 1 to be named where it was fitted through cells or noise."""


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
class Cells:
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


def factor_changes(factors: Factors | None, *, exact: bool) -> Iterator[Change]:
    """Scale and sign, where factors are others than 1."""
    if factors is None:
        return
    if factors.scaled(SLACK if exact else APART):
        yield scale_change(factors, exact=exact)
    if factors.turned:
        yield sign_change(factors.turned, exact=True)


def loss_changes(
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
    return held_by(first.numbers, dtype)


def set_to_zero(first: Facts, second: Facts) -> Bool[np.ndarray, ...]:
    """What of A is zero in B; nothing, where the zeros of B are those of a grid."""
    dropped = (second.numbers == 0) & (first.numbers != 0)
    if second.grid is not None and second.grid.steps.any():
        codes = second.grid.codes
        beside = ((codes == 1).sum() + (codes == -1).sum()) / 2
        if dropped.sum() <= 3 * beside + 8:
            return np.zeros_like(dropped)
        dropped &= ~second.grid.agreeing(first.numbers)
    return np.asarray(dropped)


def rounding_of(second: Facts) -> float:
    """What rounding leaves of a tensor, relative: a uniform error in each cell."""
    half = second.grid.steps / 2 if second.grid is not None else second.half_step
    return float(np.linalg.norm(half) / 3**0.5 / max(float(np.linalg.norm(second.numbers)), 1e-300))


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """How far B is from A, beside A."""
    return relative_to(b - a, a)


def relative_to(left: np.ndarray, whole: np.ndarray) -> float:
    """The size of one tensor beside another's."""
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(left)) / size if size > 0 else float(np.linalg.norm(left) > 0)
