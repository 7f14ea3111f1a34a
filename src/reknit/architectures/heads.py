"""Heads of attention as an axis of their own."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def split_heads(x: Float[Tensor, "batch length units"], heads: int) -> Float[Tensor, "batch heads length size"]:
    """Neighbouring units make a head."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def merge_heads(x: Float[Tensor, "batch heads length size"]) -> Float[Tensor, "batch length units"]:
    """The inverse of ``split_heads``."""
    return x.transpose(1, 2).flatten(2)
