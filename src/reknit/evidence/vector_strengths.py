"""Vector strengths: entries of a vector against the norms of the rows of the matrix beside it.

For a matrix laid out as M, n x rest, and a vector v of n entries:

    S+(v, M) = |corr(v, log norms of the rows)|        S(v, M) = corr(log |v|, log norms of the rows)

A bias of an MLP is large where its unit is strong; a gain is where its readers' columns are strong, or where they are
weak, which depends on the training: so S+ goes without its sign. Neither size counts.
It fails where all rows are about as strong as each other.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from reknit.evidence.amplified_directions import Vectors, centred
from reknit.evidence.unit_norms import unit_strengths

LEAST = 1e-6  # of a vector's largest entry: smaller ones count as this


def signed_strengths(vectors: Vectors, matrix: Float[np.ndarray, "n rest"]) -> Float[np.ndarray, " pool"]:
    """S+ of every vector, in [0, 1]."""
    return np.asarray(np.abs(centred(vectors) @ unit_strengths(matrix)))


def strengths(vectors: Vectors, matrix: Float[np.ndarray, "n rest"]) -> Float[np.ndarray, " pool"]:
    """S of every vector, in [-1, 1]."""
    sizes = np.abs(vectors)
    floor = np.maximum(LEAST * sizes.max(1, initial=0.0, keepdims=True), np.finfo(np.float32).tiny)
    return np.asarray(centred(np.log(np.maximum(sizes, floor))) @ unit_strengths(matrix))
