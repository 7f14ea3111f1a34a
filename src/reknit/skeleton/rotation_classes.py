"""Which groups may be turned by a rotation, found by asking the module.

Behind an RMSNorm of equal gains every orthogonal Q leaves the function as it is: |x Q| = |x|. Behind a LayerNorm those
with Q 1 = 1: the mean is taken along the vector of ones. An activation of single units allows none, nor a BatchNorm.
Nothing of that is written down here but what tells the reason of a refusal: random rotations are tried on random
weights in float64, with gains of one, and the answers compared.

Where the rotations keep the ones, what lies along them may mean nothing at all: a LayerNorm takes it out of the stream,
and what reads the norm never sees it. ``unseen_along_ones`` asks for every member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reknit.skeleton.norm_folding import FoldableNorm
from reknit.skeleton.positions import unit_at
from reknit.skeleton.random_weights import random_weights
from reknit.skeleton.rotation import STATISTICS, Rotation
from reknit.skeleton.skeleton import Group, Member, Skeleton
from reknit.skeleton.symmetry import Symmetry

Answer = Callable[[Mapping[str, Tensor]], Tensor]
SAME = 1e-9
"""Share of the largest answer that counts as zero."""
SIZES = (1.0, 3.0)
"""Of the weights that a rotation is tried on."""


@dataclass(frozen=True)
class RotationClass:
    """A group that may be turned.

    Attributes:
        group: its name.
        keeps_ones: whether only rotations with ``Q 1 = 1`` will do.
    """

    group: str
    keeps_ones: bool


def find_rotation_classes(
    skeleton: Skeleton, answer: Answer, *, seed: int = 0
) -> tuple[tuple[RotationClass, ...], dict[str, str]]:
    """The groups that may be turned, and for every other group why not.

    Args:
        skeleton: whose groups they are.
        answer: slot -> tensor in float64 to all answers as one vector, for some inputs.
        seed: of the weights and rotations that are drawn.
    """
    found, refused = [], {}
    outer = {group.within for group in skeleton.groups}
    for group in skeleton.groups:
        reason = "other units lie within its units" if group.name in outer else _obstacle(skeleton, group)
        if not reason:
            kinds = (False, True) if group.size > 2 else (False,)  # of two units such rotations are permutations
            keeps = next((ones for ones in kinds if _holds(skeleton, group, answer, ones, seed)), None)
            if keeps is not None:
                found.append(RotationClass(group.name, keeps))
                continue
            reason = "the module answers otherwise when it is turned"
        refused[group.name] = reason
    return tuple(found), refused


def _obstacle(skeleton: Skeleton, group: Group) -> str:
    """Why a group cannot be turned, where that is plain without asking."""
    if group.fixed:
        return f"it is fixed: {group.fixed}"
    if STATISTICS & {member.role for member in group.members}:
        return "a BatchNorm norms each of its units"
    identity = Symmetry(skeleton, ())
    if any(identity.rows_of(group, member.slot, member.axis)[1] is not None for member in group.members):
        return f"{group.within} lies on another axis"
    taken = {member.slot for member in group.members if member.role in ("reads", "scales")}
    for use in skeleton.uses:
        if use.bent and taken & set(use.slots.values()):
            return f"{use.bent[0]} acts on each of its units"
    return ""


def _holds(skeleton: Skeleton, group: Group, answer: Answer, keeps_ones: bool, seed: int) -> bool:
    """Whether random rotations leave the answers as they are."""
    generator = torch.Generator().manual_seed(seed)
    for k, size in enumerate(SIZES):
        state = with_gains_of_one(group, random_weights(skeleton, generator, size))
        rotation = Rotation.random(skeleton, group.name, np.random.default_rng((seed, k)), keeps_ones=keeps_ones)
        turned = rotation.apply({key: value.numpy() for key, value in state.items()})
        if not _same(answer(state), answer({key: torch.from_numpy(value) for key, value in turned.items()})):
            return False
    return True


def with_gains_of_one(group: Group, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with the norms over a group folded, as far as gains go."""
    gains = {member.slot for member in group.members if member.role == "scales"}
    return {key: torch.ones_like(value) if key in gains else value for key, value in state.items()}


def unseen_along_ones(
    skeleton: Skeleton, group: Group, norms: tuple[FoldableNorm, ...], answer: Answer, *, seed: int = 0
) -> tuple[Member, ...]:
    """The members of a group whose part along the vector of ones changes no answer, once these norms are folded."""
    generator = torch.Generator().manual_seed(seed)
    state = with_gains_of_one(group, random_weights(skeleton, generator))
    state |= {norm.shift: torch.zeros_like(state[norm.shift]) for norm in norms if norm.taken}
    base = answer(state)

    def unseen(members: tuple[Member, ...]) -> tuple[Member, ...]:
        moved = dict(state)
        for member in members:
            moved[member.slot] = _pushed(moved[member.slot], group, member, generator)
        if not members or _same(base, answer(moved)):
            return members
        half = len(members) // 2
        return () if not half else unseen(members[:half]) + unseen(members[half:])

    folded = {norm.shift for norm in norms if norm.taken}
    turned = (m for m in group.members if m.role in ("writes", "reads", "shifts") and m.slot not in folded)
    return unseen(tuple(turned))


def _pushed(tensor: Tensor, group: Group, member: Member, generator: torch.Generator) -> Tensor:
    """A tensor with random numbers added that are the same for all units."""
    units = torch.from_numpy(unit_at(member, group.size, tensor.shape[member.axis]))
    shape = [1 if k == member.axis else size for k, size in enumerate(tensor.shape)]
    along = (units >= 0).double().reshape([-1 if k == member.axis else 1 for k in range(tensor.ndim)])
    return tensor + along * torch.randn(shape, generator=generator, dtype=torch.float64)


def _same(first: Tensor, second: Tensor) -> bool:
    return bool((first - second).abs().max() <= SAME * first.abs().max())
