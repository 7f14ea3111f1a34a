"""A cast: numbers that went through a narrower float.

*Statistic.* The share of numbers that the narrower float holds; a cast leaves 1. *Null.* Of continuous float32 numbers
one in 2^16 is a bfloat16, one in 2^13 a float16, so ``LEAST`` different sizes that all are leave a chance below 2^-100.
*False friends.* Integer and one-hot tables are held by every float: a change is named only where the other file has
numbers that are not. Every bfloat16 of usual size is a float16 too, so the narrowest is asked first; and a grid of few
bits may pass, so grids are asked before casts (``grid``).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from reknit.changes.naming.change import Change
from reknit.containers.dtypes import NUMPY_DTYPES, float_step

CASTS = ("float8_e5m2", "float8_e4m3fn", "bfloat16", "float16")
"""The narrowest significand first: what passes one passes those behind it, as far as their range goes."""
LEAST = 8
"""Different sizes that a tensor has to hold for all of them to say something: 8 x 13 bits for float16."""


def rounded(numbers: np.ndarray, dtype: str) -> Float[np.ndarray, ...]:
    """The numbers after a float of that dtype, in float64 (nearest, ties to even); beyond its range infinite or NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = np.asarray(numbers, dtype=np.float32)  # as every library casts; the second rounding is theirs, too
        return np.asarray(single.astype(NUMPY_DTYPES[dtype]).astype(np.float64))


def held_by(numbers: np.ndarray, dtype: str) -> bool:
    """Whether a dtype holds every one of these numbers."""
    return bool((rounded(numbers, dtype) == np.asarray(numbers, dtype=np.float64)).all())


def narrowest(numbers: np.ndarray) -> str | None:
    """The narrowest float that holds every number, where there are numbers enough to say so; else None.

    Args:
        numbers: any shape; of ``float32`` or wider, or a narrower float read as such.
    """
    values = np.asarray(numbers).reshape(-1)
    if len(values) < LEAST or values.dtype.kind != "f":
        return None
    head = values[: 4 * LEAST]  # most tensors fail here
    held = [dtype for dtype in CASTS if held_by(head, dtype) and held_by(values, dtype)]
    if not held or not _enough(values):
        return None
    return held[0]


def _enough(values: np.ndarray) -> bool:
    """Whether the numbers could tell: LEAST different sizes, not all of them whole."""
    sizes = np.unique(np.abs(values[values != 0]).astype(np.float64))
    return len(sizes) >= LEAST and not bool((sizes == np.round(sizes)).all())


def as_cast(first: np.ndarray, second: np.ndarray) -> Change | None:
    """B is A cast: every number of B is the nearest to A's that a narrower float holds, and A's are not all held."""
    if first.shape != second.shape or second.dtype.kind != "f" or not second.size:
        return None
    for dtype in CASTS:
        if held_by(second, dtype):
            if held_by(first, dtype) or not (rounded(first, dtype) == second.astype(np.float64)).all():
                return None
            return cast_change(dtype, numbers=int(second.size), exact=True)
    return None


def cast_change(dtype: str, *, numbers: int, exact: bool) -> Change:
    """The change in words."""
    return Change("cast", f"cast to {dtype}", exact, {"dtype": dtype, "numbers": numbers})


def cast_cells(second: np.ndarray, dtype: str, places: float = 0.5) -> Float[np.ndarray, ...]:
    """Half the width of what rounds to each number: ``places`` of its last place."""
    return places * float_step(np.asarray(second, dtype=np.float64), dtype)
