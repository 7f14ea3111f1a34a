"""Damped least squares, solved on whichever side is smaller."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def damped_solution(
    columns: Float[Tensor, "rows unknowns"], target: Float[Tensor, " rows"], damping: float
) -> Float[Tensor, " unknowns"]:
    """Minimise ``|columns c - target|^2 + damping * m |c|^2``, with m the mean squared norm of a column.

    Solved with the unknowns' normal equations when they are fewer than the rows, else in the dual
    (``c = C^T (C C^T + damping m I)^-1 target``): min(rows, unknowns)^3 / 3 flops and no larger matrix.
    """
    rows, unknowns = columns.shape
    scale = max(float(columns.square().sum()) / unknowns, 1e-30) * damping
    if unknowns <= rows:
        gram = columns.T @ columns
        gram.diagonal().add_(scale)
        return torch.linalg.solve(gram, columns.T @ target)
    gram = columns @ columns.T
    gram.diagonal().add_(scale)
    return columns.T @ torch.linalg.solve(gram, target)
