"""How far a running mean is from what the layers before it make of the norm before them.

The running mean of a BatchNorm is, but for edges and for how normal its input is, a closed form of the tensors before
it (``batch_norm_moments``, ``convolution_taps``). Let r be the difference and v the running variance. Two readings:

    squared error   e = mean over channels of r_c^2 / (v_c + eps)           the certificate: 0 is perfect, 1 is no use
    log error       l = log e + mean over channels of log (v_c + eps)       for comparing norms of unequal size

``channels / 2 * l`` is a negative log likelihood, up to a constant, of means with errors of unknown size that are
proportional to the running deviations: differences of it are in nats.

Source: the statistics are those of Ioffe and Szegedy, arXiv 1502.03167, algorithm 2.
Cost: one product of matrices for all pairs.
Fails where a channel's variance is zero: add the eps of the norm. Errors below 1e-4 count as 1e-4 (``FLOOR`` squared):
statistics are running means in float32, not sums.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

FLOOR = 1e-8
"""The least squared error, in running variances."""


def squared_errors(
    predicted: Float[np.ndarray, "*more channels"],
    mean: Float[np.ndarray, "*more channels"],
    variance: Float[np.ndarray, "*more channels"],
) -> Float[np.ndarray, "*more"]:
    """e: the squared error of predicted running means in running variances, averaged over channels.

    >>> squared_errors(np.array([1.0, 2.0]), np.array([1.0, 4.0]), np.array([1.0, 4.0])).item()
    0.5
    """
    return np.asarray(np.mean((predicted - mean) ** 2 / variance, axis=-1))


def relative_log_errors(
    predicted: Float[np.ndarray, "predictions channels"],
    mean: Float[np.ndarray, "norms channels"],
    variance: Float[np.ndarray, "norms channels"],
) -> Float[np.ndarray, "predictions norms"]:
    """The relative log error of every prediction and every norm; at most log 2.

    >>> relative_log_errors(np.ones((1, 2)), np.array([[1.0, 0.0]]), np.ones((1, 2))).round(4).tolist()  # 1 of 3
    [[-1.0986]]
    """
    weights = 1.0 / variance
    sizes = (predicted**2) @ weights.T + (mean**2 * weights).sum(1)
    errors = sizes - 2.0 * predicted @ (mean * weights).T
    return np.asarray(np.log(np.maximum(errors / np.maximum(sizes, np.finfo(np.float64).tiny), FLOOR)))
