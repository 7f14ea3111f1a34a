"""Factors on units that leave the function as it is: what may be scaled with what, found by asking the module.

A class of a group says how its members go together: with a factor s on unit u, member m takes s ** exponent[m]. Behind
a relu the rows of one matrix take s and the columns of the next 1 / s; between queries and keys the same; a norm's gain
and shift take s and what reads them 1 / s. Nothing of that is written down here. For random weights W the outputs obey

    sum over members m:   exponent[m] * <df/dW_m, W_m> over the unit's positions   =   0

for every output, input and unit, if and only if the function does not change under a small factor; so the classes are
the null space of a matrix of measured numbers, in float64. Whole-number vectors that span it are tried with large
factors before they are believed. The epsilon of a BatchNorm is enough to break such an equation, and is seen.

Signs: the parities of the classes, and, for functions that are odd, all choices by role, are tried as they are.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reknit.skeleton.positions import unit_at
from reknit.skeleton.random_weights import random_weights
from reknit.skeleton.skeleton import Group, Skeleton

Answer = Callable[[Mapping[str, Tensor]], Tensor]
State = dict[str, Tensor]
DIRECTIONS = 24
NULL, SAME = 1e-9, 1e-9
"""Share of the largest singular value, and of the largest answer, that count as zero."""
LARGEST_EXPONENT = 2
SIZES = (1.0, 1.0, 5.0, 50.0, 1000.0)
"""Of weights on which a class is tried again: large ones reach where an activation bends, such as the 6 of a relu6."""


@dataclass(frozen=True)
class ScaleClass:
    """Members of a group that are scaled together, unit by unit.

    Attributes:
        group: its name.
        exponents: of the factor, one for each member in the group's order.
        factors: whether any positive factor will do, or only signs.
    """

    group: str
    exponents: tuple[int, ...]
    factors: Literal["positive", "sign"]


def find_scale_classes(skeleton: Skeleton, answer: Answer, *, seed: int = 0) -> tuple[ScaleClass, ...]:
    """All classes of all groups.

    Args:
        skeleton: whose groups they are.
        answer: slot -> tensor in float64 to all answers as one vector, differentiable, for some inputs.
        seed: of the weights that are drawn.
    """
    asked = _Asked(skeleton, answer, seed)
    outer = {group.within for group in skeleton.groups}
    found: list[ScaleClass] = []
    for group in skeleton.groups:
        if group.name in outer or (group.fixed and group.fixed != "constant"):
            continue
        positive = [each for each in asked.null_space(group) if asked.holds(group, each, positive=True)]
        found += [ScaleClass(group.name, each, "positive") for each in positive]
        found += [ScaleClass(group.name, each, "sign") for each in asked.signs(group, positive)]
    return tuple(found)


class _Asked:
    """Random weights, and what the module says to them."""

    def __init__(self, skeleton: Skeleton, answer: Answer, seed: int) -> None:
        self.skeleton, self.answer = skeleton, answer
        self.generator = torch.Generator().manual_seed(seed)
        self.state = random_weights(skeleton, self.generator)
        self.products = self._products()
        states = [self.state, *(random_weights(skeleton, self.generator, size) for size in SIZES)]
        with torch.no_grad():
            self.bases = [(state, answer(state)) for state in states]

    def _products(self) -> list[dict[tuple[str, int], Tensor]]:
        """Slot and axis -> <direction, df/dW> * W, summed over all other axes, for random directions over the answers.

        Entry by entry these would be 24 times the network.
        """
        places = {(member.slot, member.axis) for group in self.skeleton.groups for member in group.members}
        leaves = {key: value.requires_grad_() for key, value in self.state.items() if value.is_floating_point()}
        out = self.answer({**self.state, **leaves})
        found = []
        for _ in range(DIRECTIONS):
            direction = torch.randn(out.shape, generator=self.generator, dtype=torch.float64)
            slopes = torch.autograd.grad(out, list(leaves.values()), direction, retain_graph=True, allow_unused=True)
            products = {
                key: torch.zeros_like(leaf) if slope is None else slope * leaf.detach()
                for (key, leaf), slope in zip(leaves.items(), slopes, strict=True)
            }
            found.append({(slot, axis): _along(products[slot], axis) for slot, axis in places if slot in products})
        self.state = {key: value.detach() for key, value in self.state.items()}
        return found

    def null_space(self, group: Group) -> Iterator[tuple[int, ...]]:
        """Vectors of small whole numbers that span the exponents without effect to first order."""
        columns = []
        for member in group.members:
            index = torch.from_numpy(unit_at(member, group.size, self.skeleton[member.slot].shape[member.axis]))
            inside = index >= 0
            rows = []
            for product in self.products:
                along = product[member.slot, member.axis][inside]
                rows.append(torch.zeros(group.size, dtype=torch.float64).index_add_(0, index[inside], along))
            columns.append(torch.cat(rows))
        measured = torch.stack(columns, 1).numpy()
        sizes = np.linalg.norm(measured, axis=0)
        idle = sizes <= NULL * max(float(sizes.max(initial=0.0)), 1e-300)
        _, values, basis = np.linalg.svd(measured / np.maximum(sizes, 1e-300), full_matrices=True)
        rank = int((values > NULL * values.max(initial=0.0)).sum())
        spanned = basis[rank:] / np.maximum(sizes, 1e-300)
        spanned = spanned[:, ~idle]
        for vector in _whole(spanned):
            exponents = np.zeros(len(group.members), dtype=int)
            exponents[~idle] = vector
            if exponents.any():
                yield tuple(exponents.tolist())

    def holds(self, group: Group, exponents: Sequence[int], *, positive: bool) -> bool:
        """Whether factors on half the units leave the answers as they are."""
        drawn = torch.rand(group.size, generator=self.generator, dtype=torch.float64)
        moved = drawn < 0.5
        moved[int(drawn.argmin())] = True
        factors = torch.where(moved, 0.3 + 3.0 * drawn if positive else -1.0, 1.0)
        for state, base in self.bases:
            with torch.no_grad():
                after = self.answer(scaled(self.skeleton, group, exponents, factors, state))
            if not bool((after - base).abs().max() <= SAME * base.abs().max()):
                return False
        return True

    def signs(self, group: Group, positive: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
        """Sets of members whose signs may be turned together, as small as they can be, none a product of others."""
        found: list[int] = []
        for parity in itertools.chain(_parities(positive), _by_role(group)):
            bits = sum(bit << k for k, bit in enumerate(parity))
            if bits and not _spanned(bits, found) and self.holds(group, parity, positive=False):
                found.append(bits)
        for bits in _smallest(found):
            yield tuple(bits >> k & 1 for k in range(len(group.members)))


def scaled(
    skeleton: Skeleton,
    group: Group,
    exponents: Sequence[int],
    factors: Float[Tensor, " units"],
    tensors: Mapping[str, Tensor],
) -> State:
    """Tensors with factors on the units of a group, the same in every unit of the group it lies within."""
    found = dict(tensors)
    for member, exponent in zip(group.members, exponents, strict=True):
        if not exponent:
            continue
        length = skeleton[member.slot].shape[member.axis]
        index = torch.from_numpy(unit_at(member, group.size, length))
        along = torch.where(index >= 0, factors[index.clamp(min=0)], 1.0) ** exponent
        shape = [1] * len(skeleton[member.slot].shape)
        shape[member.axis] = length
        found[member.slot] = found[member.slot] * along.reshape(shape)
    return found


def _along(tensor: Tensor, axis: int) -> Tensor:
    """Sums over all axes but one."""
    first = tensor.movedim(axis, 0)
    return first.reshape(len(first), -1).sum(1)


def _whole(basis: Float[np.ndarray, "vectors members"]) -> Iterator[tuple[int, ...]]:
    """The reduced row echelon form of a space, where it is of small whole numbers."""
    rows = basis.copy()
    done = 0
    for column in range(rows.shape[1]):
        if done == len(rows):
            break
        pivot = done + int(np.abs(rows[done:, column]).argmax())
        if abs(rows[pivot, column]) < 1e-6 * np.abs(rows).max(initial=1e-300):
            rows[done:, column] = 0.0
            continue
        rows[[done, pivot]] = rows[[pivot, done]]
        rows[done] /= rows[done, column]
        for k in range(len(rows)):
            if k != done:
                rows[k] -= rows[k, column] * rows[done]
        done += 1
    for row in rows[:done]:
        for times in (1, 2):
            nearest = np.round(times * row)
            if np.abs(times * row - nearest).max() < 1e-5 and np.abs(nearest).max() <= LARGEST_EXPONENT:
                yield tuple(nearest.astype(int).tolist())
                break


def _parities(classes: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    for each in classes:
        yield tuple(abs(exponent) % 2 for exponent in each)


def _by_role(group: Group) -> Iterator[tuple[int, ...]]:
    """All choices of roles to be turned, of a group that is written and read once: others are too many to guess."""
    by_role: dict[str, list[int]] = defaultdict(list)
    for k, member in enumerate(group.members):
        by_role[member.role].append(k)
    roles = [role for role in by_role if role != "variance"]
    if len(by_role["writes"]) > 3 or len(roles) > 5:
        return
    for size in range(1, len(roles) + 1):
        for chosen in itertools.combinations(roles, size):
            turned = {k for role in chosen for k in by_role[role]}
            yield tuple(int(k in turned) for k in range(len(group.members)))


def _smallest(basis: Sequence[int]) -> list[int]:
    """A basis of the same space in which no sum of two vectors has fewer members than either."""
    found = list(basis)
    smaller = True
    while smaller:
        smaller = False
        for k, j in itertools.permutations(range(len(found)), 2):
            if (found[k] ^ found[j]).bit_count() < found[k].bit_count():
                found[k] ^= found[j]
                smaller = True
    return found


def _spanned(bits: int, basis: Sequence[int]) -> bool:
    """Whether a vector over two elements is a sum of others."""
    return any(bits == _xor(some) for n in range(1, len(basis) + 1) for some in itertools.combinations(basis, n))


def _xor(numbers: Sequence[int]) -> int:
    total = 0
    for number in numbers:
        total ^= number
    return total
