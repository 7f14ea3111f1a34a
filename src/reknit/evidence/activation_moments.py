"""How well vectors agree with the mean and variance that inputs cause in front of a BatchNorm.

    nats = C / 2 * log(error + floor)        error of a mean: mean over channels of (measured - v)^2 / measured variance
                                             of a variance: mean over channels of (log measured - log v)^2

The running statistics of a BatchNorm are averages of those of the batches it was trained on (Ioffe and Szegedy, arXiv
1502.03167, section 3.1), so inputs like those of the training cause nearly the same. ``nats`` is the negative logarithm
of the likelihood of normal errors of one unknown size, at its best; differences of it between vectors have a meaning,
up to channels that are not independent. The floors keep a chance hit from counting more than sampling allows.

Source: the profile likelihood is textbook; what is new here is that the statistics are measured, not predicted in
closed form as in ``batch_norm_books``, so that variances tell as much as means.
Fails where inputs are unlike those of the training; ``wiring.input_placement`` looks at that first.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " channels"]
Rows = Float[np.ndarray, "vectors channels"]
MEAN_FLOOR, VARIANCE_FLOOR = 2e-5, 3e-4
"""Errors that a batch of some thousand positions causes by chance."""
LEAST = 1e-12


def mean_errors(mean: Vector, variance: Vector, vectors: Rows) -> Float[np.ndarray, " vectors"]:
    """Squared distance from a measured mean, in measured variances, averaged over the channels.

    >>> mean_errors(np.zeros(2), np.ones(2), np.array([[0.0, 0.0], [1.0, 3.0]])).round(6).tolist()
    [0.0, 5.0]
    """
    return np.asarray((np.square(vectors - mean) / (variance + LEAST)).mean(1))


def variance_errors(variance: Vector, vectors: Rows, eps: float) -> Float[np.ndarray, " vectors"]:
    """Squared distance from a measured variance on a logarithmic scale; infinite for vectors with negative entries.

    >>> variance_errors(np.ones(2), np.array([[1.0, 1.0], [1.0, -1.0]]), 0.0).tolist()
    [0.0, inf]
    """
    logs = np.log(np.maximum(vectors, 0.0) + eps + LEAST) - np.log(variance + eps + LEAST)
    return np.where((vectors < 0).any(1), np.inf, np.square(logs).mean(1))


def nats(
    errors: Float[np.ndarray, "*vectors"], channels: int, floor: float, ceiling: float = 4.0
) -> Float[np.ndarray, "*vectors"]:
    """Errors as negative logarithms of a likelihood; beyond the ceiling a vector is as wrong as any.

    Args:
        errors: as above.
        channels: that they were averaged over.
        floor: an error that is as good as none.
        ceiling: an error that is as bad as any.
    """
    return np.asarray(channels / 2 * np.log(np.minimum(errors, ceiling) + floor))
