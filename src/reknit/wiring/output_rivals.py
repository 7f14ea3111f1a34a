"""Rival placements of matrices are tried by recorded outputs, with the vectors mixed as they are believed.

Every move changes the placement and carries the beliefs of what moves along. The move that lowers the error of the
mixture most is made, again and again until none does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

from reknit.wiring.rivals import Move
from reknit.wiring.search_state import Search
from reknit.wiring.soft_assignment import sinkhorn_log

Held = TypeVar("Held")

GAINED = 0.98
"""Share of the error that a move has to get below."""
SHARE = 0.4
"""Of the time that is left, at most."""


def settle(search: Search, moves: Sequence[Move]) -> bool:
    """Make moves in the placement and the beliefs as long as they help; whether any was made."""
    open_ = {slot for pool in (*search.mixed, *search.whole) for slot in pool.slots}
    moves = [move for move in moves if move.keys() <= open_]
    now = time.perf_counter()
    until = now + SHARE * (search.deadline - now)
    values = search.values()
    for mixture in search.mixtures([sinkhorn_log(prior) for prior in search.priors]):
        if len(mixture.shape) == 1:
            values.update(mixture.values())
    error, made = search.recording.error(values), False
    while moves:
        tried = []
        for k, move in enumerate(moves):
            if time.perf_counter() > until:
                return made
            tried.append((search.recording.error(_moved(values, move)), k))
        least, k = min(tried)
        if least >= GAINED * error:
            return made
        values, error, made = _moved(values, moves[k]), least, True
        search.placement = _moved(search.placement, moves[k])
        search.priors = [
            prior[[pool.slots.index(moves[k].get(slot, slot)) for slot in pool.slots]]
            for pool, prior in zip(search.mixed, search.priors, strict=True)
        ]
        search.note("rival", error)
    return made


def _moved(held: Mapping[str, Held], move: Move) -> dict[str, Held]:
    """What every slot holds after a move."""
    return dict(held) | {slot: held[other] for slot, other in move.items()}
