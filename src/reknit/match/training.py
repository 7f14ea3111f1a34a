"""What the trained alignments share: settings, the loss of a network between others, and the best basis so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reknit.errors import InputError, TableError, UsageError
from reknit.match.checkpoint import Reached
from reknit.match.computing import Computer
from reknit.match.losses import row_losses
from reknit.match.samples import Samples
from reknit.match.statistics import NormedByBatch
from reknit.skeleton.symmetry import Symmetry

JUDGED = 1024
"""Rows by which bases are told apart, at most."""
TELLING = 1e-3
"""Share of the loss by which a basis has to be better than the one before it."""


@dataclass(frozen=True)
class Training:
    """Settings of a descent by Adam (Kingma, Ba 2014, arXiv 1412.6980).

    Attributes:
        steps: how many; 0 leaves everything at its start.
        batch: rows a step.
        rate: the learning rate.
        seed: of rows and of points on the line.
    """

    steps: int = 200
    batch: int = 64
    rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise UsageError(f"there are {self.steps} steps", "steps", "Give a whole number from 0")
        if self.batch < 2:
            raise UsageError(f"a batch has {self.batch} rows", "batch", "Give 2 or more")
        if not 0 < self.rate < math.inf:
            raise UsageError(f"the learning rate is {self.rate}", "rate", "Give a positive number")


@dataclass(frozen=True)
class TrainedMatching:
    """What brings the right network into the left one's basis.

    Attributes:
        symmetry: to be applied to the right network.
        objective: what was reached over the judged rows; lower is better.
        before: the same of the weight matching that it started from.
        found_at: the step at which it was found; 0 is the weight matching.
    """

    symmetry: Symmetry
    objective: float
    before: float
    found_at: int


class PointLoss:
    """The loss of any tensors in a skeleton, differentiable by them, over rows with targets.

    BatchNorms normalise by the rows at hand: the statistics of an average are estimated again before it is used, and by
    its parents' running statistics a gradient would mend what no permutation can.

    Args:
        computer: runs the module.
        samples: inputs and targets.
        dtype: computed in.

    Raises:
        TableError: there are no targets.
    """

    def __init__(self, computer: Computer, samples: Samples, dtype: torch.dtype = torch.float32) -> None:
        if samples.targets is None:
            raise TableError("has no array targets", "--data", "Write the right answers beside the inputs")
        self.computer, self.samples, self.targets, self.dtype = computer, samples, samples.targets, dtype
        self._rest = computer.state({}, dtype)

    def at(self, tensors: Mapping[str, Tensor], rows: Tensor | slice = slice(None)) -> Float[Tensor, ""]:
        """Mean loss over some rows.

        Raises:
            TableError: the targets do not fit the answers.
        """
        state = dict(self._rest)
        for slot in self.computer.skeleton.slots:
            if slot.key in tensors:
                value = tensors[slot.key]
                state |= dict.fromkeys(
                    (slot.key, *slot.aliases), value.to(self.dtype) if value.is_floating_point() else value
                )
        with NormedByBatch():
            answer = self.computer.call(state, self.samples.some(rows).inputs)[0]
        return row_losses(answer, self.targets[rows]).loss.mean()

    def judged(self, tensors: Mapping[str, Tensor]) -> float:
        """Mean loss over the first rows, always the same."""
        with torch.no_grad():
            return float(self.at(tensors, slice(None, JUDGED)))

    def drawn(self, batch: int, generator: torch.Generator) -> Tensor:
        """Rows of one step, none twice."""
        return torch.randperm(len(self.samples), generator=generator)[:batch]


class Best:
    """The best basis so far, by a judge that is asked once for every new one.

    Args:
        judge: lower is better.
        floor: what nothing is expected to be below: the mean loss of the two networks themselves. Half way between a
            network and its copy the loss is that, and another order that is lower by chance would be no better basis.
        first: the basis that all others are measured by.
    """

    def __init__(self, judge: Callable[[Symmetry], float], floor: float, first: Symmetry) -> None:
        self.judge, self.floor, self.symmetry = judge, floor, first
        self.before = self.value = judge(first)
        self.found_at = 0
        self._seen = {first.permutations}

    @property
    def settled(self) -> bool:
        """Whether nothing is left to gain."""
        return self.value <= self.floor * (1 + TELLING)

    def see(self, symmetry: Symmetry, step: int) -> None:
        """Look at one, unless nothing is left to gain."""
        if self.settled or symmetry.permutations in self._seen:
            return
        self._seen.add(symmetry.permutations)
        value = self.judge(symmetry)
        if value < self.value * (1 - TELLING):
            self.symmetry, self.value, self.found_at = symmetry, value, step

    def restore(self, reached: Reached) -> None:
        """Go on from a checkpoint: what was judged before it is not judged again."""
        if reached.symmetries is not None and reached.numbers is not None:
            self.symmetry, self.value = reached.symmetries["best"], reached.numbers["value"]
            self.found_at = int(reached.numbers["found_at"])

    def reached(self, step: int, **more: Symmetry) -> Reached:
        """What a checkpoint keeps of it, with other symmetries beside the best one."""
        return Reached(step, {"best": self.symmetry, **more}, {"value": self.value, "found_at": self.found_at})

    def answer(self) -> TrainedMatching:
        """The best that was seen."""
        return TrainedMatching(self.symmetry, self.value, self.before, self.found_at)


def as_torch(tensors: Mapping[str, np.ndarray], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Copies; floating point numbers in one dtype, whole numbers as they are."""
    found = {key: torch.from_numpy(np.array(value, order="C")) for key, value in tensors.items()}
    return {key: value.to(dtype) if value.is_floating_point() else value for key, value in found.items()}


def mean_of_ends(loss: PointLoss, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Mean loss of two networks: half way, more than that is the barrier."""
    return (loss.judged(first) + loss.judged(second)) / 2


def between(first: Mapping[str, Tensor], second: Mapping[str, Tensor], t: float) -> dict[str, Tensor]:
    """The point ``(1 - t) first + t second``; whole numbers are the first's."""
    return {
        key: torch.lerp(value, second[key], t) if value.is_floating_point() else value for key, value in first.items()
    }


def descend(optimiser: torch.optim.Optimizer, loss: Tensor, step: int) -> None:
    """One step down.

    Raises:
        InputError: the loss is infinite or undefined.
    """
    if not bool(torch.isfinite(loss)):
        raise InputError(f"the loss is {float(loss.detach())} at step {step}", "training", "Choose a smaller rate")
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()
