"""What soft assignment leaves is mended by exchanges: of tensors that cannot be mixed, and of single slots."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch

from reknit.wiring.exchanges import Swap, exchange_effects, exchanged, promising, rung_exchanges
from reknit.wiring.output_rounds import assign
from reknit.wiring.pools import Pool
from reknit.wiring.rivals import Move, moved
from reknit.wiring.search_state import Search, State
from reknit.wiring.tensor_effects import Mixture, tensor_effects

ROWS, MOST_ROUNDS = 128, 12
TRIED, WHOLE_TRIED = 16, 400
"""Exchanges that are tried of those foreseen to help; and of all, where nothing is foreseen."""
PROBED, PROBE_ROUNDS = 12, 2
"""Exchanges that are given rounds of their own, and how many."""
GAINED, PROBE_GAINED = 0.9, 0.7
"""Share of the error of the mixtures that a move has to get below, at once or after rounds of its own."""


def exchange_whole(search: Search, start: State, state: State) -> State | None:
    """The move of unmixed tensors that lowers the error of the mixtures most; None if none does.

    Mixtures that have settled around a wrong matrix hide that it is wrong. So where no move helps them, the ones that
    hurt least at the start are each given a few rounds from there, and compared after these.
    """
    free = {slot for pool in search.whole for slot in pool.slots}
    swaps = rung_exchanges(search.ladders, free)
    swaps += [(pair,) for pool in search.whole for pair in itertools.combinations(pool.slots, 2)][:WHOLE_TRIED]
    moves: list[Move] = [exchanged({slot: slot for pair in swap for slot in pair}, swap) for swap in swaps]
    mixed = {slot for pool in search.mixed for slot in pool.slots}
    moves += [move for move in search.rivals if move.keys() <= free | mixed]
    found = _ranked(search, moves, state)
    if found and found[0][0] < GAINED * state.error:
        return _made(search, found[0][1], state)
    if not (moves and search.mixed):
        return None
    tried: list[tuple[float, Move]] = [(start.error, {}), *_ranked(search, moves, start)[:PROBED]]
    probed = []
    for k, (error, move) in enumerate(tried):
        if search.late:
            break
        probe = replace(search, placement=moved(search.placement, move), stages=[])
        begun = replace(search.carried(start, move), error=error)
        reached = assign(probe, begun, ROWS, error, most_rounds=PROBE_ROUNDS)[1]
        probed.append((reached.error, k, reached))
    if not probed:  # the time was up before the first
        return None
    error, k, reached = min(probed, key=lambda one: one[:2])
    if k == 0 or error >= PROBE_GAINED * probed[0][0]:
        return None
    search.placement = moved(search.placement, tried[k][1])
    search.note("exchange", error)
    return reached


def _made(search: Search, move: Move, state: State) -> State:
    """The state after a move, which is noted."""
    new = search.carried(state, move)
    search.placement = moved(search.placement, move)
    new = replace(new, error=search.recording.error(search.filled(new.shares)))
    search.note("exchange", new.error)
    return new


def _ranked(search: Search, moves: Sequence[Move], state: State) -> list[tuple[float, Move]]:
    """The error of the mixtures after every move, the least first."""
    values = search.filled(state.shares)
    found = []
    for move in moves:
        if search.late:
            break
        found.append((search.recording.error(moved(values, move)), move))
    return sorted(found, key=lambda one: one[0])


def mend(search: Search, error: float) -> float:
    """Exchanges in the placement, the most promising first, as long as they lower its error."""
    pools = [pool for pool in (*search.mixed, *search.whole) if len(pool.slots) > 1]
    free = {slot for pool in pools for slot in pool.slots}
    for _ in range(MOST_ROUNDS):
        if search.late or not pools:
            break
        sloped = [pool for pool in pools if pool.mixes(search.tensors)]
        foreseen = _foreseen(search, sloped) if sloped else []
        trials: list[tuple[Swap, ...]] = [(swap,) for _, swap in foreseen[:TRIED]]
        unforeseen = [pair for pool in pools if pool not in sloped for pair in itertools.combinations(pool.slots, 2)]
        trials += [(pair,) for pair in unforeseen[:WHOLE_TRIED]]
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
