"""Product traces: two matrices that share their hidden units multiply to something with a trace.

For a reader W_in (hidden x stream) and a writer W_out (stream x hidden) of one block, training leaves a diagonal in
W_out W_in; of matrices that never met it is noise. The same holds of W_q^T W_k, and of W_o W_v. Score:

    T(a, b) = |tr(B A)| / ||B A||_F

with A, B laid out so that their product is stream x stream. Of matrices that never met, T is half-normal, and the
median over all pairs of a pile gives its deviation sigma = median / 0.6745. Of a true pair it can be any size, from
noise up to hundreds of sigma, so what it says is counted by its order of magnitude:

    excess = log(1 + (T / (4 sigma))^2) / 2            about 0 up to 2 sigma, then log(T / 4 sigma)

Source: Park, "I Dropped a Neural Net" (2026), arXiv 2602.19845, for residual MLPs; measured on transformers in
docs/evidence.md. It needs the stream axes of both to be in one basis, and fails for q and k with rotary positions,
where the rows of a head are not summed unit by unit.
Cost: tr(B A) is one sum; ||B A||_F^2 = <A A^T, B^T B>, so Grams are computed once for each matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

HALF_NORMAL_MEDIAN = 0.6745
CHANCE = 4.0  # deviations; of 10,000 pairs that never met, about one exceeds it

Hidden = Float[np.ndarray, "hidden stream"]


def trace_ratios(first: Sequence[Hidden], second: Sequence[Hidden]) -> Float[np.ndarray, "first second"]:
    """T for all pairs, every matrix laid out as hidden x stream; 0 where a product vanishes."""
    left = np.stack([matrix.ravel() for matrix in first])
    right = np.stack([matrix.ravel() for matrix in second])
    traces = np.abs(left @ right.T)
    grams_left = np.stack([(matrix @ matrix.T).ravel() for matrix in first])
    grams_right = np.stack([(matrix @ matrix.T).ravel() for matrix in second])
    norms = np.sqrt(np.maximum(grams_left @ grams_right.T, 0.0))
    return np.asarray(np.divide(traces, norms, out=np.zeros_like(traces), where=norms > 0), dtype=np.float64)


def excess(ratios: Float[np.ndarray, "first second"], same: bool = False) -> Float[np.ndarray, "first second"]:
    """How far each T stands above what chance gives; a matrix with itself (on the diagonal, where ``same``) has 0."""
    pairs = ~np.eye(len(ratios), dtype=bool) if same else np.ones(ratios.shape, dtype=bool)
    positive = ratios[pairs & (ratios > 0)]
    if not positive.size:
        return np.zeros_like(ratios)
    sigma = float(np.median(positive)) / HALF_NORMAL_MEDIAN
    return np.asarray(np.where(pairs, 0.5 * np.log1p((ratios / (CHANCE * sigma)) ** 2), 0.0), dtype=np.float64)
