"""One family matched, given all else: a linear assignment of its units; of heads, after every pair of them inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reknit.match.families import Family, Side
from reknit.match.unit_similarity import Order, inner, match_blocks, reordered, similarity
from reknit.solvers.assignment import best_matching

Orders = dict[str, np.ndarray]
"""Group -> its order, a row for each unit of the group it lies within."""


def matched(
    family: Family, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], slots: Sequence[str]
) -> tuple[float, Orders]:
    """The best orders of a family's groups by some of its slots; the identity where these say nothing."""
    if family.inner:
        return _matched_heads(family, left, right, slots)
    scores = similarity(left, right, [side for side in family.sides if side.slot in slots])
    if not scores.size:
        return 0.0, {family.outer.name: np.arange(family.outer.size)[None]}
    order = best_matching(scores)
    orders: Orders = {family.outer.name: order[None]}
    if family.once:
        return float(scores[np.arange(len(order)), order].sum()), orders
    moved = {
        slot: _reordered(right[slot], [side for side in family.sides if side.slot == slot], order) for slot in slots
    }
    return sum(inner(left[slot], moved[slot]) for slot in slots), orders


def _reordered(tensor: np.ndarray, sides: Sequence[Side], order: Order) -> np.ndarray:
    for side in sides:
        tensor = reordered(tensor, side, order)
    return tensor


def _matched_heads(
    family: Family, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], slots: Sequence[str]
) -> tuple[float, Orders]:
    """Every pair of heads inside, and then the heads."""
    heads = family.outer.size
    narrow = Family(family.outer, tuple(side for side in family.sides if side.slot in slots), family.inner)
    within = [[side for side in sides if side.slot in slots] for sides in family.inner_sides]
    told = [k for k, sides in enumerate(within) if sides]
    blocks = [[narrow.blocks(tensors, head) for head in range(heads)] for tensors in (left, right)]
    scores = np.zeros((heads, heads))
    inside: dict[tuple[int, int], list[Order]] = {}
    for first in range(heads):
        for second in [first] if family.outer.fixed else range(heads):
            scores[first, second], found = match_blocks(blocks[0][first], blocks[1][second], [within[k] for k in told])
            orders = [np.arange(group.size) for group in family.inner]
            for k, order in zip(told, found, strict=True):
                orders[k] = order
            inside[first, second] = orders
    outer = np.arange(heads) if family.outer.fixed else best_matching(scores)
    found_orders: Orders = {} if family.outer.fixed else {family.outer.name: outer[None]}
    for k, group in enumerate(family.inner):
        found_orders[group.name] = np.stack([inside[head, int(outer[head])][k] for head in range(heads)])
    return float(scores[np.arange(heads), outer].sum()), found_orders
