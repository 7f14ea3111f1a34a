"""Scores of many pairs on one scale: how far each stands out, less what is noise.

Raw scores (correlations, log ratios) differ in spread from network to network. In units of their own spread they can be
compared, but so can noise: the largest of a thousand correlations of nothing is a good three deviations out. Where the
spread of scores without any relation is known, the part of the variance that is more than that is the reliability

    rho = max(0, 1 - noise^2 / spread^2)            z = rho (score - mean) / spread

as of a measurement repeated (Spearman 1904, doi:10.2307/1412159). Scores of an untrained network come out near 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

LEAST, MOST = -4.0, 6.0


def standardised(
    scores: Float[np.ndarray, "first second"], noise: float, same: bool = False
) -> Float[np.ndarray, "first second"]:
    """z of every pair, clipped to [-4, 6] before it is shrunk.

    Args:
        scores: of one kind of pairs.
        noise: standard deviation of such scores between items without any relation.
        same: whether rows and columns are the same items: what stands on the diagonal is then no pair, and becomes 0.

    >>> standardised(np.array([[0.0, 2.0], [2.0, 0.0]]), noise=0.0).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    pairs = ~np.eye(len(scores), dtype=bool) if same else np.ones(scores.shape, dtype=bool)
    values = scores[pairs]
    spread = float(values.std()) if values.size > 1 else 0.0
    if spread <= max(noise, 1e-12):
        return np.zeros(scores.shape)
    reliability = 1.0 - (noise / spread) ** 2
    result = reliability * np.clip((scores - values.mean()) / spread, LEAST, MOST)
    return np.asarray(np.where(pairs, result, 0.0), dtype=np.float64)
