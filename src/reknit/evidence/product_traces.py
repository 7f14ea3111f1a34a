"""Product traces: two matrices that share their hidden units multiply to something with a trace.

For a reader W_in (hidden x stream) and a writer W_out (stream x hidden) of one block, training leaves a diagonal in
W_out W_in; of matrices that never met it is noise. The same holds of W_q^T W_k, and of W_o W_v. Score:

    T(a, b) = |tr(B A)| / ||B A||_F

with A, B laid out so that their product is stream x stream. For random matrices T is of the order of 1: what counts is
how far it stands above the others, so it is given on a log scale against the median:

    log_ratio = log(T / median T), clipped to [-1, 4]

Source: Park, "I Dropped a Neural Net" (2026), arXiv 2602.19845, for residual MLPs; measured on transformers in
docs/evidence.md. It needs the stream axes of both to be in one basis, and fails for q and k with rotary positions,
where the rows of a head are not summed unit by unit.
Cost: tr(B A) is one sum; ||B A||_F^2 = <A A^T, B^T B>, so Grams are computed once for each matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

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


def log_ratios(ratios: Float[np.ndarray, "first second"], same: bool = False) -> Float[np.ndarray, "first second"]:
    """log(T / median T), clipped to [-1, 4]; a matrix with itself (on the diagonal, where ``same``) is no pair: 0."""
    pairs = ~np.eye(len(ratios), dtype=bool) if same else np.ones(ratios.shape, dtype=bool)
    positive = ratios[pairs & (ratios > 0)]
    if not positive.size:
        return np.zeros_like(ratios)
    median = float(np.median(positive))
    logs = np.log(np.maximum(ratios, 0.05 * median) / median)
    return np.asarray(np.where(pairs, np.clip(logs, -1.0, 4.0), 0.0), dtype=np.float64)
