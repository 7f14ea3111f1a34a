"""A low-rank change: what was added has few singular values that are not rounding.

*Statistic.* The largest gap between neighbouring singular values of ``B - A``, once A is in B's basis, and what is left
behind it. *Null.* Of dense changes (training, noise) the gap was at most 1.7; rounding of B leaves a dense floor, so
``GAP`` is asked for, and that the rest is no more than B's own rounding. *False friends.* Factors fitted beside a
low-rank change are off; they are fitted again without it (``explain``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from reknit.changes.naming.change import Change

GAP = 4.0
LARGEST_SHARE = 0.85
"""Of the full rank, from which a rank is not called low."""
SMALLEST = 5
"""Rows and columns that a tensor needs for a rank to mean something."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """What was added.

    Attributes:
        rank: of it.
        gap: the singular value of the rank over the next.
        part: the change itself, in the shape of the tensor.
    """

    rank: int
    gap: float
    part: Float[np.ndarray, ...] = field(repr=False)


def find_low_rank(change: Float[np.ndarray, ...], told: Bool[np.ndarray, ...], rounds: int = 40) -> LowRank | None:
    """The part of few directions of a change; None where there is no gap.

    Args:
        change: B less A, aligned.
        told: where it is known; elsewhere it is filled in by the part itself, round by round.
    """
    rows = change.reshape(len(change), -1)
    known = told.reshape(rows.shape)
    if min(rows.shape) < SMALLEST or not rows.any():
        return None
    whole = bool(known.all())
    filled = np.where(known, rows, 0.0)
    rank, gap, part = 0, 0.0, np.zeros_like(rows)
    for _ in range(1 if whole else rounds):
        left, values, right = np.linalg.svd(filled, full_matrices=False)
        most = max(1, int(LARGEST_SHARE * len(values)))
        gaps = values[:most] / np.maximum(values[1 : most + 1], 1e-12 * values[0])
        rank = int(gaps.argmax()) + 1
        gap = float(gaps[rank - 1])
        part = (left[:, :rank] * values[:rank]) @ right[:rank]
        if not whole:
            filled = np.where(known, rows, part)
    return LowRank(rank, gap, part.reshape(change.shape)) if gap >= GAP else None


def low_rank_change(found: LowRank, size: float, *, exact: bool) -> Change:
    """The change in words.

    Args:
        found: the change.
        size: beside the tensor, by Frobenius norms.
        exact: whether nothing else is left but rounding.
    """
    details = {"rank": found.rank, "size": size, "gap": found.gap}
    return Change("low rank", f"changed by a matrix of rank {found.rank}, {size:.2g} of its size", exact, details)
