"""Matching by rotations: streams and dimensions inside heads by orthogonal Procrustes, all else by permutations.

    Q  =  polar factor of   sum over members m:   B_m^T A_m        the nearest turn of B's units to A's, all else given

Orthogonal Procrustes is Schönemann's (1966, doi:10.1007/BF02289451, ``solvers.procrustes``). That the stream of an
RMSNorm may be turned once gains are folded is SliceGPT's (Ashkboos et al. 2024, arXiv 2401.15024); here that is asked
of the module, LayerNorm keeps the vector of ones, and the alternation with weight matching (Git Re-Basin, arXiv
2209.04836) maximises one objective, the inner product of both networks, so that it never falls.

    1  the streams, by what has no other free axis: embeddings, heads that name tokens
    2  heads: each pair by the nuclear norm of its cross-covariances, which no rotation inside can change
    3  the rest by weight matching, from what is fixed inwards
    4  insides of heads, streams, permutations, in turn, until nothing gains

Known flaws: a local optimum, as all of weight matching. The first step is all there is to break the symmetry: without a
table of tokens or named inputs it starts from the identity. Inexact polar factors (``polar``) are no rotations: the
proof of ``align`` tells by how much the function changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from jaxtyping import Float

from reknit.errors import UsageError
from reknit.match.asking import answers_to_noise
from reknit.match.computing import Computer
from reknit.match.families import Family, find_families
from reknit.match.turned_basis import Step, TurnedBasis, settled
from reknit.match.unit_similarity import Weighing, unit_rows
from reknit.match.weight_matching import match_weights
from reknit.skeleton.rotation import Rotation, free_directions, kept, places_of, rows_of
from reknit.skeleton.rotation_classes import RotationClass, find_rotation_classes
from reknit.skeleton.skeleton import Group, Skeleton
from reknit.skeleton.stream_gauge import StreamGauge
from reknit.skeleton.symmetry import Permutation, Symmetry
from reknit.solvers.assignment import best_matching
from reknit.solvers.polar import Method, polar_factor

Tensors = Mapping[str, np.ndarray]
ROUNDS = 60
GAIN = 1e-9
"""Share of the objective that a round has to gain for another one to follow."""


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


@dataclass(frozen=True)
class RotationMatching:
    """What brings the right network into the left one's basis.

    Attributes:
        basis: to be applied to the right network.
        objective: inner product of both, every tensor in units of its root mean square (or as it is).
        rounds: over streams, heads and permutations.
        settled: whether the last round gained nothing.
    """

    basis: TurnedBasis
    objective: float
    rounds: int
    settled: bool


def match_rotations(
    computer: Computer,
    left: Tensors,
    right: Tensors,
    *,
    weighing: Weighing = "standardised",
    options: RotationOptions | None = None,
    seed: int = 0,
) -> RotationMatching:
    """Bring the right network into the left one's basis.

    Args:
        computer: of the module of both; it is asked what may be turned.
        left: slot -> numbers; stays as it is.
        right: slot -> numbers.
        weighing: whether tensors count in units of their root mean square.
        options: how rotations are found.
        seed: see ``match_weights``.

    Raises:
        UsageError: nothing may be turned.
        InputError: a gain of the left network is zero.
    """
    told = options or RotationOptions()
    classes, gauges, refused = _turnable(computer, left, right)
    if not told.heads:
        classes = tuple(each for each in classes if each.group in {gauge.group.name for gauge in gauges})
    if not classes:
        groups = [each for each in computer.skeleton.groups if each.name in refused]
        largest = max(groups, key=lambda each: len(each.members))
        problem = f"no rotation leaves the function as it is: {largest.name}: {refused[largest.name]}"
        raise UsageError(problem, "--method rotation", "Take the method weights")
    first, second = ({k: _counted(v, weighing) for k, v in settled(gauges, each).items()} for each in (left, right))
    state = _State(computer.skeleton, classes, told, first, second, seed)
    state.start()
    rounds, gained = 0, True
    while gained and rounds < ROUNDS:
        rounds += 1
        before = state.objective()
        state.improve()
        gained = state.objective() - before > GAIN * abs(before)
    basis = TurnedBasis(computer.skeleton, gauges, tuple(state.steps), left, refused)
    return RotationMatching(basis, state.objective(), rounds, not gained)


def _turnable(
    computer: Computer, left: Tensors, right: Tensors
) -> tuple[tuple[RotationClass, ...], tuple[StreamGauge, ...], dict[str, str]]:
    """What may be turned in these two networks, how its norms are folded, and why other groups may not."""
    answer = answers_to_noise(computer)
    classes, refused = find_rotation_classes(computer.skeleton, answer)
    kept_classes, gauges = [], []
    within = {group.name: group.within for group in computer.skeleton.groups}
    for each in classes:
        gauge = StreamGauge.of(computer.skeleton, each, answer)
        reason = gauge.obstacle(left) or gauge.obstacle(right)
        if reason:
            refused[each.group] = reason
            continue
        kept_classes.append(each)
        if within[each.group] is None:
            gauges.append(gauge)
    return tuple(kept_classes), tuple(gauges), refused


def _counted(tensor: np.ndarray, weighing: Weighing) -> np.ndarray:
    """A tensor as it counts; lengths alone are changed, so that rotations stay rotations."""
    if tensor.dtype.kind != "f" or weighing == "plain" or not tensor.size:
        return tensor
    size = float(np.sqrt(np.square(tensor).mean()))
    return tensor / size if size > 0 else tensor


class _State:
    """The right network as far as it has been brought."""

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

    def objective(self) -> float:
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
