"""The order of residual blocks from the first-order effect of inversions: the commutator regression.

Where it comes from. For blocks ``x -> x + F_k(x)`` in some order, one forward and one backward pass give ``r_k``, what
block k adds to the stream, and ``u_k``, what it adds to the gradient of the answer v.f on the way back. Letting j run
before i (i before j now) shifts the input of i by r_j and that of j by -r_i, so to leading order, bilinear in the sizes
of the two blocks, the answer changes by ``D_ij = <u_i, r_j> - <u_j, r_i>``: the commutator of the two blocks seen from
the head. The residual ``v.(y - f)`` is then the sum of D_ij over the pairs that stand the wrong way round, and least
squares reads them off (docs/method.md has the derivation and the size of what is left out).

Two phases, both new here:

``anneal``  Far from the truth a column per pair is too many. Blocks get real positions p; the smoothed effect of moving
            block k is ``J_k = sum_j K_s(p_j - p_k) D_kj`` with a Gaussian K_s, n columns in all. Damped Gauss-Newton
            steps over FRESH rows each time, with s shrunk from half the depth to a fifth of it, always accepted.
            The wide kernel is what escapes the local minima of swaps: from random orders of the 48-block puzzle it
            leaves 30 to 60 of the 560 inversions in 40 passes over 128 rows (dev/log.md).
``descend`` Near the truth several proposals are made from one trace (smoothed steps at three widths and dampings, all
            pairs by ridge, disjoint adjacent swaps, single insertions), ranked by their predicted error, the best few
            scored exactly on held rows, and the best one not yet visited is taken, even uphill.

Cost: a step is one trace (three forward passes of its rows), ``R n^2 d`` flops for D, and a few forward passes of 128
rows. It wants branches that are small beside the stream and no more than R n^2 numbers of memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from reknit.assembly.problem import Search, mean_square
from reknit.network.stack import Arrangement, Trace
from reknit.solvers.least_squares import damped_solution, damped_solutions
from reknit.solvers.ordering import largest, moved, sort_by_position

ANNEAL_STEPS, ANNEAL_ROWS, ANNEAL_DAMPING = 40, 128, 3.0
WIDEST, NARROWEST, FINEST = 0.5, 0.2, 0.02
"""Kernel widths, as shares of the depth: the annealing goes from the first to the second, the cooling to the third."""
COOL_STEPS, COOL_ROWS = 80, 256
LEAST_WIDTH, COOL_NOISE = 0.7, 0.1
"""Places below which a kernel sees no neighbour; share of the residual's variance put down to the linearisation."""
REHEATED = (NARROWEST, 0.1, 0.05, 0.1, 0.05)
"""Kernel widths from which an order that is nearly right is cooled again."""
SETTLED = 12
"""Steps in a row that move nothing, after which a cooling is over."""
DESCENT_ROWS, SCORE_ROWS, MOST_ROWS = 192, 96, 4096
FAR = 2e-3
"""Share of the outputs' variance: an error above it, not falling any more, is a wrong basin."""
SCORED = 3
"""Proposals of a step that are scored exactly."""
SWAP_SHARE = 0.35
"""Fitted share of an inversion above which a neighbour pair counts as inverted; one half would be symmetric, but the
fit shrinks."""


def inversion_effects(trace: Trace) -> Float[np.ndarray, "rows blocks blocks"]:
    """``D[r, i, j] = <u_i, r_j> - <u_j, r_i>``: what inverting the blocks at positions i and j adds to the answer.

    Antisymmetric in i and j; meant for i < j. Units: those of the answer.
    """
    overlap = np.matmul(trace.pulled.transpose(1, 0, 2), trace.added.transpose(1, 2, 0))
    effects: Float[np.ndarray, "rows blocks blocks"] = overlap - overlap.transpose(0, 2, 1)
    return effects


def position_effects(
    effects: Float[np.ndarray, "rows blocks blocks"], width: float
) -> Float[np.ndarray, "rows blocks"]:
    """What moving each block one place towards the head adds to the answer, smoothed over ``width`` places."""
    n = effects.shape[1]
    place = np.arange(n, dtype=effects.dtype)
    kernel = np.exp(-0.5 * ((place[None] - place[:, None]) / width) ** 2) / (width * math.sqrt(2 * math.pi))
    return np.asarray(np.einsum("rij,ij->ri", effects, kernel))


def insertion_effects(effects: Float[np.ndarray, "rows blocks blocks"]) -> Float[np.ndarray, "rows blocks blocks"]:
    """First-order effect of taking the block at position i out and putting it back to stand at position q: [r, i, q].

    Passing every block between inverts one pair each, so the effects are partial sums of a row of D.
    """
    n = effects.shape[1]
    sums = np.zeros((len(effects), n, n + 1), effects.dtype)
    np.cumsum(effects, axis=2, out=sums[:, :, 1:])
    here = np.arange(n)
    upto = sums[:, here, here + 1][:, :, None]
    later = sums[:, :, 1:] - upto
    earlier = sums[:, :, :-1] - upto
    return np.where(here[None, :] > here[:, None], later, earlier)


def _proposals(
    effects: Float[np.ndarray, "rows blocks blocks"], residual: Float[np.ndarray, " rows"], thorough: bool
) -> Iterator[list[int]]:
    """Reorderings (position k gets the block now at ``order[k]``) that the residual speaks for.

    The smoothed steps and the swaps come first and cost a third of it all; the rest is for when they stall.
    """
    n = effects.shape[1]
    place = np.arange(n, dtype=effects.dtype)
    for share in (0.17, 0.06, 0.02):
        width = max(share * n, 0.7)
        columns = position_effects(effects, width)
        for shift in damped_solutions(columns, residual, (3.0, 0.3, 0.03)):
            yield sort_by_position(place + shift.clip(-2 * width, 2 * width))
    yield _disjoint_swaps(effects, residual)
    if not thorough:
        return
    upper = np.triu_indices(n, 1)
    pairs = effects[:, upper[0], upper[1]]
    for shares in damped_solutions(pairs, residual, [damping * n for damping in (1.0, 0.1, 0.01)]):
        share_inverted = np.zeros((n, n), effects.dtype)
        share_inverted[upper] = shares.clip(0, 1)
        yield sort_by_position(place + share_inverted.sum(1) - share_inverted.sum(0))
    yield from _insertions(effects, residual, 6)


def _disjoint_swaps(
    effects: Float[np.ndarray, "rows blocks blocks"], residual: Float[np.ndarray, " rows"]
) -> list[int]:
    """The neighbour pairs that the residual calls inverted, strongest first, none overlapping another."""
    n = effects.shape[1]
    first = np.arange(n - 1)
    share = damped_solution(effects[:, first, first + 1], residual, 1e-3).tolist()
    order, taken = list(range(n)), set[int]()
    for k in sorted(range(n - 1), key=lambda k: -share[k]):
        if share[k] < SWAP_SHARE:
            break
        if not taken & {k - 1, k, k + 1}:
            taken.add(k)
            order[k], order[k + 1] = order[k + 1], order[k]
    return order


def _insertions(
    effects: Float[np.ndarray, "rows blocks blocks"], residual: Float[np.ndarray, " rows"], count: int
) -> Iterator[list[int]]:
    """The single insertions with the largest first-order gain."""
    n = effects.shape[1]
    change = insertion_effects(effects)
    gain = 2 * np.tensordot(residual, change, 1) - np.einsum("riq,riq->iq", change, change)
    for flat in largest(gain.reshape(-1), count):
        source, target = divmod(flat, n)
        if source != target:
            yield moved(range(n), source, target)


def _predicted_error(
    effects: Float[np.ndarray, "rows blocks blocks"], residual: Float[np.ndarray, " rows"], orders: list[list[int]]
) -> Float[np.ndarray, " orders"]:
    """Mean squared error of each reordering to first order."""
    place = np.argsort(np.array(orders), axis=1)
    inverted = np.triu(place[:, :, None] > place[:, None, :], 1).astype(effects.dtype)
    change = effects.reshape(len(effects), -1) @ inverted.reshape(len(orders), -1).T
    return np.asarray(np.square(residual[:, None] - change).mean(0))


def anneal(search: Search, arrangement: Arrangement, steps: int = ANNEAL_STEPS, rows: int = ANNEAL_ROWS) -> Arrangement:
    """Bring an order from anywhere into the neighbourhood of the truth; the pairs stay as they are."""
    n = len(arrangement)
    stack = search.problem.stack
    best, held = math.inf, arrangement
    for step in range(steps if n > 2 else 0):
        share = WIDEST * (NARROWEST / WIDEST) ** (step / max(steps - 1, 1))
        width = max(share * n, 1.0)
        x, y = search.draw(rows)
        trace, residual = search.residual(x, y, arrangement, stack)
        error = mean_square(residual)
        search.note("anneal", arrangement, error, len(x))
        if error < best:
            best, held = error, arrangement
        columns = position_effects(inversion_effects(trace), width)
        shift = damped_solution(columns, residual, ANNEAL_DAMPING).clip(-width, width)
        order = sort_by_position(np.arange(n) + shift)
        if error < search.problem.solved_below or order == list(range(n)):
            break
        arrangement = arrangement.reordered(order)
    return held


def cool(search: Search, arrangement: Arrangement, widest: float, steps: int = COOL_STEPS) -> tuple[float, Arrangement]:
    """Bring an order that is roughly right closer, the kernel shrinking from ``widest`` to less than two places.

    Unlike in ``anneal`` the damping follows the residual: shifts have a prior deviation of the kernel's width, and
    ``COOL_NOISE`` of the residual's variance counts as noise, so the steps grow bolder as the residual falls.
    Returns the error on the rows of the best step, and its arrangement.
    """
    n, problem = len(arrangement), search.problem
    best, still = (math.inf, arrangement), 0
    for step in range(steps if n > 2 else 0):
        share = widest * (FINEST / widest) ** (step / max(steps - 1, 1))
        width = max(share * n, LEAST_WIDTH)
        x, y = search.draw(COOL_ROWS)
        trace, residual = search.residual(x, y, arrangement, problem.stack)
        error = mean_square(residual)
        search.note("cool", arrangement, error, len(x))
        best = min(best, (error, arrangement), key=lambda pair: pair[0])
        if error < problem.solved_below:
            break
        columns = position_effects(inversion_effects(trace), width)
        noise = COOL_NOISE * error * n / max(float(np.square(columns).sum()), 1e-30)
        shift = damped_solution(columns, residual, noise / width**2 + 1e-6).clip(-width, width)
        order = sort_by_position(np.arange(n) + shift)
        still = still + 1 if order == list(range(n)) else 0
        if still == SETTLED:
            break
        arrangement = arrangement.reordered(order)
    return best


def settle(search: Search, arrangement: Arrangement, hopeful: float) -> tuple[float, Arrangement]:
    """Descend; while that leaves an error below ``hopeful`` but not zero, cool from wider kernels and descend again."""
    problem = search.problem
    best = descend(search, arrangement, iterations=30, patience=4)
    for widest in REHEATED:
        if not problem.solved_below < best[0] < hopeful:
            break
        error, cooled = cool(search, best[1], widest)
        if problem.solved_below < error < FAR * problem.variance:
            error, cooled = descend(search, cooled, iterations=12, patience=3)
        error = problem.mse(cooled, MOST_ROWS)
        if error > 0.5 * best[0]:
            break  # another basin, or another network: more of the same does not lead out of it
        best = (error, cooled)
    return best


def descend(
    search: Search, arrangement: Arrangement, *, iterations: int = 60, patience: int = 6, rows: int = DESCENT_ROWS
) -> tuple[float, Arrangement]:
    """Put the order right from nearby; returns the error on the rows last used, and the arrangement.

    Args:
        search: the problem, its randomness and its log.
        arrangement: where to start; its pairs stay as they are.
        iterations: at most so many steps.
        patience: steps without a better error before the rows are doubled (up to ``MOST_ROWS``) or, far from the
            truth, the descent is given up.
        rows: rows of the first regressions.
    """
    n, problem = len(arrangement), search.problem
    visited, stalled, best = {arrangement}, 0, (math.inf, arrangement)
    score_rows = max(SCORE_ROWS, rows // 3)
    for _ in range(iterations if n > 1 else 0):
        x, y = search.draw(rows)
        trace, residual = search.residual(x, y, arrangement, problem.stack)
        effects = inversion_effects(trace)
        orders = [list(o) for o in dict.fromkeys(map(tuple, _proposals(effects, residual, stalled > 0)))]
        orders = [o for o in orders if arrangement.reordered(o) not in visited]
        if not orders:
            break
        likely = np.argsort(_predicted_error(effects, residual, orders), kind="stable")[:SCORED].tolist()
        tried = [arrangement.reordered(orders[k]) for k in likely]
        x, y = x[:score_rows], y[:score_rows]
        errors = [mean_square(problem.stack.forward(x, a) - y) for a in tried]
        error, arrangement = min(zip(errors, tried, strict=True), key=lambda pair: pair[0])
        visited.add(arrangement)
        search.note("order", arrangement, error, len(x))
        stalled = 0 if error < 0.999 * best[0] else stalled + 1
        best = min(best, (error, arrangement), key=lambda pair: pair[0])
        if error < problem.solved_below:
            break
        if stalled >= patience:
            far = best[0] > FAR * problem.variance  # more rows do not lead out of a wrong basin; a new start may
            if far or 2 * rows > min(len(problem.x), MOST_ROWS):
                break
            rows, score_rows, stalled = 2 * rows, 2 * score_rows, 0
            best = (math.inf, best[1])
            arrangement = best[1]
    if math.isinf(best[0]):  # nothing was proposed: it stands at the start, whose error nobody has asked for
        x, y = search.draw(score_rows)
        best = (mean_square(problem.stack.forward(x, best[1]) - y), best[1])
    return best
