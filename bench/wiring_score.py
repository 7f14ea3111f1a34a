"""How much of a wiring is right, kind by kind. A tensor with the bits of the true one counts as the true one.

    roles    the tensor belongs to the family of its slot
    edges    pairs of slots of one block whose tensors belong to one block
    slots    the tensor belongs in this very slot
    certain  how many are reported certain; *wrong* are those that hold another tensor in a network that computes
             something else; *elsewhere* those that hold another tensor while the function is the same

Slots whose shape all tensors share bit for bit, or that are alone in their shape, cannot be wrong and are not counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from reknit.skeleton.skeleton import Skeleton, Slot


@dataclass(frozen=True)
class Tally:
    """Counts over the slots of one kind."""

    slots: int
    right: int
    roles: int
    pairs: int
    edges: int
    certain: int
    wrong: int
    elsewhere: int

    def as_json(self) -> dict[str, int]:
        return asdict(self)


def score(
    skeleton: Skeleton,
    tensors: Mapping[str, np.ndarray],
    origin: Mapping[str, str],
    certain: Collection[str],
    *,
    same: bool,
) -> dict[str, Tally]:
    """Matrices (and kernels), and vectors (and single numbers).

    Args:
        skeleton: what was filled.
        tensors: slot -> the true tensor.
        origin: slot -> the slot that its tensor belongs in.
        certain: slots that are reported certain.
        same: whether the network computes the same as the true one.
    """
    open_slots = counted(skeleton, tensors)
    home = {
        key: key if np.array_equal(tensors[key], tensors[true], equal_nan=True) else true
        for key, true in origin.items()
    }
    return {
        "matrices": tally(skeleton, [k for k in open_slots if tensors[k].ndim > 1], home, certain, same=same),
        "vectors": tally(skeleton, [k for k in open_slots if tensors[k].ndim < 2], home, certain, same=same),
    }


def tally(
    skeleton: Skeleton, keys: Sequence[str], home: Mapping[str, str], certain: Collection[str], *, same: bool
) -> Tally:
    """The counts over these slots."""
    inside = [key for key in keys if skeleton[key].index]
    pairs = [(a, b) for a, b in itertools.combinations(inside, 2) if block_of(skeleton[a]) == block_of(skeleton[b])]
    misplaced = sum(key in certain and home[key] != key for key in keys)
    return Tally(
        slots=len(keys),
        right=sum(home[key] == key for key in keys),
        roles=sum(skeleton[home[key]].family == skeleton[key].family for key in keys),
        pairs=len(pairs),
        edges=sum(block_of(skeleton[home[a]]) == block_of(skeleton[home[b]]) for a, b in pairs),
        certain=sum(key in certain for key in keys),
        wrong=0 if same else misplaced,
        elsewhere=misplaced if same else 0,
    )


def counted(skeleton: Skeleton, tensors: Mapping[str, np.ndarray]) -> list[str]:
    """The slots in which a wrong tensor could stand."""
    pools: dict[tuple[object, ...], list[str]] = {}
    for key in (slot.key for slot in skeleton.slots if slot.key in tensors):
        pools.setdefault((tensors[key].shape, tensors[key].dtype.str), []).append(key)
    return [
        key
        for pool in pools.values()
        if any(not np.array_equal(tensors[key], tensors[pool[0]], equal_nan=True) for key in pool)
        for key in pool
    ]


def block_of(slot: Slot) -> tuple[str, tuple[int, ...]]:
    """The innermost repeated module that a slot lies in: the family up to its last star, and the numbers."""
    return slot.family.rpartition("*")[0], slot.index
