"""Sinkhorn re-basin: permutations softened to doubly stochastic matrices, trained, and rounded at the end.

Peña, Medeiros, Dubail, Aminbeidokhti, Granger, Pedersoli, "Re-basin via implicit Sinkhorn differentiation" (CVPR 2023,
arXiv 2212.12042). Scores S of every group are trained through P = soft permutation of S at the temperature epsilon,
all tensors of the right network B being multiplied by P on every axis that runs over the group. What is minimised:

    C_L2   |A - P(B)|^2, per number
    C_Mid  L(A / 2 + P(B) / 2)
    C_Rnd  L((1 - t) A + t P(B)),   t uniform in 0 to 1, drawn every step

    paper            here
    X, S_tau(X)      ``scores``, ``solvers.soft_permutation``
    tau              ``_epsilon``
    P(theta)         ``blended``
    A in the end     ``solvers.assignment.best_matching`` of the scores

Where this departs:

- *The start* is weight matching: B is brought there first and scores are the identity, so what is trained is a change
  of it. The temperature goes by the size of a group: each unit starts as e^s / (1 + e^s) of itself, s = ``sharpness``.
- *Heads* move whole: what is inside them stays as weight matching paired it, and moves with them.
- *The answer* is the best rounded permutation seen, by C_Mid (or C_L2) over the same rows, never worse than the start.
  Where half way the loss is the mean of both ends', nothing is left to gain and the descent ends.
- BatchNorms normalise by their batch.

Cost: for each group and step a plan of n^2 numbers and its derivative, and one pass forwards and backwards. Known
flaws: the loss of a soft mixture can be far below that of any permutation near it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from reknit.errors import UsageError
from reknit.match.checkpoint import Checkpoint, Descent
from reknit.match.computing import Computer
from reknit.match.families import Family, Side, find_families
from reknit.match.samples import Samples
from reknit.match.training import Best, PointLoss, TrainedMatching, Training, as_torch, between, descend, mean_of_ends
from reknit.match.unit_similarity import weighed
from reknit.match.weight_matching import match_weights
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.symmetry import Permutation, Symmetry
from reknit.solvers.assignment import best_matching
from reknit.solvers.soft_permutation import soft_permutation

Objective = Literal["distance", "midpoint", "random"]
"""C_L2, C_Mid and C_Rnd."""
TOLERANCE = 1e-6
"""Of the row and column sums of a plan: far below what a step of training changes."""


@dataclass(frozen=True)
class SinkhornMatching(Training):
    """Settings.

    Attributes:
        objective: what is minimised.
        sharpness: log of the share that a unit keeps of itself at the start, over the share of all others.
    """

    rate: float = 0.1
    objective: Objective = "midpoint"
    sharpness: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in get_args(Objective):
            choices = ", ".join(get_args(Objective))
            raise UsageError(f"there is no objective {self.objective!r}", "objective", f"Choose one of {choices}")
        if not 0 < self.sharpness < math.inf:
            raise UsageError(f"the sharpness is {self.sharpness}", "sharpness", "Give a positive number")


def match_sinkhorn(
    computer: Computer,
    left: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    samples: Samples,
    settings: SinkhornMatching | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[str], None] | None = None,
) -> TrainedMatching:
    """Bring the right network into the left one's basis by soft permutations.

    Args:
        computer: runs the module of both.
        left: slot -> numbers; stays as it is.
        right: slot -> numbers.
        samples: real inputs and targets; not looked at for the objective ``distance``.
        settings: of the descent; None: the usual ones.
        checkpoint: where its state is kept; None: nowhere.
        progress: told what has been kept.

    Raises:
        TableError: there are no targets, or they do not fit the answers.
        InputError: the loss becomes infinite or undefined.
    """
    settings, checkpoint = settings or SinkhornMatching(), checkpoint or Checkpoint()
    skeleton = computer.skeleton
    start = match_weights(skeleton, left, right, seed=settings.seed).symmetry
    families = [family for family in find_families(skeleton) if not family.outer.fixed and family.outer.size > 1]
    task = _task(computer, left, start.apply(dict(right)), samples, settings, families)
    scores = {family.outer.name: torch.eye(family.outer.size).requires_grad_() for family in families}
    best = Best(task.judged, task.floor, _hardened(skeleton, scores))
    found = best.answer()
    if scores:
        descent = Descent(scores, torch.optim.Adam(scores.values(), settings.rate), task.generator)
        found = _descended(descent, task, best, settings, checkpoint, progress or (lambda _: None))
    return replace(found, symmetry=start.then(found.symmetry))


def _descended(
    descent: Descent,
    task: _Task,
    best: Best,
    settings: SinkhornMatching,
    checkpoint: Checkpoint,
    told: Callable[[str], None],
) -> TrainedMatching:
    """Steps of the scores, from where a checkpoint left them."""
    skeleton = best.symmetry.skeleton
    reached = checkpoint.load(descent, skeleton)
    best.restore(reached)
    for step in range(reached.step + 1, settings.steps + 1):
        if best.settled:
            break
        plans = {name: plan_of(each, settings.sharpness) for name, each in descent.trained.items()}
        descend(descent.optimiser, task.loss(plans), step)
        best.see(_hardened(skeleton, descent.trained), step)
        if checkpoint.save(descent, best.reached(step)):
            told(f"training, step {step} of {settings.steps}")
    return best.answer()


def plan_of(scores: Tensor, sharpness: float) -> Tensor:
    """The soft permutation of scores at the temperature of their size."""
    return soft_permutation(scores, epsilon=_epsilon(len(scores), sharpness), tolerance=TOLERANCE)


def _epsilon(units: int, sharpness: float) -> float:
    """At this temperature the identity as scores gives each unit e^s / (1 + e^s) of itself."""
    return 1 / (math.log(max(units - 1, 1)) + sharpness)


def blended(
    tensors: Mapping[str, Tensor], families: Sequence[Family], plans: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors with the units of every group mixed: unit u becomes the sum of ``P[u, v]`` times unit v."""
    found = dict(tensors)
    for family in families:
        for side in family.sides:
            if found[side.slot].is_floating_point():
                found[side.slot] = _mixed(found[side.slot], side, plans[family.outer.name])
    return found


def _mixed(tensor: Tensor, side: Side, plan: Tensor) -> Tensor:
    first = tensor.movedim(side.axis, 0)
    places = torch.from_numpy(side.positions)
    rows = torch.tensordot(plan.to(tensor.dtype), first[places], dims=1)
    return first.index_put((places,), rows).movedim(0, side.axis)


def _hardened(skeleton: Skeleton, scores: Mapping[str, Tensor]) -> Symmetry:
    orders = {name: best_matching(each.detach().double().numpy()) for name, each in scores.items()}
    return Symmetry(skeleton, tuple(Permutation(name, order) for name, order in orders.items()))


class _Task(Protocol):
    """What is minimised, and how a rounded change of the start is judged."""

    floor: float
    generator: torch.Generator

    def loss(self, plans: Mapping[str, Tensor]) -> Tensor: ...

    def judged(self, change: Symmetry) -> float: ...


class _OnTheLine:
    def __init__(
        self,
        loss: PointLoss,
        first: Mapping[str, Tensor],
        second: Mapping[str, Tensor],
        families: Sequence[Family],
        settings: SinkhornMatching,
    ) -> None:
        self.point_loss, self.first, self.second, self.families = loss, first, second, families
        self.settings, self.floor = settings, mean_of_ends(loss, first, second)
        self.generator = torch.Generator().manual_seed(settings.seed)

    def loss(self, plans: Mapping[str, Tensor]) -> Tensor:
        drawn = float(torch.rand((), generator=self.generator))
        t = 0.5 if self.settings.objective == "midpoint" else drawn
        rows = self.point_loss.drawn(self.settings.batch, self.generator)
        return self.point_loss.at(between(self.first, blended(self.second, self.families, plans), t), rows)

    def judged(self, change: Symmetry) -> float:
        return self.point_loss.judged(between(self.first, change.apply(dict(self.second)), 0.5))


class _InDistance:
    def __init__(
        self, first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], families: Sequence[Family]
    ) -> None:
        self.slots = tuple(dict.fromkeys(slot for family in families for slot in family.slots))
        self.first, self.second = (
            as_torch({slot: weighed(each[slot], "standardised") for slot in self.slots}) for each in (first, second)
        )
        self.families, self.floor, self.generator = families, 0.0, torch.Generator()  # nothing is drawn

    def loss(self, plans: Mapping[str, Tensor]) -> Tensor:
        return self._distance(blended(self.second, self.families, plans))

    def judged(self, change: Symmetry) -> float:
        return float(self._distance(change.apply(self.second)))

    def _distance(self, moved: Mapping[str, Tensor]) -> Tensor:
        total = torch.stack([(self.first[slot] - moved[slot]).square().sum() for slot in self.slots]).sum()
        return total / sum(self.first[slot].numel() for slot in self.slots)


def _task(
    computer: Computer,
    left: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    samples: Samples,
    settings: SinkhornMatching,
    families: Sequence[Family],
) -> _Task:
    if settings.objective == "distance":
        return _InDistance(left, right, families)
    return _OnTheLine(PointLoss(computer, samples), as_torch(left), as_torch(right), families, settings)
