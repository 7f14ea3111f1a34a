"""Pools: the slots of one shape and the tensors for them, one to one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reknit.errors import PileError


@dataclass(frozen=True)
class Pool:
    """Slots of one shape and the tensors of that shape, in equal numbers.

    Attributes:
        slots: by their state-dict keys.
        tensors: by the names they came with.
    """

    slots: tuple[str, ...]
    tensors: tuple[str, ...]

    def without(self, placement: Mapping[str, str], settled: Collection[str]) -> Pool:
        """The slots that are not settled, and the tensors that no settled slot holds."""
        held = {placement[slot] for slot in self.slots if slot in settled}
        return Pool(
            tuple(slot for slot in self.slots if slot not in settled),
            tuple(name for name in self.tensors if name not in held),
        )

    def mixes(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether a slot may hold a weighted sum of the tensors: not of indices or truth values."""
        return all(tensors[name].is_floating_point() for name in self.tensors)

    def stacked(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The tensors as rows, flattened, in float32."""
        return torch.stack([tensors[name].detach().reshape(-1).float() for name in self.tensors])


def check_pools(pools: Sequence[Pool], tensors: Mapping[str, Tensor], placement: Mapping[str, str]) -> None:
    """Whether every pool has one shape and the placement is one to one within it.

    Raises:
        PileError: counts or shapes differ, or a tensor is placed twice or in another pool.
    """
    for pool in pools:
        where = f"pool of {pool.slots[0]}" if pool.slots else "pool"
        if len(pool.slots) != len(pool.tensors):
            raise PileError(f"{len(pool.slots)} slots but {len(pool.tensors)} tensors", where, "Give one tensor a slot")
        shapes = {tuple(tensors[name].shape) for name in pool.tensors}
        if len(shapes) > 1:
            raise PileError(f"tensors of several shapes: {sorted(shapes)}", where, "Make one pool for every shape")
        unplaced = [slot for slot in pool.slots if slot not in placement]
        if unplaced:
            raise PileError(f"{unplaced[0]} holds no tensor", where, "Place every slot, however roughly")
        if Counter(placement[slot] for slot in pool.slots) != Counter(pool.tensors):
            raise PileError("the placement does not use every tensor of the pool once", where)
