"""A rotation: the units of a group turned into orthogonal mixtures of each other, on every axis that runs over them.

    new[..., u, ...] = sum over v:   old[..., v, ...] Q[v, u]

With x the values of the units, what writes them writes x Q, and what reads them reads the same as before, since
Q Q^T = I: one formula serves writers, biases and readers. A group that lies within another (the dimensions of a head
within the heads) is turned by a matrix of its own in every unit of the outer one.

Whether a rotation leaves the function as it is depends on what else touches the units: ``rotation_classes``. The gain
of a norm has to be the same for all units (``norm_folding``), and is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from reknit.errors import UsageError
from reknit.skeleton.positions import unit_at
from reknit.skeleton.skeleton import Group, Member, Skeleton
from reknit.skeleton.symmetry import Symmetry

EQUAL = 1e-6
"""Gains that differ by less, beside the largest, are equal: float32 rounding."""
STATISTICS = {"mean", "variance"}


@dataclass(frozen=True, eq=False)
class Rotation:
    """How the units of one group are turned.

    Attributes:
        skeleton: whose group it is.
        group: its name.
        matrix: Q, one for each unit of the group it lies within, or one. Orthogonal, or nearly so: ``defect``.

    Raises:
        UsageError: there is no such group, a matrix has another shape or holds what is no number, or the group has
            statistics of single units.
    """

    skeleton: Skeleton
    group: str
    matrix: Float[np.ndarray, "rows d d"]

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64, ndmin=3)
        group = next((each for each in self.skeleton.groups if each.name == self.group), None)
        if group is None:
            raise UsageError("the skeleton has no such group", self.group, "See reknit couple")
        shape = (rows_of(self.skeleton, group), group.size, group.size)
        if matrix.shape != shape:
            raise UsageError(f"the rotation is {matrix.shape}, not {shape}", self.group)
        if not np.isfinite(matrix).all():
            raise UsageError("the rotation holds numbers that are infinite or undefined", self.group)
        if STATISTICS & {member.role for member in group.members}:
            raise UsageError("a BatchNorm norms each unit, which no rotation survives", self.group)
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def random(cls, skeleton: Skeleton, name: str, rng: np.random.Generator, *, keeps_ones: bool = False) -> Rotation:
        """Drawn evenly from all orthogonal matrices, or from those with ``Q 1 = 1``."""
        group = next(each for each in skeleton.groups if each.name == name)
        free = free_directions(group.size, keeps_ones=keeps_ones)
        inner = np.linalg.qr(rng.standard_normal((rows_of(skeleton, group), free.shape[1], free.shape[1])))
        signs = np.sign(np.diagonal(inner.R, axis1=1, axis2=2))[:, None]
        return cls(skeleton, name, kept(group.size, keeps_ones=keeps_ones) + free @ (inner.Q * signs) @ free.T)

    @property
    def defect(self) -> float:
        """The largest ``|Q^T Q - I|_F / sqrt(d)``; 0 of an orthogonal matrix."""
        size = self.matrix.shape[-1]
        off = np.linalg.norm(self.matrix.mT @ self.matrix - np.eye(size), axis=(1, 2))
        return float(off.max(initial=0.0) / size**0.5)

    def __str__(self) -> str:
        rows, size, _ = self.matrix.shape
        within = f" in each of {rows}" if rows > 1 else ""
        return f"{self.group}: {size} units turned{within}, defect {self.defect:.1e}"

    def inverse(self) -> Rotation:
        """The rotation that takes everything back, as far as this one is orthogonal."""
        return Rotation(self.skeleton, self.group, self.matrix.mT)

    def then(self, following: Rotation) -> Rotation:
        """One rotation for both of a group, this one first.

        Raises:
            UsageError: the other is of another group.
        """
        if following.group != self.group:
            raise UsageError(f"a rotation of {following.group} is none of it", self.group)
        return Rotation(self.skeleton, self.group, self.matrix @ following.matrix)

    def apply(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The tensors of the network with these units turned, in their own dtypes; others are the same objects.

        Raises:
            UsageError: the gain of a norm is not the same for all units.
        """
        found = dict(tensors)
        group = self._group
        for member in group.members:
            if member.slot not in found:
                continue
            if member.role == "scales":
                _check_equal(found[member.slot], group, member)
                continue
            found[member.slot] = self._turned(found[member.slot], member)
        return found

    @cached_property
    def _group(self) -> Group:
        return next(each for each in self.skeleton.groups if each.name == self.group)

    def _turned(self, tensor: np.ndarray, member: Member) -> np.ndarray:
        """One axis turned, row by row."""
        first = np.moveaxis(tensor, member.axis, 0).astype(np.float64)
        for index, matrix in zip(places_of(self.skeleton, self._group, member), self.matrix, strict=True):
            part = first[index]
            first[index] = (matrix.T @ part.reshape(len(part), -1)).reshape(part.shape)
        return np.asarray(np.moveaxis(first, 0, member.axis).astype(tensor.dtype))


def rows_of(skeleton: Skeleton, group: Group) -> int:
    """How many units the group has that this one lies within; 1 if there is none."""
    return next((each.size for each in skeleton.groups if each.name == group.within), 1)


def places_of(skeleton: Skeleton, group: Group, member: Member) -> list[np.ndarray]:
    """The positions on a member's axis that each unit takes, units x repeats, for each unit of the outer group.

    Raises:
        UsageError: the outer group lies on another axis.
    """
    length = skeleton[member.slot].shape[member.axis]
    units = unit_at(member, group.size, length)
    rows, other = Symmetry(skeleton, ()).rows_of(group, member.slot, member.axis)
    if other is not None:
        raise UsageError(f"{group.within} lies on another axis of {member.slot}", group.name)
    found = []
    for row in range(rows_of(skeleton, group)):
        inside = np.flatnonzero((units >= 0) & (rows == row))
        found.append(inside[np.argsort(units[inside], kind="stable")].reshape(group.size, -1))
    return found


def free_directions(size: int, *, keeps_ones: bool) -> Float[np.ndarray, "d free"]:
    """An orthonormal basis of what may turn."""
    if not keeps_ones:
        return np.eye(size)
    return np.asarray(np.linalg.qr(np.ones((size, 1)), mode="complete").Q[:, 1:])


def kept(size: int, *, keeps_ones: bool) -> Float[np.ndarray, "d d"]:
    """The projector on what must stay."""
    return np.full((size, size), 1 / size if keeps_ones else 0.0)


def has_equal_gains(tensor: np.ndarray, group: Group, member: Member) -> bool:
    """Whether the gain of a norm is the same for all units, to float32 rounding."""
    units = unit_at(member, group.size, tensor.shape[member.axis])
    gains = tensor.astype(np.float64)[units >= 0]
    return bool(np.ptp(gains) <= EQUAL * np.abs(gains).max())


def _check_equal(tensor: np.ndarray, group: Group, member: Member) -> None:
    if not has_equal_gains(tensor, group, member):
        raise UsageError("the gain is not the same for all units", member.slot, "Fold it into what reads it first")
