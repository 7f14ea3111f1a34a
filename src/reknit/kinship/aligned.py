"""Two networks side by side, whatever permutations and positive factors did: matrices balanced, units matched.

Every matrix is balanced first (``unit_tables.balanced``: D1 W D2, so that factors on units do not count). Units are
brought to each other by weight matching where a skeleton tells which tensors share them, else tensor by tensor. Of
arrangements that are as good the one that moves nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import gammaln

from reknit.kinship.unit_tables import balanced
from reknit.kinship.units_by_shape import is_read, is_written
from reknit.kinship.voids import from_name, in_sequence, written_table
from reknit.match.weight_matching import match_weights
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.symmetry import Permutation, Symmetry
from reknit.solvers.assignment import best_matching

State = Mapping[str, np.ndarray]
LEVELS = 256
"""Magnitudes; a grid of 8 bits has 128, zero included."""
WRITTEN = 0.1
"""By how much the cosine of neighbours stands out in windows, filter banks and grids of positions."""
COARSE = "few different numbers, which agree by chance (for `same numbers`)"
UNHIDDEN = "neither reads nor feeds hidden units: training may lead to one optimum from everywhere (for `same numbers`)"


@dataclass(frozen=True, eq=False)
class Aligned:
    """Two networks in one basis.

    Attributes:
        left: name -> matrix of A, balanced, of norm sqrt(rows).
        right: of B, with its units in A's order.
        moved: share of units of B that were not in place.
        ln_arrangements: logarithm of the number of arrangements that were to choose from.
        symmetry: that brought B's units into A's order; None where nothing moved, or no skeleton was given.
        left_out: names of matrices whose numbers may agree in independent networks -> why.
    """

    left: State
    right: State
    moved: float
    ln_arrangements: float
    symmetry: Symmetry | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def numbers(self) -> int:
        """How many weights are compared."""
        return sum(value.size for value in self.left.values())

    @property
    def distance(self) -> float:
        """Root of the mean over matrices of ||X - Y||^2 / (||X||^2 + ||Y||^2): 0 the same, about 1 unrelated.

        It is 1 of no matrices. A copy whose stream was rotated or whose units were turned in sign is about 1 away too.
        """
        squares = [_relative(self.left[key], self.right[key]) for key in self.left]
        return float(np.sqrt(np.mean(squares))) if squares else 1.0


def aligned(a: State, b: State, skeleton: Skeleton | None = None) -> Aligned:
    """The matrices that two networks have in common, in one basis.

    Args:
        a: slot or name -> numbers.
        b: likewise; tensors of other names or shapes are left out.
        skeleton: of both, if it is known and the keys are its slots.
    """
    names = [name for name in a if _counts(a[name]) and name in b and b[name].shape == a[name].shape]
    left, right = ({name: _balanced(state[name]) for name in names} for state in (a, b))
    left_out = _left_out({name: (a[name], b[name]) for name in names}, skeleton)
    if skeleton is not None and left.keys() == {slot.key for slot in skeleton.slots if len(slot.shape) > 1}:
        return replace(_by_groups(skeleton, left, right), left_out=left_out)
    return replace(_by_tensors(left, right), left_out=left_out)


def _left_out(both: Mapping[str, tuple[np.ndarray, np.ndarray]], skeleton: Skeleton | None) -> dict[str, str]:
    """Matrices whose numbers agree in independent networks, too: coarse, written, or of a convex problem."""
    shapes = {name: x.shape for name, (x, _) in both.items()}
    if skeleton is None:
        hidden = {name for name in shapes if is_read(name, shapes) or is_written(name, shapes) or from_name(name)}
    else:
        hidden = {member.slot for group in skeleton.groups if not group.fixed for member in group.members}
    found = {}
    for name, (x, y) in both.items():
        written = _written(x)
        if name not in hidden:
            found[name] = UNHIDDEN
        elif min(_different(x), _different(y)) < LEVELS:
            found[name] = COARSE
        elif written and _written(y):
            found[name] = written
    return found


def _written(value: np.ndarray) -> str:
    """Whether a matrix looks written rather than drawn, along either axis."""
    for axis in (0, 1):
        rows = np.moveaxis(np.asarray(value, dtype=np.float64), axis, 0).reshape(value.shape[axis], -1)
        reason = written_table(rows) or in_sequence(rows, least=WRITTEN)
        if reason:
            return reason
    return ""


def _different(value: np.ndarray) -> int:
    """How many different magnitudes there are, up to ``LEVELS``; a small tensor counts as if it went on."""
    found = len(np.unique(np.abs(value)))
    return found if 2 * found < value.size else max(found, LEVELS)


def _counts(value: np.ndarray) -> bool:
    return value.ndim > 1 and value.dtype.kind == "f" and value.size > 0


def _balanced(value: np.ndarray) -> np.ndarray:
    return balanced(value.reshape(len(value), -1)).reshape(value.shape)


def _by_groups(skeleton: Skeleton, left: State, right: State) -> Aligned:
    nothing = {slot.key: np.zeros(slot.shape) for slot in skeleton.slots if len(slot.shape) < 2}
    found = match_weights(skeleton, {**nothing, **left}, {**nothing, **right}).symmetry
    turned = found.apply({**nothing, **right})
    moved = {key: turned[key] for key in left}
    if _away(left, right) <= _away(left, moved):
        return Aligned(left, right, 0.0, _ln_arrangements(skeleton))
    return Aligned(left, moved, _share_moved(found.permutations), _ln_arrangements(skeleton), found)


def _ln_arrangements(skeleton: Skeleton) -> float:
    """A group has one order, or one for every unit of the group it lies within."""
    sizes = {group.name: group.size for group in skeleton.groups}
    free = [group for group in skeleton.groups if not group.fixed]
    return float(sum(gammaln(group.size + 1) * (sizes[group.within] if group.within else 1) for group in free))


def _share_moved(permutations: Iterable[Permutation]) -> float:
    orders = [each.order for each in permutations]
    away = sum(int((order != np.arange(order.shape[1])).sum()) for order in orders)
    return away / max(sum(order.size for order in orders), 1)


def _by_tensors(left: State, right: State) -> Aligned:
    """Each matrix as it is, with its rows matched, or with its columns matched: whatever is nearest."""
    found: dict[str, np.ndarray] = {}
    moved, arrangements = [], 0.0
    for key, x in left.items():
        choices = [(0.0, right[key]), *(_matched(x, right[key], axis) for axis in (0, 1))]
        share, found[key] = min(choices, key=lambda choice: (_relative(x, choice[1]), choice[0]))
        moved.append(share)
        arrangements += float(np.logaddexp.reduce([gammaln(size + 1) for size in x.shape[:2]]))
    return Aligned(left, found, float(np.mean(moved)) if moved else 0.0, arrangements)


def _matched(x: np.ndarray, y: np.ndarray, axis: int) -> tuple[float, np.ndarray]:
    rows, others = (np.moveaxis(each, axis, 0).reshape(each.shape[axis], -1) for each in (x, y))
    order = best_matching(rows @ others.T)
    return float((order != np.arange(len(order))).mean()), np.take(y, order, axis)


def _away(left: State, right: State) -> float:
    return sum(_relative(left[key], right[key]) for key in left)


def _relative(x: np.ndarray, y: np.ndarray) -> float:
    whole = float(np.square(x).sum() + np.square(y).sum())
    return float(np.square(x - y).sum()) / whole if whole > 0 else 0.0
