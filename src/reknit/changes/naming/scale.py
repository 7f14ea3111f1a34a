"""Factors on units: ``B[i, j] = r[i] A[i, j] c[j]``, positive (``scale``) or of either sign (``sign``).

*Statistic.* The best r and c by least squares, alternately; B is A scaled where every number then agrees to the last
places of the dtype (or lies in the cell of B's grid or cast). n + m factors meet n m numbers, so that equality is
decisive where n and m are 4 or more. *False friends.* Under pruning, a low-rank change or training the factors that fit
best are not 1 either (spread .04, .007, .017 in log on a BERT); so factors are never named for fitting best.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from reknit.changes.naming.change import Change

SLACK = 2.0**-20
"""Relative error of a number behind fitted factors: its own rounding, and theirs."""
SWEEPS, STILL = 60, 1e-13
LEAST = 4
"""Numbers that a factor has to be shared by."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors on the first and the second axis of a tensor.

    Attributes:
        rows: r; ones where they were not fitted.
        columns: c.
    """

    rows: Float[np.ndarray, " n"] = field(repr=False)
    columns: Float[np.ndarray, " m"] = field(repr=False)

    def on(self, first: np.ndarray) -> Float[np.ndarray, ...]:
        """The tensor with its factors."""
        spread = [-1] + [1] * (first.ndim - 1)
        found = first * self.rows.reshape(spread)
        if first.ndim > 1:
            found = found * self.columns.reshape([1, -1] + [1] * (first.ndim - 2))
        return np.asarray(found)

    @property
    def turned(self) -> int:
        """Rows and columns with the other sign than most."""
        return sum(min(int((f < 0).sum()), int((f > 0).sum())) for f in (self.rows, self.columns)) + (
            1 if np.median(self.rows) * np.median(self.columns) < 0 else 0
        )

    def scaled(self, slack: float = SLACK) -> bool:
        """Whether any factor's size is another than 1."""
        sizes = np.abs(np.outer(self._some(self.rows), self._some(self.columns)))
        return bool((np.abs(sizes - 1) > 8 * slack).any())

    @property
    def signs(self) -> Factors:
        """The signs alone."""
        return Factors(np.sign(self.rows), np.sign(self.columns))

    @staticmethod
    def _some(factors: np.ndarray) -> np.ndarray:
        return np.array([np.abs(factors).min(), np.abs(factors).max()])

    @property
    def spread(self) -> float:
        """Deviation of the logarithms of the sizes, rows and columns together."""
        return float(np.hypot(*(np.log(np.abs(f)).std() for f in (self.rows, self.columns))))


def fit_factors(
    first: Float[np.ndarray, ...],
    target: Float[np.ndarray, ...],
    told: Bool[np.ndarray, ...],
    width: Float[np.ndarray, ...] | None = None,
) -> Factors | None:
    """The factors by which a tensor comes nearest to another; None where there are too few numbers to tell.

    Args:
        first: A, aligned with B.
        target: B, or what it should be.
        told: which numbers count.
        width: in which units the numbers differ, of the same shape; None: in their own.
    """
    if first.ndim < 2 or not told.any():
        return None
    n, m = first.shape[:2]
    told = told if width is None else told & (width > 0)
    units = 1.0 if width is None else np.where(told, width, 1.0)
    a = (np.where(told, first, 0.0) / units).reshape(n, m, -1)
    b = (np.where(told, target, 0.0) / units).reshape(n, m, -1)
    cross, size = (a * b).sum(2), np.square(a).sum(2)
    per_row, per_column = int(np.median(told.reshape(n, -1).sum(1))), m > 1 and n * a.shape[2] >= LEAST
    if per_row < LEAST:
        return None
    rows, columns = np.ones(n), np.ones(m)
    if per_column:
        rows = _leading(cross / np.where(size > 0, np.sqrt(size.sum(1, keepdims=True)), 1.0))
    for _ in range(SWEEPS):
        before = rows
        if per_column:
            columns = _ratio(cross, size, rows, 0)
        rows = _ratio(cross, size, columns, 1)
        if np.abs(rows - before).max() <= STILL * np.abs(rows).max():
            break
    middle = np.median(np.abs(columns))  # the split of an overall factor between both is anyone's choice
    middle = middle if middle > 0 else 1.0
    if (columns < 0).sum() * 2 > len(columns):
        middle = -middle
    rows, columns = rows * middle, columns / middle
    if (rows == 0).any() or (columns == 0).any() or not (np.isfinite(rows).all() and np.isfinite(columns).all()):
        rows, columns = (np.where(np.isfinite(f) & (f != 0), f, 1.0) for f in (rows, columns))
    return Factors(rows, columns)


def _leading(cross: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    """Signs to start from: those of the leading singular vector, by a few power steps."""
    signs = np.sign(cross)
    vector = signs @ np.sign(signs[int(np.abs(cross).sum(1).argmax())])
    for _ in range(8):
        vector = signs @ (signs.T @ vector)
        vector = vector / max(float(np.abs(vector).max()), 1e-300)
    return np.where(vector < 0, -1.0, 1.0)


def _ratio(cross: np.ndarray, size: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
    """Least squares for one axis, given the other; 1 where nothing tells."""
    weights = other[None, :] if axis == 1 else other[:, None]
    above, below = (cross * weights).sum(axis), (size * np.square(weights)).sum(axis)
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1.0), 1.0))


def scale_change(factors: Factors, *, exact: bool) -> Change:
    """The change in words."""
    low, high = (
        float(f(np.abs(factors.on(np.ones((len(factors.rows), len(factors.columns))))))) for f in (np.min, np.max)
    )
    if np.isclose(low, high, rtol=1e-5):
        return Change("scale", f"scaled by {low:.4g} throughout", exact, {"factor": low})
    return Change("scale", "scaled by positive factors on units", exact, {"least": low, "most": high})
