"""How well the units of one network fit those of another: inner products of all that belongs to a unit.

For every unit u of A and v of B, summed over the axes that a group runs over,

    C(u, v) = sum over sides, sum over positions:   w * <A[u], B[v]>

A matching of the highest total C is the one of least squared distance, in each tensor's own units w. With w = 1 that
is the objective of Git Re-Basin (Ainsworth, Hayase, Srinivasa 2022, arXiv 2209.04836). ``Weighing`` says what else w
may be.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from reknit.match.families import Side
from reknit.solvers.assignment import best_matching

Weighing = Literal["plain", "standardised"]
"""``plain``: numbers as they are. ``standardised``: every tensor in units of its root mean square, tensors of one axis
less their mean, so that neither running variances nor large layers drown the others."""
WEIGHINGS: tuple[Weighing, ...] = get_args(Weighing)
LARGE = 1 << 18
"""Numbers from which a tensor is compared in float32. Its inner products with another are then off by about 1e-7 of
their sizes, which chooses between near ties alone: what a matching gains is summed in float64."""
CHUNK = 1 << 18
"""Numbers that are turned into float64 at a time."""
Tensors = Mapping[str, np.ndarray]
Scores = Float[np.ndarray, "left right"]
Order = Int[np.ndarray, " units"]


def weighed(tensor: Float[np.ndarray, ...], weighing: Weighing) -> Float[np.ndarray, ...]:
    """A tensor as it counts: in float64, or in float32 if it is large."""
    numbers = np.asarray(tensor, dtype=np.float32 if tensor.size >= LARGE else np.float64)
    if weighing == "plain":
        return numbers
    if numbers.ndim == 1 and numbers.size > 1:
        numbers = numbers - numbers.mean()
    size = (inner(numbers, numbers) / max(numbers.size, 1)) ** 0.5
    return numbers / np.asarray(size, dtype=numbers.dtype) if size > 0 else numbers


def inner(left: Float[np.ndarray, ...], right: Float[np.ndarray, ...]) -> float:
    """The inner product of two tensors of one shape, summed in float64."""
    if left.dtype == right.dtype == np.float64 or left.size <= CHUNK:
        return float(np.vdot(left.astype(np.float64, copy=False), right.astype(np.float64, copy=False)))
    step = max(1, CHUNK // max(left[:1].size, 1))
    parts = (slice(k, k + step) for k in range(0, len(left), step))
    return sum(inner(left[rows].astype(np.float64), right[rows].astype(np.float64)) for rows in parts)


def unit_rows(tensor: np.ndarray, side: Side) -> Float[np.ndarray, "units numbers"]:
    """All numbers of each unit on a side, as rows; a view where the units fill the axis in their order."""
    first = np.moveaxis(tensor, side.axis, 0)
    flat = side.positions.reshape(-1)
    if len(flat) != len(first) or (flat != np.arange(len(flat))).any():
        first = first[side.positions]
    return np.asarray(first.reshape(len(side.positions), -1 if tensor.size else 0))


def similarity(left: Tensors, right: Tensors, sides: Sequence[Side]) -> Scores:
    """C of all pairs of units; zeros where there are no sides."""
    total: Scores | None = None
    for side in sides:
        part = unit_rows(left[side.slot], side) @ unit_rows(right[side.slot], side).T
        total = part.astype(np.float64, copy=False) if total is None else total + part
    return np.zeros((0, 0)) if total is None else total


def gain(left: Tensors, right: Tensors, sides: Sequence[Side], order: Order, present: Order) -> float:
    """By how much one order of units is more similar than another; at most one side of each tensor."""
    changed = np.flatnonzero(order != present)
    total = 0.0
    for side in sides:
        ours, theirs = unit_rows(left[side.slot], side)[changed], unit_rows(right[side.slot], side)
        total += inner(ours, theirs[order[changed]]) - inner(ours, theirs[present[changed]])
    return total


def reordered(tensor: np.ndarray, side: Side, order: Order) -> np.ndarray:
    """A tensor with the units of one side in another order: unit u is what unit ``order[u]`` was."""
    index = np.arange(tensor.shape[side.axis])
    index[side.positions] = side.positions[order]
    return tensor.take(index, side.axis)


def match_blocks(
    left: Tensors, right: Tensors, groups: Sequence[Sequence[Side]], *, rounds: int = 10
) -> tuple[float, list[Order]]:
    """Match several groups that share tensors: each in turn by an assignment, given the others, until nothing changes.

    Returns:
        the total similarity over all tensors, and for each group the unit of the right for every one of the left.
    """
    sizes = [len(sides[0].positions) for sides in groups]
    orders = [np.arange(size) for size in sizes]
    alone = len(groups) < 2 or not _shared(groups)
    for _ in range(1 if alone else rounds):
        before = [order.copy() for order in orders]
        for k, sides in enumerate(groups):
            others = [(group, order) for j, (group, order) in enumerate(zip(groups, orders, strict=True)) if j != k]
            moved = _moved(right, {side.slot for side in sides}, others)
            orders[k] = best_matching(similarity(left, moved, sides))
        if all(np.array_equal(a, b) for a, b in zip(before, orders, strict=True)):
            break
    moved = _moved(right, set(left), list(zip(groups, orders, strict=True)))
    return sum(inner(left[slot], moved[slot]) for slot in left), orders


def _shared(groups: Sequence[Sequence[Side]]) -> bool:
    slots = [{side.slot for side in sides} for sides in groups]
    return any(a & b for a, b in itertools.combinations(slots, 2))


def _moved(tensors: Tensors, wanted: set[str], orders: Sequence[tuple[Sequence[Side], Order]]) -> dict[str, np.ndarray]:
    found = {slot: tensors[slot] for slot in wanted}
    for sides, order in orders:
        for side in sides:
            if side.slot in found:
                found[side.slot] = reordered(found[side.slot], side, order)
    return found
