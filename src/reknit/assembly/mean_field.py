"""Pairs and order together, from the recorded outputs: a mean-field Gauss-Newton over both permutations.

Used where the weights alone do not decide the pairs. The matching is relaxed to a doubly stochastic X (block k computes
with the mixture ``sum_j X_kj B_j`` of all out-layers), the order to real positions p. One trace of the mixed network
gives, to first order, what each entry of X and each position does to the answer:

    dv.f / dX_kj = <g_k, B_j h_k + b_j>      g_k: gradient behind block k; h_k: its hidden activations
    dv.f / dp_k  = sum_j K_s(p_j - p_k) D_kj    (see commutator.py)

The residual is then a linear measurement of both. X_kj is taken as a Bernoulli variable, so its prior variance is
X(1 - X): entries that are settled stay so, which anneals the problem by itself; positions have a prior deviation of
``s``; what the linearisation leaves out counts as noise, in proportion to the residual. One update is a Kalman step
(a ridge in the dual, rows x rows), followed by Sinkhorn's scaling and a re-sort. It starts from X = 1/n, where the
branches average out and the network is nearly linear in X, so that order hardly matters yet; fresh rows every step.

New here, as far as we know (dev/log.md has what it was compared with); kin to the relaxations of Mena et al., "Learning
latent permutations with Gumbel-Sinkhorn networks", arXiv 1802.08665, but second order and without a temperature.

Cost of a step on R rows: ``R n^2 h d`` flops for the columns and ``R^2 n^2 + R^3 / 3`` for the solve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from reknit.assembly.commutator import FINEST, LEAST_WIDTH, WIDEST, inversion_effects, position_effects
from reknit.assembly.problem import Search, mean_square
from reknit.network.stack import Arrangement, Stack, Trace
from reknit.solvers.assignment import best_matching, sinkhorn
from reknit.solvers.least_squares import solve
from reknit.solvers.ordering import sort_by_position
from reknit.solvers.pool_matching import best_pairs, scale_to_pool

STEPS, ROWS, FIRST_ROWS = 40, 600, 2000
LEAST_VARIANCE = 1e-3
MODEL_NOISE = 0.2
"""Share of the residual's variance put down to what the linearisation leaves out."""


@dataclass(frozen=True)
class MeanField:
    """The best arrangement of a run, and the mixture's mean squared residual before each step, on fresh rows."""

    arrangement: Arrangement
    unexplained: tuple[float, ...]


def pairing_effects(
    stack: Stack, trace: Trace, wanted: Bool[np.ndarray, "blocks blocks"] | None = None
) -> Float[np.ndarray, "rows blocks blocks"]:
    """``[r, k, j] = <g_k, B_j h_k + b_j>``: what giving the block at position k the whole of out-layer j would add.

    Only the entries ``wanted`` are computed, at ``R h d`` flops each; the others are 0. None: all.
    """
    n, rows, hidden = trace.hidden.shape
    writers = stack.out_weight.transpose(1, 0, 2)
    effects = np.zeros((rows, n, stack.blocks), trace.hidden.dtype)
    for k in range(n):
        chosen = slice(None) if wanted is None else np.flatnonzero(wanted[k])
        these = writers[:, chosen]
        reached = (trace.after[k] @ these.reshape(stack.width, -1)).reshape(rows, these.shape[1], hidden)
        added = np.matmul(reached, trace.hidden[k][:, :, None])[:, :, 0] + trace.after[k] @ stack.out_bias[chosen].T
        effects[:, k, chosen] = added
    return effects


def _centred(
    effects: Float[np.ndarray, "rows items items"], variance: Float[np.ndarray, "items items"], pooled: bool
) -> Float[np.ndarray, "rows items items"]:
    """Take off what no exchange can change, the variance-weighted fit of a row term plus a column term.

    In a pool an item's row and column share one sum, so there is one term per item instead of two.
    """
    n = len(variance)
    rows, columns = variance.sum(1), variance.sum(0)
    by_row, by_column = (effects * variance).sum(2), (effects * variance).sum(1)
    if pooled:
        system, target = np.diag(rows + columns) + variance + variance.T, by_row + by_column
        system = system + 1e-6 * float(rows.mean()) * np.eye(n, dtype=variance.dtype)
        terms = solve(system, target.T).T
        return np.asarray(effects - terms[:, :, None] - terms[:, None, :])
    system = np.block([[np.diag(rows), variance], [variance.T, np.diag(columns)]])
    system = system + 1e-6 * float(rows.mean()) * np.eye(2 * n, dtype=variance.dtype)
    both = solve(system, np.concatenate([by_row, by_column], 1).T).T
    return np.asarray(effects - both[:, :n, None] - both[:, None, n:])


def _update(
    pairing: Float[np.ndarray, "rows blocks blocks"],
    position: Float[np.ndarray, "rows blocks"],
    residual: Float[np.ndarray, " rows"],
    mixture: Float[np.ndarray, "items items"],
    width: float,
    pooled: bool,
) -> tuple[Float[np.ndarray, "blocks blocks"], Float[np.ndarray, " blocks"]]:
    """One Kalman step: the change of the mixture and of the positions."""
    variance = mixture * (1 - mixture) + LEAST_VARIANCE
    if pooled:
        np.fill_diagonal(variance, 1e-12)
    deviation = np.sqrt(variance)
    scaled = (_centred(pairing, variance, pooled) * deviation).reshape(len(residual), -1)
    placed = position * width
    gram = scaled @ scaled.T + placed @ placed.T
    noise = MODEL_NOISE * mean_square(residual) + 1e-12 * float(gram.diagonal().mean()) + 1e-30
    gram[np.diag_indices_from(gram)] += noise
    weights = solve(gram, residual)
    change = (scaled.T @ weights).reshape(mixture.shape) * deviation
    return change, (placed.T @ weights) * width


def mean_field(
    search: Search,
    order: list[int],
    prior: Float[np.ndarray, "n n"] | None = None,
    *,
    steps: int = STEPS,
    rows: int = ROWS,
    first_rows: int = FIRST_ROWS,
    finest: float = FINEST,
) -> MeanField:
    """Find pairs and order together; the result still wants ``descend`` and ``mend``.

    Args:
        search: the problem, its randomness and its log.
        order: in-layers in the order to start from.
        prior: a positive matrix, how likely in-layer i is to feed out-layer j; None: all alike.
        steps: Kalman steps.
        rows: rows of each step after the first.
        first_rows: rows of the first step, which decides most.
        finest: width of the last step's kernel, as a share of the depth.

    Returns:
        The best arrangement seen, and what the mixtures left unexplained on rows they had not seen.
    """
    stack, pooled = search.problem.stack, search.problem.pooled
    items = len(stack.in_weight)
    scale = scale_to_pool if pooled else sinkhorn
    mixture = scale(np.ones((items, items)) if prior is None else prior).astype(stack.in_weight.dtype)
    best, held, unexplained = float("inf"), Arrangement((), ()), []
    for step in range(steps):
        width = max(items * WIDEST * (finest / WIDEST) ** (step / max(steps - 1, 1)), LEAST_WIDTH)
        mixed = replace(
            stack,
            out_weight=np.tensordot(mixture, stack.out_weight, 1),
            out_bias=mixture @ stack.out_bias,
        )
        x, y = search.draw(first_rows if step == 0 else rows)
        trace, residual = search.residual(x, y, Arrangement(tuple(order), tuple(order)), mixed)
        unexplained.append(mean_square(residual))
        position = position_effects(inversion_effects(trace), width)
        place = np.array(order)
        pairing = pairing_effects(stack, trace)
        if pooled:  # columns follow the rows, so that row m and column m are the same item
            pairing = pairing[:, :, place]
            change, shift = _update(pairing, position, residual, mixture[place][:, place], width, pooled)
            mixture[place[:, None], place[None, :]] += change
        else:
            change, shift = _update(pairing, position, residual, mixture[place], width, pooled)
            mixture[place] += change
        mixture = scale(mixture.astype(np.float64)).astype(stack.in_weight.dtype)
        order = [order[k] for k in sort_by_position(np.arange(items) + shift.clip(-width, width))]
        arrangement = _rounded(mixture.astype(np.float64), order, pooled)
        score_x, score_y = x[:ROWS], y[:ROWS]
        error = mean_square(stack.forward(score_x, arrangement) - score_y)
        search.note("pairs and order", arrangement, error, len(score_x))
        if error < best or not held.ins:
            best, held = error, arrangement
        if error < search.problem.solved_below:
            break
    return MeanField(held, tuple(unexplained))


def _rounded(mixture: Float[np.ndarray, "items items"], order: list[int], pooled: bool) -> Arrangement:
    """The nearest arrangement: the best matching of the mixture, in the order of its in-layers."""
    pairs = dict(best_pairs(mixture)) if pooled else dict(enumerate(best_matching(mixture).tolist()))
    ins = tuple(i for i in order if i in pairs)
    return Arrangement(ins, tuple(pairs[i] for i in ins))
