"""Vector values: what the numbers of a vector alone say of its part.

    size(v) = log of the root mean square         lean(v) = mean / root mean square, in [-1, 1]

A gain stays near one, so its lean is nearly 1; a bias starts at zero and has either sign; biases before an activation
lean to its flat side; a key's bias hardly moves, since softmax loses it (arXiv 2302.08626 says so of its gradient).
It fails between parts that are trained alike, and where biases were drawn at random and training was short.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from reknit.evidence.amplified_directions import Vectors


def sizes(vectors: Vectors) -> Float[np.ndarray, " pool"]:
    """Logarithms of root mean squares; vectors of zeros count as the least float32.

    >>> sizes(np.array([[1.0, -1.0], [0.1, 0.1]])).round(2).tolist()
    [0.0, -2.3]
    """
    root = np.sqrt(np.square(vectors, dtype=np.float64).mean(1))
    return np.asarray(np.log(np.maximum(root, np.finfo(np.float32).tiny)))


def leans(vectors: Vectors) -> Float[np.ndarray, " pool"]:
    """Mean over root mean square; 0 for vectors of zeros."""
    root = np.sqrt(np.square(vectors, dtype=np.float64).mean(1))
    mean = vectors.mean(1, dtype=np.float64)
    return np.asarray(np.divide(mean, root, out=np.zeros_like(root), where=root > 0))
