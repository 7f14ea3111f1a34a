"""Rival placements of matrices are tried by recorded outputs, with the vectors mixed as they are believed.

Every move changes the placement and carries the beliefs of what moves along. The move that lowers the error of the
mixture most is made, again and again until none does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from torch import Tensor

from reknit.wiring.rivals import Move, moved
from reknit.wiring.search_state import Search
from reknit.wiring.soft_assignment import sinkhorn_log

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
    made = False
    while moves and _climbed(search, moves, until):
        made = True
        if not believed_again(search):
            break
    return made


def _climbed(search: Search, moves: Sequence[Move], until: float) -> bool:
    """The best move again and again; whether any was made."""
    values = _mixed(search)
    error, made = search.recording.error(values), False
    while True:
        tried = []
        for k, move in enumerate(moves):
            if time.perf_counter() > until:
                return made
            tried.append((search.recording.error(moved(values, move)), k))
        least, k = min(tried)
        if least >= GAINED * error:
            return made
        values, error, made = moved(values, moves[k]), least, True
        search.placement = moved(search.placement, moves[k])
        search.priors = search.rows_moved(search.priors, moves[k])
        search.note("rival", error)


def believed_again(search: Search) -> bool:
    """Beliefs anew, around the matrices as they stand now; kept and noted where they lower the error."""
    before, carried = search.recording.error(_mixed(search)), search.priors
    anew = search.priors_around(search.placement)
    if anew is None:
        return False
    search.priors = anew
    error = search.recording.error(_mixed(search))
    if error >= before:
        search.priors = carried
        return False
    search.note("beliefs", error)
    return True


def _mixed(search: Search) -> dict[str, Tensor]:
    """What every slot holds, vectors mixed as they are believed."""
    values = search.values()
    for mixture in search.mixtures([sinkhorn_log(prior) for prior in search.priors]):
        if len(mixture.shape) == 1:
            values.update(mixture.values())
    return values
