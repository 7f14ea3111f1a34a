"""How far apart two networks are modulo laundering: what is left when units are matched and factors taken out.

Every matrix is balanced first (``unit_tables.balanced``: D1 W D2, so that factors on units do not count), units are
brought to each other by weight matching where a skeleton tells which tensors share them, else tensor by tensor, and

    value = sqrt( mean over matrices of ||X - Y||^2 / (||X||^2 + ||Y||^2) ),     0 the same, about 1 unrelated

A distance for drawing trees, not evidence: networks trained apart are about 1 apart, and so is a copy whose stream was
rotated, or whose units were turned in sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reknit.kinship.unit_tables import balanced
from reknit.match.weight_matching import match_weights
from reknit.skeleton.skeleton import Skeleton
from reknit.solvers.assignment import best_matching

State = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Distance:
    """How far apart two networks are.

    Attributes:
        value: from 0, the same, to about 1, unrelated.
        moved: share of units that were not in place.
        numbers: how many weights were compared.
    """

    value: float
    moved: float
    numbers: int


def distance(a: State, b: State, skeleton: Skeleton | None = None) -> Distance:
    """The distance of two networks.

    Args:
        a: slot or name -> numbers.
        b: likewise; tensors of other names or shapes are left out.
        skeleton: of both, if it is known and the keys are its slots.
    """
    left, right = _balanced(a, b), _balanced(b, a)
    if not left:
        return Distance(1.0, 0.0, 0)
    if skeleton is not None and left.keys() == {slot.key for slot in skeleton.slots if len(slot.shape) > 1}:
        return _by_groups(skeleton, left, right)
    return _by_tensors(left, right)


def _balanced(a: State, b: State) -> dict[str, np.ndarray]:
    """The matrices that both have, each balanced; kernels by their first axis."""
    found = {}
    for key, value in a.items():
        if value.ndim > 1 and value.dtype.kind == "f" and key in b and b[key].shape == value.shape and value.size:
            found[key] = balanced(value.reshape(len(value), -1)).reshape(value.shape)
    return found


def _by_groups(skeleton: Skeleton, left: State, right: State) -> Distance:
    vectors = {slot.key: np.zeros(slot.shape) for slot in skeleton.slots if len(slot.shape) < 2}
    found = match_weights(skeleton, {**vectors, **left}, {**vectors, **right}).symmetry
    moved = {key: value for key, value in found.apply({**vectors, **right}).items() if key in left}
    orders = [each.order for each in found.permutations]
    places = sum(order.size for order in orders)
    away = sum(int((order != np.arange(order.shape[1])).sum()) for order in orders)
    value = _root_mean([_relative(left[key], moved[key]) for key in left])
    return Distance(value, away / max(places, 1), _numbers(left))


def _by_tensors(left: State, right: State) -> Distance:
    """Each matrix as it is, with its rows matched or with its columns matched, whatever is nearest."""
    squares, moved = [], []
    for key in left:
        x, y = left[key], right[key]
        found = [
            (_relative(x, y), 0.0),
            *(_matched(np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0)) for axis in (0, 1)),
        ]
        square, share = min(found)
        squares.append(square)
        moved.append(share)
    return Distance(_root_mean(squares), float(np.mean(moved)), _numbers(left))


def _matched(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    rows, others = x.reshape(len(x), -1), y.reshape(len(y), -1)
    order = best_matching(rows @ others.T)
    return _relative(rows, others[order]), float((order != np.arange(len(order))).mean())


def _relative(x: np.ndarray, y: np.ndarray) -> float:
    whole = float(np.square(x).sum() + np.square(y).sum())
    return float(np.square(x - y).sum()) / whole if whole > 0 else 0.0


def _root_mean(squares: list[float]) -> float:
    return float(np.sqrt(np.mean(squares)))


def _numbers(tensors: State) -> int:
    return sum(value.size for value in tensors.values())
