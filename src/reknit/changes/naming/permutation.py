"""Units in another order: the rows of B are those of A, matched by a linear assignment on the size of their cosines.

*Statistic.* The ratio test of matching (Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94): ``(1 - runner-up) / (1 -
matched)`` of a unit, the runner-up the best of its row and column beside its match. *Null.* Between networks trained
apart (docs/diff.md has the figures) the matched unit is hardly nearer than the runner-up; ``RATIO`` and ``SHARE`` lie
between those and real fine-tunes. Equality afterwards proves an order, whatever the test said.
*False friends.* Networks trained apart on one task share features, so agreement of two matchings proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from reknit.changes.naming.change import Change
from reknit.solvers.assignment import best_matching

RATIO, SHARE = 1.5, 0.6
LARGEST = 2600
"""Units from which no assignment is solved."""


@dataclass(frozen=True, eq=False)
class Matched:
    """Units of A for those of B.

    Attributes:
        order: the unit of A for every unit of B.
        ratios: of the ratio test, unit by unit.
        cosines: of the matched units, with their signs.
        how: they were compared, see ``match_units``.
    """

    order: Int[np.ndarray, " units"] = field(repr=False)
    ratios: Float[np.ndarray, " units"] = field(repr=False)
    cosines: Float[np.ndarray, " units"] = field(repr=False)
    how: str = "cosine"

    @property
    def share(self) -> float:
        """Of units whose match passes the ratio test."""
        return float((self.ratios > RATIO).mean()) if len(self.ratios) else 0.0

    @property
    def believed(self) -> bool:
        """Whether the networks are nearer than networks trained apart."""
        return len(self.order) >= 4 and self.share >= SHARE

    @property
    def moved(self) -> int:
        """How many units stand elsewhere."""
        return int((self.order != np.arange(len(self.order))).sum())


def match_units(first: np.ndarray, second: np.ndarray, how: str = "cosine") -> Matched | None:
    """The rows of A that the rows of B are.

    Args:
        first: A; whatever lies behind the first axis is in B's basis already.
        second: B.
        how: ``cosine``: the size of the cosine; ``magnitude``: of sizes less their mean, which no sign of a column
            changes; ``sorted``: of sorted sizes, which no order of columns changes either.
    """
    n = len(first)
    if n != len(second) or n < 2 or n > LARGEST or not first.size:
        return None
    a, b = (_rows(each.reshape(n, -1), how) for each in (first, second))
    shuffle = np.random.default_rng(0).permutation(n)  # ties must not be broken towards the identity
    cosines = b @ a[shuffle].T
    scores = np.abs(cosines) if how == "cosine" else cosines
    columns = best_matching(scores)
    rows = np.arange(n)
    matched = scores[rows, columns].copy()
    rivals = scores
    rivals[rows, columns] = -1.0
    second_best = np.maximum(rivals.max(1), rivals.max(0)[columns])
    floor = 1e-12
    ratios = (1 - second_best + floor) / np.maximum(1 - matched + floor, floor)
    signed = _signed(cosines, matched, columns) if how == "cosine" else matched
    return Matched(shuffle[columns], ratios, signed, how)


def _signed(cosines: np.ndarray, matched: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, " units"]:
    """The matched cosines; ``abs`` made a copy, so the signs are still there."""
    return np.asarray(np.copysign(matched, cosines[np.arange(len(columns)), columns]))


def _rows(rows: np.ndarray, how: str) -> Float[np.ndarray, "units numbers"]:
    values = rows.astype(np.float64)
    if how != "cosine":
        values = np.abs(values)
        if how == "sorted":
            values = np.sort(values, axis=1)
        values = values - values.mean(1 if how == "magnitude" else 0, keepdims=True)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-300))


def permutation_change(orders: dict[str, np.ndarray], *, exact: bool) -> Change:
    """The change in words; axis name -> order."""
    moved = {name: int((order != np.arange(len(order))).sum()) for name, order in orders.items()}
    what = " and ".join(f"{count} of {len(orders[name])} {name}" for name, count in moved.items() if count)
    return Change("permutation", f"permuted: {what} moved", exact, {"moved": moved})
