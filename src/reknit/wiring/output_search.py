"""The search of ``output_placement``: rounds of soft assignment, then exchanges, then both with a closer look.

Few arrangements are not searched but tried one by one (``output_enumeration``).
"""

from __future__ import annotations

import numpy as np

from reknit.wiring.output_enumeration import MOST, arrangements, try_all
from reknit.wiring.output_mending import exchange_whole, mend
from reknit.wiring.output_rivals import believed_again, settle
from reknit.wiring.output_rounds import assign
from reknit.wiring.search_state import Search, State
from reknit.wiring.soft_assignment import sinkhorn_log

ATTEMPTS = ((300, True), (600, False), (600, True), (1200, False), (1200, True), (2400, False))
"""Directions in each linear model, and whether to start afresh or from softened beliefs: a closer look at what the last
attempt left, or another way altogether, since its certainties may be wrong."""
TRUSTED = 0.5
"""Error below which a given placement may be where the search starts; the mean answer has error 1."""
KEPT = 0.7
"""What a given placement is believed, where it is nearer to the record than the prior."""
NEAR_LABELS = 0.02
"""Error of labels below which exchanges and a closer look come before other matrices: few labels are wrong then."""
SOFTENED = 0.1
"""Share of the prior that is mixed into beliefs which did not lead to the goal."""


def run(search: Search) -> bool:
    """Look for the placement that reproduces the record, until it is found or time is up; whether it was found."""
    error = search.error(search.placement)
    search.note("given", error)
    if search.solved(search.placement, error):
        return True
    if arrangements(search) <= MOST:
        return search.solved(search.placement, try_all(search))
    given, rivals = dict(search.placement), search.rivals
    state = start = _start(search, error)
    for rows, fresh in ATTEMPTS:
        state = start if fresh else _softened(search, state)
        while not search.late:
            error, state = assign(search, state, rows, search.error(search.placement))
            if search.solved(search.placement, error):
                return True
            if _few_labels_wrong(search, state):
                break
            if rivals:
                reached, search.placement, moves, rivals = search.placement, given, rivals, ()
                if settle(search, moves):
                    error = _as_believed(search)
                    if search.solved(search.placement, error):
                        return True
                    start = state = _start(search, error)
                    continue
                search.placement = reached
            moved = exchange_whole(search, start, state)
            if moved is None:
                break
            state = moved
            if believed_again(search):
                anew = _start(search, _as_believed(search))
                state = min(state, anew, key=lambda one: one.error)
        error = mend(search, search.error(search.placement))
        found = search.solved(search.placement, error)
        if found or search.late:
            return found
    return False


def _few_labels_wrong(search: Search, state: State) -> bool:
    """Whether only labels were recorded and nearly all are right."""
    return search.recording.label_noise is not None and state.error < NEAR_LABELS


def _as_believed(search: Search) -> float:
    """The error of the placement, after vectors are put where they are believed to be, if that lowers it."""
    error = search.error(search.placement)
    matched = search.matched(search.priors)
    believed = search.error(matched)
    if believed < error:
        search.placement = matched
    return min(error, believed)


def _start(search: Search, error: float) -> State:
    """The prior, with the mixtures there; with the present placement instead, where it is nearer to the record."""
    beliefs = [sinkhorn_log(prior) for prior in search.priors]
    mixed = search.recording.error(search.filled(beliefs))
    hard = [np.eye(len(pool.slots))[search.held(pool)] for pool in search.mixed]
    if np.isfinite(mixed) and error >= min(mixed, TRUSTED):  # a mixture may leave the answer undefined
        return State(beliefs, [b.copy() for b in beliefs], mixed)
    leaning = [KEPT * h + (1 - KEPT) * b for h, b in zip(hard, beliefs, strict=True)]
    return State(leaning, hard, error)


def _softened(search: Search, state: State) -> State:
    """Beliefs that can be overruled once more."""
    priors = [sinkhorn_log(prior) for prior in search.priors]
    beliefs = [(1 - SOFTENED) * b + SOFTENED * p for b, p in zip(state.beliefs, priors, strict=True)]
    return State(beliefs, state.shares, state.error)
