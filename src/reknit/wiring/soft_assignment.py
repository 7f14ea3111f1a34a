"""Which tensor stands in which slot, from a linear model of what each would do: expectation propagation.

The model of one pool or several: t = sum over slots s of A_s p_s + noise, where A_s[m, a] is what tensor a does to
number m in slot s, and p_s is one of the unit vectors, each tensor being used once. All slots but s are taken as
Gaussian, with the mean b and the covariance C = diag(b) - b b' of their present beliefs; then what the numbers say of
slot s alone is a Gaussian in p_s,

    precision  L = M (I - C M)^-1,   pull  n = (I - M C)^-1 h + L b,
    with K = sum A C A' + sigma^2 I,   M = A_s' K^-1 A_s,   h = A_s' K^-1 (t - sum A b),

and the evidence for tensor a in slot s is n[a] - L[a, a] / 2. The new beliefs are the doubly stochastic matrix nearest
to that evidence times the prior (Sinkhorn). Rows that are sure drop out.

Source: Minka, "Expectation propagation for approximate Bayesian inference" (2001), arXiv 1301.2294. Departures: all
slots are updated at once, each keeps its exact evidence in place of a Gaussian site, evidence is tempered (the noise is
what the linear model leaves out, and not independent), the constraint "once each" enters by Sinkhorn scaling.
Cost: rows^2 x tensors for every slot that is not sure, a sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Matrix = Float[np.ndarray, "slots pool"]

TEMPER = 0.5
DAMPING = 0.5
SURE = 1 - 1e-6
"""A row whose largest belief reaches this is taken as known."""
JITTER = 1e-12
"""Share of K's mean diagonal added to it: where nothing is left to explain the noise is too little to factor K."""


@dataclass(frozen=True)
class Beliefs:
    """What the model says after one sweep.

    Attributes:
        evidence: tempered logarithm of how likely each tensor is in each slot, from the numbers alone; best is 0.
        beliefs: doubly stochastic.
        means: the Gaussian estimate of the same, rows may leave [0, 1]: what best explains the numbers.
        misfit: mean square of what the model does not explain, in units of what it expects.
    """

    evidence: tuple[Matrix, ...]
    beliefs: tuple[Matrix, ...]
    means: tuple[Matrix, ...]
    misfit: float


def sinkhorn_log(logs: Matrix, rounds: int = 30) -> Matrix:
    """exp(logs) scaled until rows and columns sum to one (rows exactly)."""
    for _ in range(rounds):
        logs = logs - _logsumexp(logs, 0)
        logs = logs - _logsumexp(logs, 1)
    return np.asarray(np.exp(logs))


def _logsumexp(logs: Matrix, axis: int) -> Matrix:
    top = logs.max(axis, keepdims=True)
    return np.asarray(top + np.log(np.exp(logs - top).sum(axis, keepdims=True)))


def sweep(
    effects: Sequence[Float[np.ndarray, "rows slots pool"]],
    target: Float[np.ndarray, " rows"],
    beliefs: Sequence[Matrix],
    priors: Sequence[Matrix],
    noise: float,
) -> Beliefs:
    """Beliefs from one look at all slots.

    Args:
        effects: A, one array a pool.
        target: t; what the answers would be if every p were zero is taken off.
        beliefs: b, one matrix a pool.
        priors: logarithms of what is believed without the numbers, up to constants in each row.
        noise: sigma^2.
    """
    from scipy.linalg import cho_factor, cho_solve, solve_triangular  # slow to load

    rows = len(target)
    K = noise * np.eye(rows)
    left = np.array(target, dtype=np.float64)
    for A, b in zip(effects, beliefs, strict=True):
        for s in range(len(b)):
            own = A[:, s].astype(np.float64)
            mean = own @ b[s]
            left -= mean
            if b[s].max() < SURE:
                apart = own - mean[:, None]  # means may be many times what varies: not taken off afterwards
                K += (apart * b[s]) @ apart.T
    K[np.diag_indices(rows)] += JITTER * K.trace() / max(rows, 1)
    factor = cho_factor(K, lower=True)
    solved = cho_solve(factor, left)
    evidence, means = [], []
    for A, b in zip(effects, beliefs, strict=True):
        said, mean_of = np.zeros(b.shape), np.array(b, dtype=np.float64)
        for s in range(len(b)):
            if b[s].max() >= SURE:
                said[s] = np.log(b[s].clip(1e-12)) / TEMPER
                continue
            own = A[:, s].astype(np.float64)
            own = own - (own @ b[s])[:, None]  # what all tensors do alike tells them from nothing
            half = solve_triangular(factor[0], own, lower=True)
            M, h = half.T @ half, own.T @ solved
            C = np.diag(b[s]) - np.outer(b[s], b[s])
            mean_of[s] += C @ h
            freed = np.linalg.solve(np.eye(len(h)) - M @ C, np.column_stack([M, h]))
            said[s] = freed[:, -1] + freed[:, :-1] @ b[s] - freed[:, :-1].diagonal() / 2
        said = TEMPER * (said - said.max(1, keepdims=True))
        evidence.append(said)
        means.append(mean_of)
    new = [
        (1 - DAMPING) * b + DAMPING * sinkhorn_log(said + prior)
        for b, said, prior in zip(beliefs, evidence, priors, strict=True)
    ]
    return Beliefs(tuple(evidence), tuple(new), tuple(means), float(left @ solved) / max(rows, 1))
