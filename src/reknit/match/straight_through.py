"""The straight-through estimator: weights that are trained, and rounded to a permutation of the right network.

Ainsworth, Hayase, Srinivasa, "Git Re-Basin: merging models modulo permutation symmetries" (2022, arXiv 2209.04836),
algorithm 2. Auxiliary weights start as the left network's. Every step rounds them to the permutation of the right
network that is nearest to them, takes the loss half way between the left network and that, and moves the auxiliary
weights along its gradient, as if they had not been rounded:

    pi = argmin |aux - pi(B)|,    aux <- aux - rate * d/d(aux) L(A / 2 + pi(B) / 2 + (aux - aux') / 2),    aux' constant

    paper            here
    theta~_B         ``auxiliary``
    proj             ``match_weights``, from the last step's permutation
    eta              ``Training.rate``, of Adam

As all auxiliary weights are those of A at the start, the first permutation is that of weight matching. The rounding is
weight matching too, so heads, what is inside them, and fixed groups are treated as there.

Where this departs: the answer is the best permutation seen, by the midpoint's loss over the same rows, and not the
last, so it is never worse than weight matching there. Where half way the loss is the mean of both ends', nothing is
left to gain and the descent ends: a permuted copy comes back as weight matching finds it. BatchNorms normalise by their
batch.

Cost: one or two sweeps of weight matching and one pass forwards and backwards a step. Known flaws: bases are judged on
what they were trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reknit.match.checkpoint import Checkpoint, Descent
from reknit.match.computing import Computer
from reknit.match.families import find_families
from reknit.match.samples import Samples
from reknit.match.training import Best, PointLoss, TrainedMatching, Training, as_torch, between, descend, mean_of_ends
from reknit.match.unit_similarity import Weighing
from reknit.match.weight_matching import match_weights
from reknit.skeleton.symmetry import Symmetry


@dataclass(frozen=True)
class StraightThrough(Training):
    """Settings.

    Attributes:
        weighing: in which units auxiliary weights are near a permutation.
    """

    rate: float = 3e-3
    weighing: Weighing = "standardised"


def match_straight_through(
    computer: Computer,
    left: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    samples: Samples,
    settings: StraightThrough | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[str], None] | None = None,
) -> TrainedMatching:
    """Bring the right network into the left one's basis by the loss half way between them.

    Args:
        computer: runs the module of both.
        left: slot -> numbers; stays as it is.
        right: slot -> numbers.
        samples: real inputs and targets.
        settings: of the descent; None: the usual ones.
        checkpoint: where its state is kept; None: nowhere.
        progress: told what has been kept.

    Raises:
        TableError: there are no targets, or they do not fit the answers.
        InputError: the loss becomes infinite or undefined.
    """
    settings, checkpoint = settings or StraightThrough(), checkpoint or Checkpoint()
    loss, skeleton = PointLoss(computer, samples), computer.skeleton
    first, second = as_torch(left), as_torch(right)
    auxiliary = _auxiliary(computer, first)
    floor = mean_of_ends(loss, first, second)
    rounded = match_weights(skeleton, left, right, weighing=settings.weighing, seed=settings.seed).symmetry
    best = Best(lambda symmetry: loss.judged(between(first, symmetry.apply(second), 0.5)), floor, rounded)
    if not auxiliary:
        return best.answer()
    generator = torch.Generator().manual_seed(settings.seed)
    descent = Descent(auxiliary, torch.optim.Adam(auxiliary.values(), settings.rate), generator)
    reached = checkpoint.load(descent, skeleton)
    best.restore(reached)
    rounded = reached.symmetries["rounded"] if reached.symmetries else rounded
    for step in range(reached.step + 1, settings.steps + 1):
        if best.settled:
            break
        point = midpoint(first, rounded.apply(second), auxiliary)
        descend(descent.optimiser, loss.at(point, loss.drawn(settings.batch, generator)), step)
        rounded = _rounded(computer, auxiliary, right, rounded, settings)
        best.see(rounded, step)
        if checkpoint.save(descent, best.reached(step, rounded=rounded)) and progress:
            progress(f"training, step {step} of {settings.steps}")
    return best.answer()


def midpoint(
    first: Mapping[str, Tensor], moved: Mapping[str, Tensor], auxiliary: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Half way between two networks, with the gradient of the second given to the auxiliary weights."""
    passed = {key: moved[key] + (value - value.detach()) for key, value in auxiliary.items()}
    return between(first, {**moved, **passed}, 0.5)


def _auxiliary(computer: Computer, first: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of every tensor that a permutation can move, to be trained."""
    slots = {slot for family in find_families(computer.skeleton) for slot in family.slots}
    return {
        key: value.clone().requires_grad_()
        for key, value in first.items()
        if key in slots and value.is_floating_point()
    }


def _rounded(
    computer: Computer,
    auxiliary: Mapping[str, Tensor],
    right: Mapping[str, np.ndarray],
    last: Symmetry,
    settings: StraightThrough,
) -> Symmetry:
    aimed = {**right, **{key: value.detach().numpy() for key, value in auxiliary.items()}}
    return match_weights(
        computer.skeleton, aimed, right, weighing=settings.weighing, start=last, seed=settings.seed
    ).symmetry
