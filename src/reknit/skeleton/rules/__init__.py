"""One small rule per operation: which axes of its arguments and its result run over the same units."""

from reknit.skeleton.rules import (
    attention,
    elementwise,
    layout,
    lookups,
    norms,
    positions,
    products,
    reductions,
    slices,
)
from reknit.skeleton.rules.registry import LAYOUT, RULES

__all__ = [
    "LAYOUT",
    "RULES",
    "attention",
    "elementwise",
    "layout",
    "lookups",
    "norms",
    "positions",
    "products",
    "reductions",
    "slices",
]
