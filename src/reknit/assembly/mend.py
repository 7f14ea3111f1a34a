"""Mend an arrangement that is nearly right: exchange out-layers where the residual asks for it, then order again.

The residual of a nearly right network is, to first order, the sum of the effects of the exchanges and insertions that
are missing. All exchanges are screened by their first-order gain from one trace, the best few scored exactly on the
same rows, the best one taken; the order is put right after every exchange that helped. A plateau that a few wrong pairs
explain ends here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.assembly.commutator import descend
from reknit.assembly.mean_field import pairing_effects
from reknit.assembly.moves import Rearrangement, all_moves
from reknit.assembly.problem import Problem, Search, mean_square
from reknit.assembly.proof import first_order_effects
from reknit.network.stack import Arrangement, Stack, Trace
from reknit.solvers.ordering import largest

ROWS, SHORTLIST, ROUNDS, POLISH_ROWS, SUSPECT_ROWS = 384, 16, 12, 2000, 1000


def exchange_effects(stack: Stack, trace: Trace, arrangement: Arrangement) -> Float[np.ndarray, "rows blocks blocks"]:
    """First-order effect on the answer of exchanging the out-layers of positions i and j: [r, i, j], symmetric."""
    own = pairing_effects(stack, trace)[:, :, list(arrangement.outs)]
    one_way = own - np.diagonal(own, axis1=1, axis2=2)[:, :, None]
    effects: Float[np.ndarray, "rows blocks blocks"] = one_way + one_way.transpose(0, 2, 1)
    return effects


def best_exchange(search: Search, arrangement: Arrangement, rows: int = ROWS) -> Arrangement | None:
    """The exchange of two out-layers that lowers the error most on fresh rows; None if none does."""
    problem, n = search.problem, len(arrangement)
    if n < 2:
        return None
    x, y = search.draw(rows)
    trace, residual = search.residual(x, y, arrangement, problem.stack)
    effects = exchange_effects(problem.stack, trace, arrangement)
    gain = 2 * np.tensordot(residual, effects, 1) - np.einsum("rij,rij->ij", effects, effects)
    first, second = np.triu_indices(n, 1)
    here = mean_square(problem.stack.forward(x, arrangement) - y)
    best, found = here, None
    for k in largest(gain[first, second], SHORTLIST):
        trial = Rearrangement("exchange", int(first[k]), int(second[k])).apply(arrangement)
        error = mean_square(problem.stack.forward(x, trial) - y)
        if error < best * (1 - 1e-6):
            best, found = error, trial
    if found is not None:
        search.note("mend", found, best, len(x))
    return found


def mend(search: Search, arrangement: Arrangement, rounds: int = ROUNDS) -> Arrangement:
    """Exchange and reorder until neither helps or the arrangement explains the data."""
    error = search.problem.mse(arrangement, 2 * ROWS)
    for _ in range(rounds):
        if error <= search.problem.solved_below:
            break
        trial = best_exchange(search, arrangement)
        if trial is None:
            break
        trial = descend(search, trial, iterations=10, patience=3)[1]
        found = search.problem.mse(trial, 2 * ROWS)
        if found >= error:
            break
        arrangement, error = trial, found
    return arrangement


@dataclass(frozen=True)
class Suspicion:
    """Moves that, taken together, would explain most of a residual, and the share of it they would leave."""

    moves: tuple[Rearrangement, ...]
    left: float


def suspect(problem: Problem, arrangement: Arrangement, most: int = 8) -> Suspicion:
    """What the residual of an arrangement looks like: the few moves whose first-order effects explain it best.

    Greedy: the move that explains most of what is left, its effect taken off whole, at most ``most`` times.
    """
    moves = all_moves(len(arrangement))
    x, y = problem.x[:SUSPECT_ROWS], problem.y[:SUSPECT_ROWS]
    direction = np.ones_like(y)
    residual = ((y - problem.stack.forward(x, arrangement)) * direction).sum(1)
    whole = float(residual @ residual)
    if not moves or whole <= 0:
        return Suspicion((), 1.0)
    effects = first_order_effects(problem.stack, x, direction, arrangement, moves)
    sizes, chosen = np.einsum("mr,mr->m", effects, effects), []
    for _ in range(most):
        gain = 2 * (effects @ residual) - sizes
        k = int(gain.argmax())
        if gain[k] < 0.05 * whole:
            break
        chosen.append(moves[k])
        residual = residual - effects[k]
    return Suspicion(tuple(chosen), float(residual @ residual) / whole)


def polish(problem: Problem, arrangement: Arrangement, rounds: int = 30) -> Arrangement:
    """Take single moves as long as they lower the error over all rows: the end of a search that noise keeps from zero.

    Moves are ranked by their first-order gain on up to ``POLISH_ROWS`` rows and the best few are scored exactly.
    """
    moves = all_moves(len(arrangement))
    if not moves:
        return arrangement
    x, y = problem.x[:POLISH_ROWS], problem.y[:POLISH_ROWS]
    generator = np.random.default_rng(0)
    error = problem.mse(arrangement)
    for _ in range(rounds):
        direction = np.ones_like(y) if y.shape[1] == 1 else generator.standard_normal(y.shape, y.dtype)
        residual = ((y - problem.stack.forward(x, arrangement)) * direction).sum(1)
        effects = first_order_effects(problem.stack, x, direction, arrangement, moves)
        gain = 2 * (effects @ residual) - np.einsum("mr,mr->m", effects, effects)
        trials = [moves[k].apply(arrangement) for k in largest(gain, SHORTLIST)]
        found, best = min(((problem.mse(trial), trial) for trial in trials), key=lambda pair: pair[0])
        if found >= error:
            break
        arrangement, error = best, found
    return arrangement
