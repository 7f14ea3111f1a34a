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
LOW, CLEAR = 0.5, 1000.0
"""Share of the full rank up to which a rank is low; beyond, the gap has to be that of exact numbers."""
PER_NUMBER = 2.5
"""Known numbers for each that a part of low rank is free in, where it has to fill in others."""
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
    if whole and _gap(_values(rows))[1] < GAP:
        return None
    filled = np.where(known, rows, 0.0)
    rank, gap, part = 0, 0.0, np.zeros_like(rows)
    for _ in range(1 if whole else rounds):
        left, values, right = np.linalg.svd(filled, full_matrices=False)
        rank, gap = _gap(values)
        part = (left[:, :rank] * values[:rank]) @ right[:rank]
        if not whole:
            if rank * (sum(rows.shape) - rank) * PER_NUMBER > known.sum():
                return None
            filled = np.where(known, rows, part)
    return LowRank(rank, gap, part.reshape(change.shape)) if gap >= GAP else None


def _values(rows: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " k"]:
    """Singular values by the smaller Gram matrix: half the digits, enough to see a gap, at a tenth of the cost."""
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))


def _gap(values: Float[np.ndarray, " k"]) -> tuple[int, float]:
    """The rank with the largest gap behind it, and the gap."""
    gaps = values[:-1] / np.maximum(values[1:], 1e-12 * values[0])
    low = max(1, int(LOW * len(values)))
    beyond = int(gaps.argmax())
    rank = beyond if gaps[beyond] >= CLEAR else int(gaps[:low].argmax())
    return rank + 1, float(gaps[rank])


def low_rank_change(found: LowRank, size: float, *, exact: bool) -> Change:
    """The change in words.

    Args:
        found: the change.
        size: beside the tensor, by Frobenius norms.
        exact: whether nothing else is left but rounding.
    """
    details = {"rank": found.rank, "size": size, "gap": found.gap}
    return Change("low rank", f"changed by a matrix of rank {found.rank}, {size:.2g} of its size", exact, details)
