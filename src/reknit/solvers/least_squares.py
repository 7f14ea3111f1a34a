"""Damped least squares, solved on whichever side is smaller."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def solve(matrix: Float[np.ndarray, "n n"], right: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The solution of a square system for one right side, [n], or several, [n, m]: in its dtype, worked out in float64.

    Where the matrix is singular to the last bit (columns that are copies of each other, and so large that their damping
    is lost beside them), the solution of least norm. Not a number where the matrix holds what is none.
    """
    wide, target = matrix.astype(np.float64), right.astype(np.float64)
    if not np.isfinite(wide).all():
        return np.full_like(right, np.nan)
    try:
        found = np.linalg.solve(wide, target)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(wide, target, rcond=None)[0]
    return np.asarray(found, dtype=right.dtype)


def damped_solution(
    columns: Float[np.ndarray, "rows unknowns"], target: Float[np.ndarray, " rows"], damping: float
) -> Float[np.ndarray, " unknowns"]:
    """Minimise ``|columns c - target|^2 + damping * m |c|^2``, with m the mean squared norm of a column.

    Solved with the unknowns' normal equations when they are fewer than the rows, else in the dual
    (``c = C^T (C C^T + damping m I)^-1 target``): min(rows, unknowns)^3 / 3 flops and no larger matrix.
    """
    return damped_solutions(columns, target, (damping,))[0]


def damped_solutions(
    columns: Float[np.ndarray, "rows unknowns"], target: Float[np.ndarray, " rows"], dampings: Sequence[float]
) -> list[Float[np.ndarray, " unknowns"]]:
    """``damped_solution`` for several dampings; the Gram matrix is formed once."""
    rows, unknowns = columns.shape
    primal = unknowns <= rows
    gram = columns.T @ columns if primal else columns @ columns.T
    scale = max(float(gram.diagonal().sum()) / unknowns, 1e-30)
    right = columns.T @ target if primal else target
    identity = np.eye(len(gram), dtype=gram.dtype)
    found = [solve(gram + damping * scale * identity, right) for damping in dampings]
    return found if primal else [columns.T @ solution for solution in found]
