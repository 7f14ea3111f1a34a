"""Stream Grams: what a block writes is what the next one reads, and neighbours in depth look alike.

A matrix touches the stream of width d along one axis; unfolded with that axis first it is W, d x k, and G = W W^T says
which directions of the stream it writes, or reads. Two Grams are compared by the Pearson correlation of their entries
above the diagonal:

    C(a, b) = corr(off G_a, off G_b)

Writer against reader this is the Gram chain; like against like it is the similarity that seriation orders by. It does
not change when units of the hidden side are permuted, or turned by an orthogonal matrix, nor with the size of W.

Why: gradients on a reader lie in the span of its inputs, so its Gram follows the covariance of the stream there, to
which the writers before it have contributed. It fails where training was short or d tiny (the Gram is still that of
the initialisation), and between twins (two fine-tunes of one network). What C is worth is measured in the pile itself:
``noise`` compares each Gram with others whose coordinates were shuffled.

Measured on real networks in docs/evidence.md. Cost: d^2 k for a matrix, d^2 / 2 for a comparison; of wide streams
``ENTRIES`` entries are drawn instead, the same ones for every matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

ENTRIES = 150_000  # entries above the diagonal that are compared; the correlation's own error is then below 0.003
ROOM = 32_000_000  # numbers that are multiplied at once


def gram_direction(matrix: Float[np.ndarray, "stream rest"]) -> Float[np.ndarray, " entries"]:
    """The entries of W W^T above the diagonal, centred, as a unit vector; zero where they do not vary.

    >>> gram_direction(np.eye(3)).tolist()
    [0.0, 0.0, 0.0]
    """
    width = len(matrix)
    if width * (width - 1) // 2 <= ENTRIES:
        entries = (matrix @ matrix.T)[np.triu_indices(width, 1)]
    else:
        first, second = _drawn_pairs(width)
        entries = np.empty(ENTRIES, dtype=np.float32)
        step = max(1, ROOM // matrix.shape[1])
        for k in range(0, ENTRIES, step):
            part = slice(k, k + step)
            entries[part] = np.einsum("er,er->e", matrix[first[part]], matrix[second[part]])
    entries = entries - entries.sum(dtype=np.float64) / max(entries.size, 1)
    length = float(np.linalg.norm(entries))
    scale = float(np.abs(matrix).max(initial=0.0)) ** 2 * matrix.shape[1]
    return np.asarray(entries / length if length > 1e-12 * scale else np.zeros_like(entries), dtype=np.float32)


def gram_correlations(
    first: Sequence[Float[np.ndarray, " entries"]], second: Sequence[Float[np.ndarray, " entries"]]
) -> Float[np.ndarray, "first second"]:
    """C(a, b) for all pairs of Gram directions, in [-1, 1]."""
    return np.asarray(np.stack(first) @ np.stack(second).T, dtype=np.float64)


def noise(first: Sequence[Float[np.ndarray, " entries"]], scrambled: Sequence[Float[np.ndarray, " entries"]]) -> float:
    """Standard deviation of C where there is nothing to find: against Grams of shuffled coordinates.

    Args:
        first: directions.
        scrambled: ``gram_direction`` of matrices whose rows were shuffled, each in an order of its own.
    """
    return float(gram_correlations(first, scrambled).std())


def _drawn_pairs(width: int) -> tuple[Int[np.ndarray, " entries"], Int[np.ndarray, " entries"]]:
    rng = np.random.default_rng(width)
    first = rng.integers(width, size=ENTRIES)
    second = (first + rng.integers(1, width, size=ENTRIES)) % width
    return first, second
