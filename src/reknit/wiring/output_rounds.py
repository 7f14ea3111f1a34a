"""Rounds of soft assignment: a linear model around the mixtures, beliefs from it, mixtures from the beliefs.

The mixtures move to the estimate that lowers the true error more: the Gaussian means, which may overshoot, or the
beliefs themselves. The noise of the linear model is what the last round's model missed, measured in its own directions
and scaled down with the step. Far from the goal the means are a regularised Gauss-Newton step from the prior, not from
the last mixture: what early rounds got wrong is not kept. Near the goal the beliefs become certain, a few slots at a
time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from reknit.wiring.search_state import Search, State
from reknit.wiring.soft_assignment import SURE, Beliefs, Matrix, sweep
from reknit.wiring.tensor_effects import tensor_effects

FIRST_NOISE, LEAST_NOISE, MOST_NOISE = 0.1, 1e-4, 30.0
"""Share of the squared residual that the linear model is not asked to explain."""
LOUDER = (1.0, 5.0, 25.0, 0.2)
"""What the noise is multiplied with to look for the best step; near the goal, until one lowers the error."""
SWEEPS = 5
NEARLY_LINEAR = 0.05
"""Share of the residual that the last linear model missed below which several sweeps are worth their time."""
STALLED = 0.9
"""A round that leaves more than this share of the error has stalled."""


def assign(
    search: Search, state: State, rows: int, best: float, *, most_rounds: int | None = None
) -> tuple[float, State]:
    """Rounds until a matching is at rounding or the error has stalled twice; the best matching is kept.

    Args:
        state: where to start.
        rows: directions in each linear model.
        best: the error of the present placement.
        most_rounds: None: no limit.
    """
    noise, stalls, rounds = FIRST_NOISE, 0, 0
    label_noise = search.recording.label_noise
    while search.mixed and stalls < 2 and rounds != most_rounds and not search.late:
        rounds += 1
        model = tensor_effects(
            search.recording, search.filled(state.shares), search.mixtures(state.shares), rows, search.generator
        )
        effects = [part.numpy() for part in model.effects]
        residual = model.residual.double().numpy()
        power = float(np.square(residual).mean())
        if label_noise is not None:
            noise = min(label_noise / max(power, 1e-300), 1e6)
        target = residual + _explained(effects, state.shares)
        nearly = noise < NEARLY_LINEAR or label_noise is not None
        error, said, shares = _best_step(search, effects, target, state, noise * power, nearly)
        lower = error < state.error
        if lower and label_noise is None:
            found = model.residual_of(search.filled(shares)).double().numpy()
            missed = float(np.square(found - target + _explained(effects, shares)).mean()) / max(power, 1e-300)
            noise = float(np.clip(missed * error / state.error, LEAST_NOISE, MOST_NOISE))
        stalls = stalls + 1 if error > STALLED * state.error else 0
        # a model that is far from linear is sure of what is wrong: it may move the mixtures, not the beliefs
        beliefs = said.beliefs if nearly or not lower else state.beliefs
        state = State(beliefs, shares, error) if lower else State(beliefs, state.shares, state.error)
        for logs in (said.means, [np.log(b.clip(1e-300)) for b in said.beliefs]):
            matched = search.matched(logs)
            alone = search.error(matched)
            if alone < best:
                best, search.placement = alone, matched
        search.note("round", state.error, sum(int((b.max(1) >= SURE).sum()) for b in said.beliefs))
        if search.solved(search.placement, best):
            break
    return best, state


def _best_step(
    search: Search,
    effects: Sequence[Float[np.ndarray, "rows slots pool"]],
    target: Float[np.ndarray, " rows"],
    state: State,
    noise: float,
    nearly: bool,
) -> tuple[float, Beliefs, Sequence[Matrix]]:
    """The least true error that the linear model leads to, with more or less noise assumed, and how it was reached."""
    found: list[tuple[float, int, Beliefs, Sequence[Matrix]]] = []
    for more in LOUDER:
        said = sweep(effects, target, state.beliefs, search.priors, more * noise)
        for _ in range(SWEEPS - 1 if nearly else 0):
            said = sweep(effects, target, said.beliefs, search.priors, more * noise)
        for held in (said.means, said.beliefs):
            found.append((search.recording.error(search.filled(held)), len(found), said, held))
        if nearly and min(one[0] for one in found) < state.error:
            break
    error, _, best, shares = min(found, key=lambda one: one[:2])
    return error, best, shares


def _explained(
    effects: Sequence[Float[np.ndarray, "rows slots pool"]], shares: Sequence[Matrix]
) -> Float[np.ndarray, " rows"]:
    """What the linear model says of shares."""
    parts = [np.einsum("msa,sa->m", part, p, optimize=True) for part, p in zip(effects, shares, strict=True)]
    return np.asarray(sum(parts), dtype=np.float64)
