"""One representative of all networks that differ by unit scales, and the signs that bring a network nearest to another.

*Balanced.* Of the factors that a class allows (``skeleton.scaling``), those that make its members of equal size, unit
by unit: with log sizes l_m and exponents e_m,

    log s = - sum_m e_m l_m / sum_m e_m^2

class after class until nothing moves. Two networks that differ by permutations and positive factors end in the same
place, up to the permutations, so what is matched there needs to know nothing of scales.

*Signs.* Given the permutations, each class of signs is turned where that raises the inner product with the other
network: first by tensors that no open class could turn too, from what is known inwards, then by all, until none gains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from reknit.skeleton.positions import unit_at
from reknit.skeleton.scaling import ScaleClass
from reknit.skeleton.skeleton import Group, Skeleton
from reknit.skeleton.symmetry import Scaling, Symmetry

ROUNDS, STILL = 400, 1e-13
SIGN_ROUNDS = 50
Tensors = Mapping[str, np.ndarray]


def balanced(skeleton: Skeleton, classes: Sequence[ScaleClass], tensors: Tensors) -> Symmetry:
    """The factors that make the members of every positive class of equal size.

    Units that are zero on a member leave that member out.
    """
    positive = [each for each in classes if each.factors == "positive"]
    current = {key: np.asarray(value, dtype=np.float64) for key, value in tensors.items() if value.dtype.kind == "f"}
    units = _Units(skeleton)
    logs = [np.zeros(units.shape(each.group)) for each in positive]
    for _ in range(ROUNDS):
        largest = 0.0
        for k, each in enumerate(positive):
            sizes = [np.sqrt(sizes) for sizes in units.sums(each, current, current)]
            weights = np.array([e * (size > 0) for e, size in zip(_used(each), sizes, strict=True)], dtype=np.float64)
            logged = np.log(np.where(weights != 0, np.stack(sizes), 1.0))
            steps = -(weights * logged).sum(0)
            steps = steps / np.maximum(np.square(weights).sum(0), 1.0)
            largest = max(largest, float(np.abs(steps).max(initial=0.0)))
            logs[k] += steps
            one = Symmetry(skeleton, (), (Scaling(each.group, each.exponents, np.exp(steps)),))
            current |= one.apply({slot: current[slot] for slot in units.slots(each)})
        if largest < STILL:
            break
    return Symmetry(
        skeleton,
        (),
        tuple(Scaling(each.group, each.exponents, np.exp(log)) for each, log in zip(positive, logs, strict=True)),
    )


def nearest_signs(skeleton: Skeleton, classes: Sequence[ScaleClass], left: Tensors, right: Tensors) -> Symmetry:
    """The signs that bring the right network nearest to the left one, class by class; a local optimum."""
    signed = [each for each in classes if each.factors == "sign"]
    units = _Units(skeleton)
    current = {key: np.asarray(value, dtype=np.float64) for key, value in right.items() if value.dtype.kind == "f"}
    found = [np.ones(units.shape(each.group)) for each in signed]

    def turn(k: int, slots: set[str]) -> bool:
        each = signed[k]
        parts = zip(units.sums(each, left, current), _slots(units, each), strict=True)
        gains = [part for part, slot in parts if slot in slots]
        flips = np.where(np.sum(gains, axis=0) < 0, -1.0, 1.0) if gains else np.ones(units.shape(each.group))
        if (flips > 0).all():
            return False
        found[k] = found[k] * flips
        one = Symmetry(skeleton, (), (Scaling(each.group, each.exponents, flips),))
        current.update(one.apply({slot: current[slot] for slot in units.slots(each)}))
        return True

    left_open = set(range(len(signed)))
    while left_open:  # the class next that most is known of
        known = {
            k: units.slots(signed[k]) - {slot for j in left_open - {k} for slot in units.slots(signed[j])}
            for k in left_open
        }
        best = max(sorted(left_open), key=lambda k: sum(current[slot].size for slot in known[k]))
        turn(best, known[best])
        left_open.remove(best)
    for _ in range(SIGN_ROUNDS):
        turned = [turn(k, units.slots(each)) for k, each in enumerate(signed)]
        if not any(turned):
            break
    pairs = zip(signed, found, strict=True)
    return Symmetry(skeleton, (), tuple(Scaling(each.group, each.exponents, signs) for each, signs in pairs))


def _used(each: ScaleClass) -> list[int]:
    return [exponent for exponent in each.exponents if exponent]


def _slots(units: _Units, each: ScaleClass) -> list[str]:
    members = units.groups[each.group].members
    return [member.slot for member, exponent in zip(members, each.exponents, strict=True) if exponent]


class _Units:
    """Sums over all that belongs to a unit."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self.groups: dict[str, Group] = {group.name: group for group in skeleton.groups}
        self.identity = Symmetry(skeleton, ())

    def shape(self, name: str) -> tuple[int, int]:
        """Rows and units of a group."""
        group = self.groups[name]
        return (self.groups[group.within].size if group.within else 1), group.size

    def slots(self, each: ScaleClass) -> set[str]:
        """The slots that a class has members in."""
        return set(_slots(self, each))

    def sums(self, each: ScaleClass, left: Tensors, right: Tensors) -> list[Float[np.ndarray, "rows units"]]:
        """Of every member with an exponent, the inner products of two networks, unit by unit."""
        group = self.groups[each.group]
        found = []
        for member, exponent in zip(group.members, each.exponents, strict=True):
            if not exponent:
                continue
            product = np.asarray(left[member.slot], dtype=np.float64) * right[member.slot]
            units = unit_at(member, group.size, product.shape[member.axis])
            rows, other = self.identity.rows_of(group, member.slot, member.axis)
            kept = (member.axis,) if other is None else (member.axis, other)
            summed = product.sum(tuple(k for k in range(product.ndim) if k not in kept))
            total = np.zeros(self.shape(each.group))
            if other is None:
                np.add.at(total, (rows[units >= 0], units[units >= 0]), summed[units >= 0])
            else:
                summed = summed if member.axis < other else summed.T
                inside = summed[units >= 0]
                np.add.at(total, (rows[None, :], units[units >= 0][:, None]), inside)
            found.append(total)
        return found
