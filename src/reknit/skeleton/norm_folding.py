"""The gains and shifts of norms folded into the matrices that read them, and put back: the function stays as it is.

With n the normed values, g the gain, b the shift, and a matrix W with bias c that alone reads the norm,

    (n g + b) W + c   =   n (diag(g) W) + (c + b W)

so gains may become 1 and shifts 0, or whatever else is wanted (Ashkboos, Croci, do Nascimento, Hoefler, Hensman,
"SliceGPT: compress large language models by deleting rows and columns", 2024, arXiv 2401.15024, who fold before they
turn the stream, too). Here otherwise: a shift stays where a reader has no bias, since it turns with the
stream; and what was folded can be unfolded to the gains of another network.

A norm cannot be folded where something else than a matrix reads it, where the matrix is tied to another use, or where
a reader sees the stream beside the norm: ``foldable_norms`` says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.errors import InputError
from reknit.skeleton.positions import unit_at
from reknit.skeleton.skeleton import Group, Member, Skeleton, Use

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Reader:
    """A matrix that reads a norm.

    Attributes:
        weight: where the stream lies on its slot.
        bias: the slot of its bias; empty if it has none that may take a shift.
    """

    weight: Member
    bias: str = ""


@dataclass(frozen=True)
class FoldableNorm:
    """A norm whose gain goes into all that reads it.

    Attributes:
        gain: the slot.
        shift: the slot; empty, if it has none.
        taken: whether every reader has a bias to take the shift; else it stays, in other units.
        readers: the matrices.
    """

    gain: str
    shift: str
    taken: bool
    readers: tuple[Reader, ...]


def foldable_norms(skeleton: Skeleton, group: Group) -> tuple[tuple[FoldableNorm, ...], dict[str, str]]:
    """The norms over a group that can be folded, and why the others (by the slot of their gain) cannot."""
    found, refused = [], {}
    for member in group.members:
        if member.role != "scales":
            continue
        reason = _obstacle(skeleton, group, member.slot)
        if reason:
            refused[member.slot] = reason
        else:
            found.append(_foldable(skeleton, group, member.slot))
    return tuple(found), refused


def refit(group: Group, norms: Sequence[FoldableNorm], tensors: Tensors, like: Tensors | None) -> dict[str, np.ndarray]:
    """The same network with other gains and shifts: ones and zeros, or those of another network.

    Args:
        group: whose norms these are.
        norms: see ``foldable_norms``.
        tensors: slot -> numbers; stays as it is.
        like: whose gains and shifts are wanted; None: folded.

    Returns:
        all tensors, float64 where they changed.

    Raises:
        InputError: a wanted gain is zero where the one there is is not: what was read there could not be read any more.
    """
    found = dict(tensors)
    for norm in norms:
        old, shift = _numbers(tensors, norm.gain), _numbers(tensors, norm.shift)
        new = np.ones_like(old) if like is None else _numbers(like, norm.gain)
        moved = np.zeros_like(shift) if like is None or not norm.taken else _numbers(like, norm.shift)
        if ((new == 0) & (old != 0)).any() or (norm.shift and not norm.taken and ((old == 0) & (shift != 0)).any()):
            problem = "a gain is zero, and what passes there could not be read with any other"
            raise InputError(problem, norm.gain, "Set it to a small number, or take the method weights")
        factor = np.divide(old, new, out=np.ones_like(old), where=new != 0)
        if norm.shift and not norm.taken:
            moved = np.divide(shift, factor, out=np.zeros_like(shift), where=factor != 0)
        for reader in norm.readers:
            before = _numbers(tensors, reader.weight.slot)
            units = unit_at(reader.weight, group.size, before.shape[reader.weight.axis])
            after = before * _spread(factor, units, reader.weight, before.ndim, 1.0)
            found[reader.weight.slot] = after
            if norm.taken:
                first, second = (_spread(each, units, reader.weight, before.ndim, 0.0) for each in (shift, moved))
                summed = (before * first - after * second).sum(reader.weight.axis)
                found[reader.bias] = _numbers(found, reader.bias) + summed
        found[norm.gain] = new
        if norm.shift:
            found[norm.shift] = moved
    return found


def _numbers(tensors: Tensors, slot: str) -> Float[np.ndarray, ...]:
    return np.asarray(tensors[slot], dtype=np.float64) if slot else np.zeros(0)


def _spread(values: np.ndarray, units: np.ndarray, member: Member, ndim: int, elsewhere: float) -> np.ndarray:
    """One number a unit, in a shape that goes with a tensor's."""
    along = np.where(units >= 0, values[np.maximum(units, 0)], elsewhere)
    return np.asarray(along.reshape([-1 if k == member.axis else 1 for k in range(ndim)]))


def _uses(skeleton: Skeleton, slot: str) -> list[Use]:
    return [use for use in skeleton.uses if slot in use.slots.values()]


def _readers(skeleton: Skeleton, norm: Use) -> Iterator[Use]:
    return (use for use in skeleton.uses if norm.step in use.sources)


def _obstacle(skeleton: Skeleton, group: Group, gain: str) -> str:
    """Why a norm cannot be folded; empty if it can."""
    if skeleton[gain].shape != (group.size,):
        return "it is not one number a unit"
    norm, *again = _uses(skeleton, gain)
    shift = norm.slots.get("bias", "")
    if again or (shift and len(_uses(skeleton, shift)) > 1):
        return "two norms share it or its shift"
    if any(norm.step in steps for meeting in skeleton.meetings for steps in meeting.operands.values()):
        return "its values meet others before a matrix reads them"
    readers = list(_readers(skeleton, norm))
    problems = (_not_read_by(skeleton, group, norm, reader) for reader in readers)
    return next(filter(None, problems), "") if readers else "nothing reads it but the answer"


def _not_read_by(skeleton: Skeleton, group: Group, norm: Use, reader: Use) -> str:
    """What keeps a reader from taking a gain."""
    slot = reader.slots.get("weight", "")
    if not slot or reader.operation not in ("linear", "conv1d", "conv2d", "conv3d"):
        return f"a {reader.operation} reads it"
    if reader.bent:
        return f"{reader.bent[0]} bends it before {slot} reads it"
    if reader.sources != (norm.step,):
        return f"{slot} reads the stream beside it"
    if len(_uses(skeleton, slot)) > 1:
        return f"{slot}, which reads it, is tied to another use"
    return "" if _read_at(group, slot) else f"{slot} does not read along the stream"


def _read_at(group: Group, slot: str) -> Member | None:
    found = [member for member in group.members if member.slot == slot and member.role == "reads"]
    return found[0] if len(found) == 1 else None


def _foldable(skeleton: Skeleton, group: Group, gain: str) -> FoldableNorm:
    (norm,) = _uses(skeleton, gain)
    shift = norm.slots.get("bias", "")
    readers = tuple(
        Reader(weight, _bias_of(skeleton, use))
        for use in _readers(skeleton, norm)
        if (weight := _read_at(group, use.slots["weight"])) is not None
    )
    takes = bool(shift) and all(reader.bias for reader in readers)
    return FoldableNorm(gain, shift, takes, readers)


def _bias_of(skeleton: Skeleton, use: Use) -> str:
    """The bias of a linear layer, if it is its own."""
    bias = use.slots.get("bias", "")
    plain = use.operation == "linear" and len(skeleton[use.slots["weight"]].shape) == 2
    return bias if plain and bias and len(_uses(skeleton, bias)) == 1 else ""
