"""A network that is turned towards another one, group by group, and the steps that brought it there."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from jaxtyping import Float

from reknit.match.families import Family, find_families
from reknit.match.turned_basis import Step
from reknit.match.unit_similarity import unit_rows
from reknit.match.weight_matching import match_weights
from reknit.skeleton.rotation import Rotation, free_directions, kept, places_of, rows_of
from reknit.skeleton.rotation_classes import RotationClass
from reknit.skeleton.skeleton import Group, Skeleton
from reknit.skeleton.symmetry import Permutation, Symmetry
from reknit.solvers.assignment import best_matching
from reknit.solvers.polar import Method, polar_factor

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class RotationOptions:
    """How rotations are found.

    Attributes:
        polar: how the polar factors of streams are computed (``solvers.polar``); those inside heads are small, and
            always exact.
        steps: of an inexact polar factor.
        heads: whether dimensions inside heads are turned too.
    """

    polar: Method = "svd"
    steps: int = 10
    heads: bool = True


class TurnedNetwork:
    """The right network, as far as it has been brought.

    Args:
        skeleton: of both.
        classes: what may be turned.
        options: how.
        left: slot -> numbers, with its streams settled.
        right: the same of the network that is turned.
        seed: see ``match_weights``.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        classes: tuple[RotationClass, ...],
        options: RotationOptions,
        left: Tensors,
        right: dict[str, np.ndarray],
        seed: int,
    ) -> None:
        self.skeleton, self.options, self.left, self.right, self.seed = skeleton, options, left, right, seed
        self.untouched = right
        self.groups = {group.name: group for group in skeleton.groups}
        self.streams = [each for each in classes if self.groups[each.group].within is None]
        self.insides = [each for each in classes if self.groups[each.group].within is not None]
        self.steps: list[Step] = []

    def copy(self) -> TurnedNetwork:
        """The same, to be brought elsewhere."""
        found = copy(self)
        found.steps = list(self.steps)
        return found

    def objective(self) -> float:
        """Inner product with the left network."""
        return float(sum(np.vdot(self.left[k], self.right[k]) for k, v in self.left.items() if v.dtype.kind == "f"))

    def start(self) -> None:
        """Streams by what is fixed, heads by what no rotation inside can change, the rest inwards."""
        for each in self.streams:
            self.turn(each, self._known(self.groups[each.group]))
        turned = {self.groups[each.group].within for each in self.insides}
        families = [f for f in find_families(self._held(self.streams)) if f.outer.name in turned]
        for family in families:
            if not family.outer.fixed:
                order = best_matching(self._head_scores(family))
                self._take(Symmetry(self.skeleton, (Permutation(family.outer.name, order[None]),)))
        for each in self.insides:
            self.turn(each, None)
        self.permute(self._held(self.streams, [group.name for f in families for group in f.groups]), None)

    def improve(self) -> None:
        """One round: everything given all else."""
        for each in (*self.insides, *self.streams):  # streams, known by tokens, are the better ones so far
            self.turn(each, None)
        self.permute(self._held(self.streams), Symmetry(self.skeleton, ()))

    def permute(self, held: Skeleton, start: Symmetry | None) -> None:
        """Weight matching of all that is not held."""
        begun = None if start is None else replace(start, skeleton=held)
        found = match_weights(held, self.left, self.right, weighing="plain", start=begun, seed=self.seed)
        if any((each.order != np.arange(each.order.shape[1])).any() for each in found.symmetry.permutations):
            self._take(Symmetry(self.skeleton, found.symmetry.permutations))

    def turn(self, each: RotationClass, slots: set[str] | None) -> None:
        """The nearest rotation of a group, by some of its slots or all; none if these say nothing.

        An inexact one starts anew from the group as it was, or its errors would pile up.
        """
        group = self.groups[each.group]
        exact = group.within is not None or self.options.polar == "svd"
        if not exact:
            self._turn_back(each.group)
        cross = np.zeros((rows_of(self.skeleton, group), group.size, group.size))
        for member in group.members:
            if member.role == "scales" or (slots is not None and member.slot not in slots):
                continue
            first, second = (np.moveaxis(net[member.slot], member.axis, 0) for net in (self.left, self.right))
            for row, index in enumerate(places_of(self.skeleton, group, member)):
                cross[row] += second[index].reshape(group.size, -1) @ first[index].reshape(group.size, -1).T
        if cross.any():
            chosen = RotationOptions() if exact else self.options
            matrix = nearest(cross, chosen, keeps_ones=each.keeps_ones)
            self._take(Rotation(self.skeleton, each.group, matrix))

    def _turn_back(self, name: str) -> None:
        """The right network without the rotation of a stream."""
        self.steps = [step for step in self.steps if not (isinstance(step, Rotation) and step.group == name)]
        self.right = reduce(lambda net, step: step.apply(net), self.steps, self.untouched)

    def _take(self, step: Step) -> None:
        self.right = step.apply(self.right)
        last = self.steps[-1] if self.steps else None
        if isinstance(step, Symmetry) and isinstance(last, Symmetry):
            self.steps[-1] = last.then(step)
            return
        if isinstance(step, Rotation):
            for k in range(len(self.steps) - 1, -1, -1):  # rotations of different groups change places freely
                passed = self.steps[k]
                if isinstance(passed, Rotation) and passed.group == step.group:
                    self.steps[k] = passed.then(step)
                    return
                if isinstance(passed, Symmetry) and self.groups[step.group].within is not None:
                    break
        self.steps.append(step)

    def _known(self, group: Group) -> set[str]:
        """The slots of a group whose other axes are all fixed."""
        slots = {member.slot for member in group.members}
        for other in self.skeleton.groups:
            if other.name != group.name and not other.fixed:
                slots -= {member.slot for member in other.members}
        return slots

    def _held(self, classes: list[RotationClass], also: list[str] | None = None) -> Skeleton:
        """The skeleton with what is turned, or done already, fixed."""
        names = {each.group for each in classes} | set(also or ())
        groups = tuple(replace(g, fixed=g.fixed or "held") if g.name in names else g for g in self.skeleton.groups)
        return replace(self.skeleton, groups=groups)

    def _head_scores(self, family: Family) -> Float[np.ndarray, "heads heads"]:
        """What every pair of heads reaches once its insides are turned: nuclear norms, and plain products elsewhere."""
        heads = family.outer.size
        names = {each.group for each in self.insides}
        inner = [s for group, s in zip(family.inner, family.inner_sides, strict=True) if group.name in names]
        inside = {side.slot for sides in inner for side in sides}
        blocks = [[family.blocks(net, head) for head in range(heads)] for net in (self.left, self.right)]
        scores = np.zeros((heads, heads))
        for i in range(heads):
            for j in range(heads):
                first, second = blocks[0][i], blocks[1][j]
                scores[i, j] = sum(float(np.vdot(first[s], second[s])) for s in family.slots if s not in inside)
                for sides in inner:
                    pairs = [(unit_rows(second[s.slot], s), unit_rows(first[s.slot], s)) for s in sides]
                    scores[i, j] += np.linalg.norm(sum(b @ a.T for b, a in pairs), "nuc")
        return scores


def nearest(
    cross: Float[np.ndarray, "rows d d"], options: RotationOptions, *, keeps_ones: bool
) -> Float[np.ndarray, "rows d d"]:
    """The polar factor of a cross-covariance on what may turn, and the identity on the rest."""
    size = cross.shape[-1]
    free = free_directions(size, keeps_ones=keeps_ones)
    inner = polar_factor(free.T @ cross @ free, options.polar, steps=options.steps).factor
    return np.asarray(kept(size, keeps_ones=keeps_ones) + free @ inner @ free.T)
