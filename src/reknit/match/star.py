"""A star model: one network that is trained to be linearly connected to each of several others.

Sonthalia, Rubinstein, Abbasnejad, Oh, "Do deep neural network solutions form a star domain?" (ICLR 2025, arXiv
2403.07968), algorithm 1 ("Starlight"): with sources theta_1 ... theta_n in the basis of the star theta, descend on

    E over k, t   L((1 - t) theta + t theta_k),    k uniform, t uniform in 0 to 1, both drawn every step.

Its gradient by theta is (1 - t) times that at the point.

    paper            here
    Z                ``networks``, of which ``Star.networks`` are in the star's basis
    theta_0          the mean of all networks in one basis (``match_many``)
    lambda           ``Training.rate``

Where this departs: the start (the paper takes a random network: from the mean there is less to train); Adam with a
cosine schedule instead of SGD; sources are matched again to the star every ``realign`` steps. As in the authors' code,
BatchNorms normalise by their batch on the way, and the star's statistics are estimated at the end.

Cost: one pass forwards and backwards a step. Known flaws: it is trained, so it needs the targets that merging does
without; and the claim that it is connected to networks it never saw is an observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from reknit.errors import UsageError
from reknit.match.averages import average
from reknit.match.checkpoint import Checkpoint, Descent, Reached
from reknit.match.computing import Computer
from reknit.match.many import match_many
from reknit.match.samples import Samples
from reknit.match.statistics import estimated_again, has_statistics
from reknit.match.training import PointLoss, Training, as_torch, between, descend
from reknit.match.weight_matching import match_weights
from reknit.skeleton.symmetry import Symmetry


@dataclass(frozen=True)
class StarTraining(Training):
    """Settings.

    Attributes:
        realign: steps after which the networks are matched to the star again; 0: never.
    """

    steps: int = 1000
    realign: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.realign < 0:
            raise UsageError(f"networks are matched every {self.realign} steps", "realign", "Give a number from 0")


@dataclass(frozen=True, eq=False)
class Star:
    """A star model.

    Attributes:
        tensors: slot -> numbers.
        symmetries: what brings each network into its basis.
        networks: the networks there.
        before: mean loss of the points half way to them at the start, over the same rows as ``after``.
        after: and at the end.
    """

    tensors: Mapping[str, np.ndarray] = field(repr=False)
    symmetries: tuple[Symmetry, ...]
    networks: tuple[Mapping[str, np.ndarray], ...] = field(repr=False)
    before: float
    after: float


def train_star(
    computer: Computer,
    networks: Sequence[Mapping[str, np.ndarray]],
    samples: Samples,
    settings: StarTraining | None = None,
    progress: Callable[[str], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Star:
    """Train a network that is linearly connected to all given ones.

    Args:
        computer: runs the module of all.
        networks: slot -> numbers, two or more; they stay as they are.
        samples: real inputs and targets.
        settings: of the descent; None: the usual ones.
        progress: told what is being done.
        checkpoint: where the state of the descent is kept; None: nowhere.

    Raises:
        UsageError: there are fewer than two networks.
        TableError: there are no targets, or they do not fit the answers.
        InputError: the loss becomes infinite or undefined.
    """
    if len(networks) < 2:
        raise UsageError("a star needs two networks to lie between", "star", "Give two or more")
    settings, loss = settings or StarTraining(), PointLoss(computer, samples)
    state = _State(computer, networks, settings)
    before = state.half_way(loss)
    _descent(state, loss, settings, progress or (lambda _: None), checkpoint or Checkpoint())
    if settings.realign:
        state.match_again()
    tensors = state.star()
    if has_statistics(computer):
        tensors = estimated_again(computer, tensors, samples)
    after = state.half_way(loss)
    moved = tuple(symmetry.apply(dict(each)) for symmetry, each in zip(state.symmetries, networks, strict=True))
    return Star(tensors, tuple(state.symmetries), moved, before, after)


class _State:
    """The star so far, and the networks in its basis."""

    def __init__(
        self, computer: Computer, networks: Sequence[Mapping[str, np.ndarray]], settings: StarTraining
    ) -> None:
        self.skeleton, self.networks, self.seed = computer.skeleton, networks, settings.seed
        self.symmetries = list(match_many(self.skeleton, networks, seed=settings.seed))
        aligned = [symmetry.apply(dict(each)) for symmetry, each in zip(self.symmetries, networks, strict=True)]
        self.first = average(aligned, [1 / len(networks)] * len(networks))
        statistics = {use.slots.get(role) for use in self.skeleton.uses for role in ("running_mean", "running_var")}
        self.centre = as_torch(self.first)
        self.trained = {
            key: value.requires_grad_()
            for key, value in self.centre.items()
            if value.is_floating_point() and key not in statistics
        }
        self.sources = [as_torch(each) for each in aligned]

    def star(self) -> dict[str, np.ndarray]:
        """Its tensors, in the dtypes of the first network."""
        return {key: value.detach().numpy().astype(self.first[key].dtype) for key, value in self.centre.items()}

    def match_again(self) -> None:
        """Bring every network into the basis that the star has now."""
        star = self.star()
        for k, network in enumerate(self.networks):
            found = match_weights(self.skeleton, star, network, start=self.symmetries[k], seed=self.seed).symmetry
            if found.permutations != self.symmetries[k].permutations:
                self.symmetries[k], self.sources[k] = found, as_torch(found.apply(dict(network)))

    def restore(self, reached: Reached) -> None:
        """Bring the networks where they were at a checkpoint; the star itself is trained."""
        for name, symmetry in (reached.symmetries or {}).items():
            k = int(name)
            self.symmetries[k], self.sources[k] = symmetry, as_torch(symmetry.apply(dict(self.networks[k])))

    def reached(self, step: int) -> Reached:
        """What a checkpoint keeps beside what is trained."""
        return Reached(step, {str(k): symmetry for k, symmetry in enumerate(self.symmetries)})

    def half_way(self, loss: PointLoss) -> float:
        """Mean loss half way to the networks."""
        detached = {key: value.detach() for key, value in self.centre.items()}
        return sum(loss.judged(between(detached, each, 0.5)) for each in self.sources) / len(self.sources)


def _descent(
    state: _State, loss: PointLoss, settings: StarTraining, told: Callable[[str], None], checkpoint: Checkpoint
) -> None:
    generator = torch.Generator().manual_seed(settings.seed)
    descent = Descent(state.trained, torch.optim.Adam(state.trained.values(), settings.rate), generator)
    reached = checkpoint.load(descent, state.skeleton)
    state.restore(reached)
    for step in range(reached.step + 1, settings.steps + 1):
        if settings.realign and step % settings.realign == 0:
            told(f"training, step {step} of {settings.steps}")
            state.match_again()
        for group in descent.optimiser.param_groups:
            group["lr"] = settings.rate * (1 + math.cos(math.pi * (step - 1) / settings.steps)) / 2
        source = state.sources[int(torch.randint(len(state.sources), (), generator=generator))]
        t = float(torch.rand((), generator=generator))
        rows: Tensor = loss.drawn(settings.batch, generator)
        descend(descent.optimiser, loss.at(between(state.centre, source, t), rows), step)
        if checkpoint.save(descent, state.reached(step)):
            told(f"training, step {step} of {settings.steps}")
