"""Unit norms: matrices that share units agree on which units are strong.

For matrices laid out as units x rest, the norm of each row says how strongly its unit is used. Gate and up of a gated
MLP, q and k of a head under rotary positions, a bias and its matrix share units:

    N(a, b) = corr(log norms of a, log norms of b)

It does not change with the size of a matrix, and needs no common basis on the other axis. It fails where all units are
about as strong as each other (short training). Measured in docs/evidence.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def unit_strengths(matrix: Float[np.ndarray, "units rest"]) -> Float[np.ndarray, " units"]:
    """Log norms of the rows, centred, as a unit vector; zero where they do not vary."""
    norms = np.linalg.norm(matrix, axis=1)
    floor = 1e-6 * max(float(norms.max(initial=0.0)), float(np.finfo(np.float32).tiny))
    logs = np.log(np.maximum(norms, floor))
    logs = logs - logs.mean()
    length = float(np.linalg.norm(logs))
    return np.asarray(logs / length if length > 1e-9 else np.zeros_like(logs), dtype=np.float64)


def strength_correlations(
    first: Sequence[Float[np.ndarray, " units"]], second: Sequence[Float[np.ndarray, " units"]]
) -> Float[np.ndarray, "first second"]:
    """N for all pairs, in [-1, 1]."""
    return np.asarray(np.stack(first) @ np.stack(second).T, dtype=np.float64)
