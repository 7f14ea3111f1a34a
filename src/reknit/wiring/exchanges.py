"""Exchanges of tensors between slots of a pool: foreseen to first order, then tried for what they do.

An exchange of the tensors a and b between slots s and t changes the answers by J_s (b - a) + J_t (a - b), to first
order; all of them come from one set of effects (``tensor_effects``). Those that should lower the error most are then
tried. Where slots repeat, whole rungs of a ladder (the query and key of one block and of another) are tried too.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Swap = tuple[str, str]
Ladder = Sequence[Sequence[str]]


def exchanged(placement: Mapping[str, str], swaps: Iterable[Swap]) -> dict[str, str]:
    """The placement with the tensors of each two slots exchanged, one after the other."""
    new = dict(placement)
    for first, second in swaps:
        new[first], new[second] = new[second], new[first]
    return new


def exchange_effects(
    effects: Float[Tensor, "rows slots pool"], held: Sequence[int]
) -> Float[Tensor, "rows slots slots"]:
    """What exchanging the tensors of every two slots adds to the answers, to first order; symmetric.

    Args:
        effects: of every tensor in every slot.
        held: which tensor each slot holds.
    """
    by_slot = effects[:, :, list(held)]  # [row, s, t]: what the tensor of slot t does in slot s
    moved = by_slot - by_slot.diagonal(dim1=1, dim2=2)[:, :, None]
    return moved + moved.transpose(1, 2)


def promising(
    changes: Float[Tensor, "rows slots slots"], residual: Float[Tensor, " rows"], count: int
) -> list[tuple[float, int, int]]:
    """The exchanges foreseen to lower the squared residual most, best first: share of it left, slot, slot."""
    rows, slots = changes.shape[:2]
    flat = changes.reshape(rows, -1)
    left = (residual.square().sum() - 2 * residual @ flat + flat.square().sum(0)).reshape(slots, slots)
    left = left / residual.square().sum().clamp(min=1e-30)
    first, second = torch.triu_indices(slots, slots, 1)
    best = left[first, second].argsort()[:count].tolist()
    return [(float(left[first[k], second[k]]), int(first[k]), int(second[k])) for k in best]


def rung_exchanges(ladders: Iterable[Ladder], free: Collection[str]) -> list[tuple[Swap, ...]]:
    """Exchanges of every two rungs of a ladder whose slots are all free."""
    moves = []
    for ladder in ladders:
        rungs = [rung for rung in ladder if all(slot in free for slot in rung)]
        for first, second in itertools.combinations(rungs, 2):
            moves.append(tuple(zip(first, second, strict=True)))
    return moves
