"""A sparse mask: numbers set to zero, all others as they were.

*Statistic.* Which numbers are zero in B and not in A. The mask is exact where all that is kept is equal. What chose the
numbers: the area under the curve of ``|A|`` for kept against dropped is 1 for pruning by magnitude, 1/2 for a random
choice (*null*: Mann and Whitney 1947, doi:10.1214/aoms/1177730491; five standard deviations are asked for); two of four
where every aligned four along a row holds two zeros, which one in three groups of an unstructured half does not; whole
rows or columns where nothing else is zero. *False friends.* Rounding to few bits makes zeros of the least numbers
(``grid``, asked before); zeros of A are no change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from reknit.changes.naming.change import Change

Pattern = Literal["by magnitude", "at random", "two of four", "whole rows", "whole columns", "unknown"]
LINES: tuple[Pattern, Pattern] = ("whole rows", "whole columns")
SIGMAS = 5.0
MAGNITUDE = 0.999
"""Area from which a choice is by magnitude: ranks by row or by tensor, and ties, cost less than that."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Numbers that B has set to zero.

    Attributes:
        dropped: where; of the shape of the tensor.
        pattern: what chose them.
        area: under the curve of ``|A|``, kept against dropped.
    """

    dropped: Bool[np.ndarray, ...] = field(repr=False)
    pattern: Pattern
    area: float

    @property
    def share(self) -> float:
        """Of all numbers."""
        return float(self.dropped.mean())

    @property
    def words(self) -> str:
        """``50 % of the numbers set to zero by magnitude``."""
        how = "" if self.pattern == "unknown" else f", {self.pattern}"
        return f"{100 * self.share:.3g} % of the numbers set to zero{how}"


def find_mask(first: np.ndarray, second: np.ndarray, also: np.ndarray | None = None) -> Mask | None:
    """What of A is zero in B; None where nothing is.

    Args:
        first: A, of the shape of B.
        second: B.
        also: zeros that something else explains, a grid.
    """
    dropped = (second == 0) & (first != 0)
    if also is not None:
        dropped &= ~also
    if not dropped.any():
        return None
    area = _area(np.abs(first)[~dropped & (first != 0)], np.abs(first)[dropped])
    return Mask(dropped, _pattern(first, second, dropped, area), area)


def as_mask(first: np.ndarray, second: np.ndarray) -> Change | None:
    """B is A with numbers set to zero: everything else is equal, and something else is left."""
    if first.shape != second.shape or second.dtype.kind != "f":
        return None
    mask = find_mask(first, second)
    if mask is None or mask.dropped.all() or not (mask.dropped | (first == second)).all():
        return None
    return mask_change(mask, exact=True)


def mask_change(mask: Mask, *, exact: bool) -> Change:
    """The change in words."""
    details = {"share": mask.share, "pattern": mask.pattern, "area": mask.area}
    return Change("mask", mask.words, exact, details)


def _pattern(first: np.ndarray, second: np.ndarray, dropped: np.ndarray, area: float) -> Pattern:
    if dropped.ndim > 1:
        for axis, name in enumerate(LINES):
            along = np.moveaxis(dropped | (first == 0), axis, 0).reshape(dropped.shape[axis], -1).all(1)
            lines = np.moveaxis(dropped, axis, 0).reshape(len(along), -1)
            if along.any() and not along.all() and not lines[~along].any():
                return name
        rows = second.reshape(len(second), -1)
        whole = rows.shape[1] // 4 * 4  # what lies behind the last four stays
        if whole:
            zeros = (rows[:, :whole].reshape(-1, 4) == 0).sum(1)
            if (zeros >= 2).all() and len(zeros) >= 8 and (zeros == 2).mean() > 0.9:
                return "two of four"
    if area >= MAGNITUDE:
        return "by magnitude"
    kept, gone = int((~dropped & (first != 0)).sum()), int(dropped.sum())
    if kept and gone:
        deviation = ((kept + gone + 1) / (12.0 * kept * gone)) ** 0.5
        if abs(area - 0.5) <= SIGMAS * deviation:
            return "at random"
    return "unknown"


def _area(kept: Float[np.ndarray, " k"], gone: Float[np.ndarray, " g"]) -> float:
    """The chance that a kept number is larger than a dropped one, ties counted half; 1/2 where there are none."""
    if not len(kept) or not len(gone):
        return 0.5
    ordered = np.sort(gone)
    below = np.searchsorted(ordered, kept, "left") + np.searchsorted(ordered, kept, "right")
    return float(below.sum() / (2.0 * len(kept) * len(gone)))
