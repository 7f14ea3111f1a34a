"""Rival placements: moves of matrices that the weights do not rule out, for recorded outputs to try.

A *move* says of some slots which slot's tensor each takes. Moves are those of the solver (two matrices exchanged,
blocks or parts of them exchanged, turned over, moved on) and the ways to other ends of its climbs. Vectors go along: a
bias with its own matrix, a norm's gain and shift with the last matrix that reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from reknit.skeleton.skeleton import Skeleton
from reknit.solvers.quadratic_assignment import Placement, Problem, neighbours
from reknit.wiring.vector_slots import find_vectors

Move = Mapping[str, str]
Held = TypeVar("Held")

MOST, LOSS = 300, 30.0
"""Moves at most, and what each may lose of the objective, in log-odds."""


def moved(held: Mapping[str, Held], move: Move) -> dict[str, Held]:
    """What every slot holds after a move.

    >>> moved({"a": 1, "b": 2, "c": 3}, {"a": "b", "b": "a"})
    {'a': 2, 'b': 1, 'c': 3}
    """
    return dict(held) | {slot: held[other] for slot, other in move.items()}


def rival_moves(
    skeleton: Skeleton, slots: Sequence[str], problem: Problem, placement: Placement, ends: Sequence[Placement]
) -> tuple[Move, ...]:
    """The likeliest moves from a placement, the least loss first.

    Args:
        skeleton: what is being filled.
        slots: by place.
        problem: the objective.
        placement: where the moves start.
        ends: other placements: each is one move.
    """
    here = np.argsort(placement)
    far = [here[end] for end in ends if not np.array_equal(end, placement)]
    moves = np.unique(np.concatenate([neighbours(problem, np.arange(len(placement))), *(m[None] for m in far)]), axis=0)
    moves = moves[(moves != np.arange(len(placement))).any(1)]
    losses = problem.value(placement) - problem.values(placement[moves])
    order = [k for k in np.argsort(losses, kind="stable")[:MOST] if losses[k] <= LOSS]
    companions = _companions(skeleton)
    found = []
    for k in order:
        moved = {slots[s]: slots[t] for s, t in enumerate(moves[k]) if s != t}
        found.append(moved | _followed(skeleton, companions, moved))
    return tuple(found)


def _companions(skeleton: Skeleton) -> dict[str, dict[str, str]]:
    """Matrix -> part -> the vector that goes along with it."""
    found: dict[str, dict[str, str]] = {}
    for vector in find_vectors(skeleton):
        anchor = vector.own or (vector.readers[-1] if vector.readers else None)
        if anchor is not None:
            found.setdefault(anchor.slot, {}).setdefault(vector.part, vector.slot)
    return found


def _followed(skeleton: Skeleton, companions: Mapping[str, Mapping[str, str]], moved: Move) -> dict[str, str]:
    """The moves of vectors that go with moves of matrices; only whole cycles, or a vector would be used twice."""
    drawn: dict[str, str] = {}
    for slot, other in moved.items():
        for part, vector in companions.get(slot, {}).items():
            from_ = companions.get(other, {}).get(part)
            if from_ is not None and skeleton[from_].shape == skeleton[vector].shape:
                drawn[vector] = from_
    while set(drawn) != set(drawn.values()):
        drawn = {vector: from_ for vector, from_ in drawn.items() if from_ in drawn and vector in drawn.values()}
    return drawn
