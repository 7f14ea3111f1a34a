"""What soft assignment leaves is mended by exchanges: of tensors that cannot be mixed, and of single slots."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from reknit.wiring.exchanges import Swap, exchange_effects, exchanged, promising, rung_exchanges
from reknit.wiring.pools import Pool
from reknit.wiring.search_state import Search, State
from reknit.wiring.tensor_effects import Mixture, tensor_effects

ROWS, MOST_ROUNDS = 128, 12
TRIED, WHOLE_TRIED = 16, 400
"""Exchanges that are tried of those foreseen to help; and of all, where nothing is foreseen."""
GAINED = 0.7
"""Share of the error of the mixtures that an exchange has to get below."""


def exchange_whole(search: Search, state: State) -> State | None:
    """The exchange of unmixed tensors that lowers the error of the mixtures most; None if none does."""
    free = {slot for pool in search.whole for slot in pool.slots}
    moves = rung_exchanges(search.ladders, free)
    pairs = [(pair,) for pool in search.whole for pair in itertools.combinations(pool.slots, 2)]
    moves += pairs[:WHOLE_TRIED]
    best, error = None, GAINED * state.error
    for move in moves:
        if search.late:
            break
        trial = exchanged(search.placement, move)
        found = search.recording.error(search.filled(state.shares, trial))
        if found < error:
            best, error = trial, found
    if best is None:
        return None
    search.placement = best
    search.note("exchange", error)
    return State(state.beliefs, state.shares, error)


def mend(search: Search, error: float) -> float:
    """Exchanges in the placement, the most promising first, as long as they lower its error."""
    pools = [pool for pool in (*search.mixed, *search.whole) if len(pool.slots) > 1]
    free = {slot for pool in pools for slot in pool.slots}
    for _ in range(MOST_ROUNDS):
        if search.late or not pools:
            break
        foreseen = _foreseen(search, pools)
        trials: list[tuple[Swap, ...]] = [(swap,) for _, swap in foreseen[:TRIED]]
        trials += rung_exchanges(search.ladders, free)
        began = error
        scored = sorted((search.error(exchanged(search.placement, move)), k) for k, move in enumerate(trials))
        for alone, k in scored:
            if alone >= began:
                break
            trial = exchanged(search.placement, trials[k])
            found = search.error(trial)
            if found < error:
                error, search.placement = found, trial
        search.note("exchange", error)
        if error >= began or search.solved(search.placement, error):
            break
    return error


def _foreseen(search: Search, pools: Sequence[Pool]) -> list[tuple[float, Swap]]:
    """Exchanges within pools by the share of the squared residual that they should leave."""
    mixtures = [
        Mixture(
            pool.slots,
            tuple(search.tensors[pool.tensors[0]].shape),
            pool.stacked(search.tensors),
            torch.eye(len(pool.slots))[search.held(pool)],
        )
        for pool in pools
    ]
    model = tensor_effects(search.recording, search.values(), mixtures, ROWS, search.generator)
    found = []
    for pool, part in zip(pools, model.effects, strict=True):
        changes = exchange_effects(part, search.held(pool))
        for left, first, second in promising(changes, model.residual, TRIED):
            found.append((left, (pool.slots[first], pool.slots[second])))
    return sorted(found)
