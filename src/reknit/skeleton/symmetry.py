"""A symmetry: a change of weights that leaves the function as it is: permutations of units, and factors on them.

A permutation of a group moves every member at once: unit u of the new network is unit ``order[u]`` of the old one, on
every axis that runs over the group. Where a group lies within another (the dimensions of a head within the heads),
each unit of the outer one has an order of its own, by its new place:

    new[w, u] = old[outer[w], order[w][u]]

Behind the permutations come factors: unit u of a group takes ``factors[w][u] ** exponent`` on every member, with the
exponents of a class that leaves the function as it is (``scaling``).

A symmetry is a value: frozen, printable, with an inverse and a composition. ``apply`` never changes its argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int

from reknit.errors import UsageError
from reknit.skeleton.positions import unit_at
from reknit.skeleton.skeleton import Group, Member, Skeleton

Array = TypeVar("Array")  # a numpy array or a torch tensor
Order = Int[np.ndarray, "rows units"]
Index = Int[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Permutation:
    """How the units of one group move.

    Attributes:
        group: its name.
        order: the old unit for every new one; a row for each unit of the group it lies within, or one row.
    """

    group: str
    order: Order

    def __post_init__(self) -> None:
        order = np.array(self.order, dtype=np.int64, ndmin=2)
        if order.ndim != 2 or not np.array_equal(np.sort(order, axis=1), np.indices(order.shape)[1]):
            raise UsageError("an order does not name every unit once", self.group)
        order.flags.writeable = False
        object.__setattr__(self, "order", order)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Permutation):
            return NotImplemented
        return self.group == other.group and np.array_equal(self.order, other.order)

    def __hash__(self) -> int:
        return hash((self.group, self.order.tobytes()))

    def __str__(self) -> str:
        moved = int((self.order != np.arange(self.order.shape[1])).sum())
        return f"{self.group}: {moved} of {self.order.size} units moved"


@dataclass(frozen=True, eq=False)
class Scaling:
    """Factors on the units of one group.

    Attributes:
        group: its name.
        exponents: of the factor, one for each member in the group's order.
        factors: not zero; a row for each unit of the group it lies within, or one row.
    """

    group: str
    exponents: tuple[int, ...]
    factors: Float[np.ndarray, "rows units"]

    def __post_init__(self) -> None:
        factors = np.array(self.factors, dtype=np.float64, ndmin=2)
        if not np.isfinite(factors).all() or (factors == 0).any():
            raise UsageError("a factor is zero, infinite or undefined", self.group)
        factors.flags.writeable = False
        object.__setattr__(self, "factors", factors)

    def __str__(self) -> str:
        kind = "turned" if np.isin(self.factors, (-1.0, 1.0)).all() else "scaled"
        moved = int((self.factors != 1.0).sum())
        return f"{self.group}: {moved} of {self.factors.size} units {kind}"


@dataclass(frozen=True)
class Symmetry:
    """Permutations of groups of a skeleton that are not fixed, and factors behind them; all else stays as it is.

    Attributes:
        skeleton: whose groups they are.
        permutations: at most one a group.
        scalings: any number; whether their exponents leave the function as it is was found out before.

    Raises:
        UsageError: a group does not exist, is fixed or has another size, or an order does not name every unit once.
    """

    skeleton: Skeleton
    permutations: tuple[Permutation, ...]
    scalings: tuple[Scaling, ...] = ()

    def __post_init__(self) -> None:
        for scaling in self.scalings:
            group = self._groups.get(scaling.group)
            if group is None:
                raise UsageError("the skeleton has no such group", scaling.group, "See reknit couple")
            wanted = (len(group.members), (self._rows(group), group.size))
            if (len(scaling.exponents), scaling.factors.shape) != wanted:
                raise UsageError(f"the factors are {scaling.factors.shape}, not {wanted[1]}", scaling.group)
        for permutation in self.permutations:
            group = self._groups.get(permutation.group)
            if group is None:
                raise UsageError("the skeleton has no such group", permutation.group, "See reknit couple")
            if group.fixed:
                raise UsageError(f"the group is fixed: {group.fixed}", permutation.group)
            shape = (self._rows(group), group.size)
            if permutation.order.shape != shape:
                raise UsageError(f"the order is {permutation.order.shape}, not {shape}", permutation.group)
        if len({permutation.group for permutation in self.permutations}) < len(self.permutations):
            raise UsageError("a group has two permutations", self.skeleton.name)

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.permutations, *self.scalings)))

    @classmethod
    def random(cls, skeleton: Skeleton, rng: np.random.Generator) -> Symmetry:
        """Every group that is not fixed, permuted at random."""
        rows = {group.name: group.size for group in skeleton.groups}
        return cls(
            skeleton,
            tuple(
                Permutation(
                    group.name,
                    rng.permuted(
                        np.tile(np.arange(group.size), (rows[group.within] if group.within else 1, 1)), axis=1
                    ),
                )
                for group in skeleton.groups
                if not group.fixed
            ),
        )

    @cached_property
    def _groups(self) -> dict[str, Group]:
        return {group.name: group for group in self.skeleton.groups}

    @cached_property
    def _orders(self) -> dict[str, Order]:
        return {permutation.group: permutation.order for permutation in self.permutations}

    def _rows(self, group: Group) -> int:
        return self._groups[group.within].size if group.within else 1

    def _order(self, name: str) -> Order:
        group = self._groups[name]
        return self._orders.get(name, np.tile(np.arange(group.size), (self._rows(group), 1)))

    def _outer(self, group: Group) -> Int[np.ndarray, " rows"]:
        """Where the rows of a group's orders come from: the order of the group it lies within."""
        return self._order(group.within)[0] if group.within else np.zeros(1, dtype=np.int64)

    def inverse(self) -> Symmetry:
        """The symmetry that takes everything back."""
        found = []
        for name in self._touched():
            group, order = self._groups[name], self._order(name)
            found.append(Permutation(name, np.argsort(order[np.argsort(self._outer(group))], axis=1)))
        back = []
        for scaling in self.scalings:
            factors = np.empty_like(scaling.factors)
            rows = self._outer(self._groups[scaling.group])[:, None]
            factors[rows, self._order(scaling.group)] = 1 / scaling.factors
            back.append(Scaling(scaling.group, scaling.exponents, factors))
        return Symmetry(self.skeleton, tuple(found), tuple(back))

    def in_powers_of_two(self) -> Symmetry:
        """The same with every factor at the nearest power of two, which rounds no number."""
        rounded = (
            Scaling(each.group, each.exponents, np.sign(each.factors) * 2.0 ** np.round(np.log2(np.abs(each.factors))))
            for each in self.scalings
        )
        return Symmetry(self.skeleton, self.permutations, tuple(rounded))

    def then(self, following: Symmetry) -> Symmetry:
        """One symmetry for both, this one first: ``following.apply(self.apply(tensors))``."""
        found = []
        for name in dict.fromkeys([*self._touched(), *following._touched()]):
            first, second = self._order(name), following._order(name)
            moved = first[following._outer(self._groups[name])]
            found.append(Permutation(name, np.take_along_axis(moved, second, axis=1)))
        factors: dict[tuple[str, tuple[int, ...]], np.ndarray] = {}
        for scaling in self.scalings:
            moved = scaling.factors[following._outer(self._groups[scaling.group])]
            carried = np.take_along_axis(moved, following._order(scaling.group), axis=1)
            key = scaling.group, scaling.exponents
            factors[key] = factors.get(key, 1.0) * carried
        for scaling in following.scalings:
            key = scaling.group, scaling.exponents
            factors[key] = factors.get(key, 1.0) * scaling.factors
        scalings = tuple(Scaling(*key, each) for key, each in factors.items())
        return Symmetry(self.skeleton, tuple(found), scalings)

    def _touched(self) -> list[str]:
        """Groups with a permutation, and those whose rows move with a group they lie within."""
        return [
            group.name
            for group in self.skeleton.groups
            if group.name in self._orders or (group.within in self._orders and not group.fixed)
        ]

    def apply(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors of the network with its units in the new order.

        Args:
            tensors: numpy arrays or torch tensors by the keys of the state dict, also under aliases.

        Returns:
            New arrays for the slots that change; everything else is handed on as it is.
        """
        names = {alias: slot.key for slot in self.skeleton.slots for alias in (slot.key, *slot.aliases)}
        return {key: self._applied(names[key], tensor) if key in names else tensor for key, tensor in tensors.items()}

    def _applied(self, key: str, tensor: Any) -> Any:
        shape = self.skeleton[key].shape
        if tuple(tensor.shape) != shape:
            raise UsageError(f"the tensor is {tuple(tensor.shape)}, the slot {shape}", key)
        alone, beside = {}, {}
        for axis in range(len(shape)):
            index = self._sources(key, axis)
            if index.ndim == 1 and (index != np.arange(len(index))).any():
                alone[axis] = index
            elif index.ndim > 1:
                beside[axis] = index
        for axis, index in alone.items():
            tensor = tensor[(*[slice(None)] * axis, index)]
        for axis, index in beside.items():  # by the new places on the other axes, which are already there
            places: list[Index] = list(np.ogrid[tuple(slice(size) for size in shape)])
            places[axis] = index
            tensor = tensor[tuple(places)]
        for scaling in self.scalings:
            for member, exponent in zip(self._groups[scaling.group].members, scaling.exponents, strict=True):
                if member.slot == key and exponent:
                    tensor = _times(tensor, self._factors(scaling, member) ** exponent)
        return tensor

    def _factors(self, scaling: Scaling, member: Member) -> Float[np.ndarray, ...]:
        """The factor of every position, in a shape that goes with the slot's; 1 where the member does not reach."""
        group, shape = self._groups[scaling.group], self.skeleton[member.slot].shape
        units = unit_at(member, group.size, shape[member.axis])
        rows, other = self.rows_of(group, member.slot, member.axis)
        spread = [shape[k] if k == member.axis else 1 for k in range(len(shape))]
        if other is None:
            return np.asarray(np.where(units >= 0, scaling.factors[rows, units], 1.0).reshape(spread))
        across = [shape[k] if k == other else 1 for k in range(len(shape))]
        units = units.reshape(spread)
        return np.asarray(np.where(units >= 0, scaling.factors[rows.reshape(across), units], 1.0))

    def _sources(self, key: str, axis: int) -> Index:
        """The old position for every new one along an axis; with all axes, if it depends on a position on another."""
        shape = self.skeleton[key].shape
        places = np.arange(shape[axis])
        spread = [shape[axis] if k == axis else 1 for k in range(len(shape))]
        moved: Index = places.copy()
        for group, member in self._members.get(key, ()):
            if member.axis != axis or group.name not in self._orders:
                continue
            units = unit_at(member, group.size, shape[axis])
            rows, other = self.rows_of(group, key, axis)
            if other is None:
                shift = self._orders[group.name][rows, units] - units
                moved = moved + np.where(units >= 0, shift * member.inner, 0).reshape(spread if moved.ndim > 1 else -1)
                continue
            across = [shape[other] if k == other else 1 for k in range(len(shape))]
            units = units.reshape(spread)
            shift = self._orders[group.name][rows.reshape(across), units] - units
            base = moved if moved.ndim > 1 else moved.reshape(spread)
            moved = base + np.where(units >= 0, shift * member.inner, 0)
        return moved

    def rows_of(self, group: Group, key: str, axis: int) -> tuple[Index, int | None]:
        """The unit of the outer group for every position on an axis, and which axis that is, if it is another."""
        length = self.skeleton[key].shape[axis]
        if group.within is None:
            return np.zeros(length, dtype=np.int64), None
        outer = self._groups[group.within]
        found = [member for held, member in self._members[key] if held.name == outer.name]
        here = [member for member in found if member.axis == axis]
        if here:
            return np.max([unit_at(member, outer.size, length) for member in here], axis=0), None
        other = found[0].axis
        there = self.skeleton[key].shape[other]
        return np.max([unit_at(member, outer.size, there) for member in found], axis=0), other

    @cached_property
    def _members(self) -> dict[str, list[tuple[Group, Member]]]:
        found: dict[str, list[tuple[Group, Member]]] = {}
        for group in self.skeleton.groups:
            for member in group.members:
                found.setdefault(member.slot, []).append((group, member))
        return found


def _times(tensor: Any, factors: Float[np.ndarray, ...]) -> Any:
    """A numpy array or torch tensor times factors, in its own dtype."""
    if isinstance(tensor, np.ndarray):
        return (tensor * factors).astype(tensor.dtype)
    return (tensor.double() * tensor.new_tensor(factors).double()).to(tensor.dtype)
