"""Whether a barrier falls with width: slopes over independent series, and how many steps go down."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def slopes(
    widths: Float[np.ndarray, " widths"], values: Float[np.ndarray, "series widths"]
) -> Float[np.ndarray, " series"]:
    """Least-squares change of every series by doubling of width.

    >>> slopes(np.array([8.0, 16.0, 32.0]), np.array([[3.0, 2.0, 1.0]])).tolist()
    [-1.0]
    """
    x = np.log2(widths)
    x = x - x.mean()
    return np.asarray(values @ x / (x @ x))


def falls(values: Float[np.ndarray, "series widths"]) -> tuple[int, int]:
    """How many steps from one width to the next go down, and how many there are."""
    steps = np.diff(values, axis=1)
    return int((steps < 0).sum()), int(steps.size)


def verdict(mean: float, half: float) -> str:
    """What an interval says of a slope."""
    if mean + half < 0:
        return "falls"
    return "rises" if mean - half > 0 else "cannot say"
