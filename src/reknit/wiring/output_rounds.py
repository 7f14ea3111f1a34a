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
from reknit.wiring.soft_assignment import SURE, Matrix, sweep
from reknit.wiring.tensor_effects import tensor_effects

FIRST_NOISE, LEAST_NOISE, MOST_NOISE = 0.1, 1e-4, 0.5
"""Share of the squared residual that the linear model is not asked to explain."""
SWEEPS = 5
NEARLY_LINEAR = 0.05
"""Share of the residual that the last linear model missed below which several sweeps are worth their time."""
STALLED = 0.7
"""A round that leaves more than this share of the error has stalled."""


def assign(search: Search, state: State, rows: int, best: float) -> tuple[float, State]:
    """Rounds until a matching is at rounding or the error has stalled twice; the best matching is kept.

    Args:
        state: where to start.
        rows: directions in each linear model.
        best: the error of the present placement.
    """
    noise, stalls = FIRST_NOISE, 0
    while search.mixed and stalls < 2 and not search.late:
        model = tensor_effects(
            search.recording, search.filled(state.shares), search.mixtures(state.shares), rows, search.generator
        )
        effects = [part.numpy() for part in model.effects]
        residual = model.residual.double().numpy()
        power = float(np.square(residual).mean())
        target = residual + _explained(effects, state.shares)
        said = sweep(effects, target, state.beliefs, search.priors, noise * power)
        for _ in range(SWEEPS - 1 if noise < NEARLY_LINEAR else 0):
            said = sweep(effects, target, said.beliefs, search.priors, noise * power)
        steps = [(search.recording.error(search.filled(p)), k, p) for k, p in enumerate((said.means, said.beliefs))]
        error, _, shares = min(steps)
        if error < state.error:
            found = model.residual_of(search.filled(shares)).double().numpy()
            missed = float(np.square(found - target + _explained(effects, shares)).mean()) / max(power, 1e-300)
            noise = float(np.clip(missed * error / state.error, LEAST_NOISE, MOST_NOISE))
        else:
            noise = min(4 * noise, MOST_NOISE)
        stalls = stalls + 1 if error > STALLED * state.error else 0
        state = State(said.beliefs, shares if error < state.error else state.shares, min(error, state.error))
        for logs in (said.means, [np.log(b.clip(1e-300)) for b in said.beliefs]):
            matched = search.matched(logs)
            alone = search.error(matched)
            if alone < best:
                best, search.placement = alone, matched
        search.note("round", state.error, sum(int((b.max(1) >= SURE).sum()) for b in said.beliefs))
        if search.solved(search.placement, best):
            break
    return best, state


def _explained(
    effects: Sequence[Float[np.ndarray, "rows slots pool"]], shares: Sequence[Matrix]
) -> Float[np.ndarray, " rows"]:
    """What the linear model says of shares."""
    parts = [np.einsum("msa,sa->m", part, p, optimize=True) for part, p in zip(effects, shares, strict=True)]
    return np.asarray(sum(parts), dtype=np.float64)
