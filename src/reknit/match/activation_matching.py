"""Activation matching: units of two networks that respond alike to the same inputs.

Of every group, the permutation of the highest sum of correlations between units, over every place where its units are
written or read (Li et al., "Convergent learning", 2015, arXiv 1511.07543; Ainsworth et al. 2022, arXiv 2209.04836,
section 3.1, which sums products instead of correlations). Groups do not depend on each other, so one assignment each is
enough; heads are matched inside first, as in ``weight_matching``. What no activation was seen of (arguments of a fused
attention in one function, for instance) is matched by weights, given the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from reknit.match.activations import Activations, Place, activations, standardised
from reknit.match.computing import Computer
from reknit.match.families import Family, Side, find_families
from reknit.match.family_matching import matched
from reknit.match.samples import Samples
from reknit.match.weight_matching import match_rest
from reknit.skeleton.symmetry import Permutation, Symmetry


@dataclass(frozen=True)
class ActivationMatching:
    """What brings the right network into the left one's basis.

    Attributes:
        symmetry: to be applied to the right network.
        objective: mean correlation of matched channels.
        by_weights: groups of which no activation was seen.
    """

    symmetry: Symmetry
    objective: float
    by_weights: tuple[str, ...]


def match_activations(
    computer: Computer, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], samples: Samples
) -> ActivationMatching:
    """Bring the right network into the left one's basis by what units respond to.

    Args:
        computer: runs the module of both.
        left: slot -> numbers; stays as it is.
        right: slot -> numbers.
        samples: real inputs; noise will match units that noise tells apart.
    """
    first, second = (_by_place(activations(computer, tensors, samples)) for tensors in (left, right))
    orders: dict[str, np.ndarray] = {}
    total, channels, unseen = 0.0, 0, []
    for family in find_families(computer.skeleton):
        seen = _seen(family, first)
        if not seen.sides:
            unseen += [group.name for group in family.groups]
            continue
        value, found = matched(seen, first, second, seen.slots)
        orders |= found
        total += value
        channels += sum(len(first[place]) for place in seen.slots)
    start = Symmetry(computer.skeleton, tuple(Permutation(name, order) for name, order in orders.items()))
    symmetry = match_rest(computer.skeleton, left, right, start) if unseen else start
    return ActivationMatching(symmetry, total / max(channels, 1), tuple(unseen))


def _by_place(found: Activations) -> dict[str, np.ndarray]:
    return {_name(place): standardised(rows) for place, rows in found.items()}


def _name(place: Place) -> str:
    return f"{place.slot}[{place.axis}] {'out' if place.written else 'in'}"


def _seen(family: Family, found: Mapping[str, np.ndarray]) -> Family:
    """The same family on activations: channels on axis 0 of every place instead of axes of tensors."""

    def on(sides: tuple[Side, ...]) -> tuple[Side, ...]:
        names = [(side, _name(Place(side.slot, side.axis, written))) for side in sides for written in (False, True)]
        return tuple(replace(side, slot=name, axis=0) for side, name in names if name in found)

    outer = on(family.sides)
    places = {side.slot for side in outer}
    inner = tuple(tuple(side for side in on(sides) if side.slot in places) for sides in family.inner_sides)
    return Family(family.outer, outer, family.inner, inner)
