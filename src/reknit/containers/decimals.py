"""The decimal grid that the numbers of a column were rounded to, told from the values."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_MAX_DECIMALS = 15
_SAMPLE = 256
_DYADIC = 1024.0


def decimal_step(column: Float[np.ndarray, " rows"]) -> float:
    """``10^-k`` for the least k such that every value is written with at most k decimals.

    A double parsed from k decimals is the quotient of an integer by ``10^k``, correctly rounded; so is the test.

    >>> decimal_step(np.array([0.25, -1.5, 3.0]))
    0.01

    Returns:
        0.0 when there is no such grid, or it is finer than float32 resolves the largest value of the column: then the
        numbers are as good as not rounded.
    """
    largest = float(np.abs(column).max(initial=0.0))
    for k in range(_MAX_DECIMALS + 1):
        if 10.0**-k < largest * np.finfo(np.float32).eps:
            break
        if _on_grid(column[:_SAMPLE], 10.0**k) and _on_grid(column, 10.0**k):
            return float(10.0**-k)
    return 0.0


def is_dyadic(column: Float[np.ndarray, " rows"]) -> bool:
    """Whether every value is a multiple of 1/1024: counts, codes, pixels in sixteenths, which no rounding made."""
    return _on_grid(column[:_SAMPLE], _DYADIC) and _on_grid(column, _DYADIC)


def _on_grid(column: Float[np.ndarray, " rows"], scale: float) -> bool:
    return bool(np.array_equal(np.rint(column * scale) / scale, column))
