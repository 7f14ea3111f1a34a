"""Amplified directions: a bias, or a norm's gain and shift, lies where the matrix beside it is strong.

For a matrix laid out as M, n x rest, with the axis that the vector runs along first, and a centred vector v,

    A(v, M) = log( n |M^T v|^2 / (|v|^2 |M|_F^2) )

is how much more M passes of the direction v than of a random one: a Rayleigh quotient of M M^T. It does not change with
the size of v or M, nor when the other axis is turned.

Why: gradients on a bias are sums of the same vectors that span the columns of its matrix, and the mean of what a matrix
reads, to which a norm's shift adds, leaves its mark on every row. It fails where training was short (biases still as
they were drawn), for gains (what little they say is in their strengths), and for biases without effect: a key's.
What A is worth is measured in the pile itself, against vectors with their entries shuffled.

Found while putting published transformers back together: docs/wiring.md has how often it was right.
Cost: n x rest a vector and matrix.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Vectors = Float[np.ndarray, "pool n"]


def centred(vectors: Vectors) -> Vectors:
    """Each row less its mean, as a unit vector; zero where it does not vary."""
    rows = np.asarray(vectors, dtype=np.float64)
    rows = rows - rows.mean(1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    floor = 1e-9 * np.abs(vectors).max(1, initial=0.0, keepdims=True) * np.sqrt(rows.shape[1])
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > floor))


def amplification(vectors: Vectors, matrix: Float[np.ndarray, "n rest"]) -> Float[np.ndarray, " pool"]:
    """A of every vector; 0 for one that does not vary, and where the matrix is zero.

    >>> amplification(np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]), np.diag([1.0, 1.0, 0.0, 0.0])).round(2)
    array([  0.69, -27.63])
    """
    power = float(np.square(matrix, dtype=np.float64).sum())
    units = centred(vectors)
    if power == 0:
        return np.zeros(len(units))
    passed = np.square(units @ matrix).sum(1) * len(matrix) / power
    varies = np.abs(units).max(1, initial=0.0) > 0
    return np.asarray(np.where(varies, np.log(np.maximum(passed, 1e-12)), 0.0))
