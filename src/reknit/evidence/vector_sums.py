"""Vector sums: a vector against the sums of the rows of the matrix beside it.

    C(v, M) = corr(v, M 1)

for M laid out as n x rest. Units of an MLP prefer one side of their activation, so the sum over all units of what they
read is no accident: a norm's shift before an MLP points against it. Neither size counts.
It fails where the units' preferences average out: for queries, keys and values.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from reknit.evidence.amplified_directions import Vectors, centred


def sum_correlations(vectors: Vectors, matrix: Float[np.ndarray, "n rest"]) -> Float[np.ndarray, " pool"]:
    """C of every vector, in [-1, 1]."""
    return np.asarray(centred(vectors) @ centred(matrix.sum(1, dtype=np.float64)[None])[0])
