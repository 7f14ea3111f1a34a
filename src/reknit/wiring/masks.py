"""Finite masks among recorded answers: logits that were set to -1e9 to count for nothing."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

UNITS = 8.0
"""Units in the last place by which copies of a mask may differ."""


def coarsest(dtype: torch.dtype) -> float:
    """Unit in the last place of one, in a dtype or in float32, of which answers are."""
    return max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)


def masked(numbers: Tensor) -> Bool[Tensor, "*shape"]:
    """Which numbers are a constant put there to count for nothing: -1e9, or the least number that the dtype has.

    It is negative, and larger than all others together with which it was recorded: by so much that they would be lost
    in its last place.

    >>> masked(torch.tensor([0.5, -1e9, 3.0])).tolist()
    [False, True, False]
    """
    finite = numbers.isfinite()
    if not bool(finite.any()):
        return torch.zeros_like(finite)
    held, eps = numbers.double(), coarsest(numbers.dtype)
    least = float(held[finite].min())
    found = finite & (held <= least + UNITS * eps * abs(least))
    others = held[finite & ~found].abs()
    if least < 0 and len(others) and eps * abs(least) >= float(others.max()):
        return found
    return torch.zeros_like(finite)
