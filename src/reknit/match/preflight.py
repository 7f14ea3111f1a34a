"""Before a merge: will it work? The barrier is foreseen from answers alone, and the layers that conflict are named.

*Foreseen barrier.* If the ends are calibrated, the right answer y to x is drawn from what they say together, p(y|x) =
sum_k c_k p_k(y|x), and the loss of the merged network q exceeds theirs by

    E_x sum_y p(y|x) (sum_k c_k log p_k(y|x) - log q(y|x))

in expectation. No label is needed, only inputs from where the network is to work; for answers that are numbers it is
the squared distance of the merged answer from the mean of the ends'. It is too low where all networks err together and
are sure of it. Without inputs nothing is foreseen: the weights tell which layers agree, not what that costs.

*Conflicts.* Layers whose leading singular directions still disagree most after alignment (``agreement``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reknit.errors import TableError
from reknit.match.agreement import TensorAgreement, agreement
from reknit.match.computing import Computer
from reknit.match.judging import Interval, bootstrapped
from reknit.match.losses import log_shares
from reknit.match.samples import Samples

Outlook = Literal["should work", "should not work", "cannot say"]
Answers = Literal["classes", "numbers"]
BEARABLE = 0.1
"""Excess loss, in nats or in shares of the answers' variance, up to which a merge is said to work."""
CONFLICTING = 5
FEWEST = 20
"""Rows from which an interval over rows means anything."""


@dataclass(frozen=True)
class Preflight:
    """What is foreseen of a merge.

    Attributes:
        outlook: in a word.
        reason: one sentence.
        barrier: excess loss of the merged network over its parents', foreseen; None where there are no inputs.
        conflicts: the layers that agree least, the worst first.
    """

    outlook: Outlook
    reason: str
    barrier: Interval | None
    conflicts: tuple[TensorAgreement, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "outlook": self.outlook,
            "reason": self.reason,
            "barrier": None if self.barrier is None else self.barrier.as_json(),
            "conflicts": [
                {"slot": each.slot, "directions": each.directions, "distance": each.distance} for each in self.conflicts
            ],
        }


def preflight(
    computer: Computer,
    merged: Mapping[str, np.ndarray],
    parents: Sequence[Mapping[str, np.ndarray]],
    shares: Sequence[float],
    samples: Samples,
    *,
    bearable: float = BEARABLE,
    answers: Answers | None = None,
) -> Preflight:
    """Look at a merged network before it is written.

    Args:
        computer: runs the module.
        merged: slot -> numbers.
        parents: the networks it was made from, in one basis.
        shares: of each parent.
        samples: inputs; noise foresees nothing.
        bearable: excess loss up to which a merge is said to work.
        answers: how the first tensor of answers is read; None: by the targets, or else by its shape.
    """
    conflicts = _conflicts(computer, parents)
    if samples.drawn:
        reason = "without inputs from where it is to work nothing is foreseen; give them with --data"
        return Preflight("cannot say", reason, None, conflicts)
    if len(samples) < FEWEST:
        reason = f"{len(samples)} rows foresee nothing; give at least {FEWEST}"
        return Preflight("cannot say", reason, None, conflicts)
    excess, reading = foreseen_excess(computer, merged, parents, shares, samples, answers)
    barrier = bootstrapped(excess[None])
    said = f"{barrier.value:.3g} ({barrier.low:.3g} to {barrier.high:.3g})"
    outlook: Outlook = "cannot say"
    if barrier.high <= bearable or barrier.low > bearable:
        outlook = "should work" if barrier.high <= bearable else "should not work"
    where = {"should work": "below", "should not work": "above", "cannot say": "about"}[outlook]
    reason = (
        f"the foreseen barrier, {said}, is {where} {bearable:g}, on {len(samples)} rows with answers read as {reading}"
    )
    return Preflight(outlook, reason, barrier, conflicts)


def foreseen_excess(
    computer: Computer,
    merged: Mapping[str, np.ndarray],
    parents: Sequence[Mapping[str, np.ndarray]],
    shares: Sequence[float],
    samples: Samples,
    answers: Answers | None = None,
) -> tuple[Float[np.ndarray, " rows"], Answers]:
    """Of every row, by how much the merged network's loss should exceed its parents', and how answers were read.

    Nats where the first tensor of answers is read as classes, over its last axis; where it is read as numbers, the
    squared distance from the parents' mean, in units of the variance of what the parents answer.

    Raises:
        TableError: one answer a row cannot be read as classes.
    """
    middle = computer.answers(merged, samples)[0].double()
    ends = [computer.answers(parent, samples)[0].double() for parent in parents]
    reading = answers or _reading(ends[0], samples)
    if reading == "numbers":
        mean = _mixed(ends, shares)
        spread = float(torch.stack(ends).flatten(0, 1).var(0, correction=0).mean()) or 1.0
        return np.asarray(((middle - mean).square() / spread).reshape(len(mean), -1).mean(1).numpy()), reading
    if middle.ndim < 2 or middle.shape[-1] < 2:
        raise TableError("one answer a row is no class", "--answers", "Read it as numbers")
    logs = [log_shares(each) for each in ends]
    together = _mixed([each.exp() for each in logs], shares)
    excess = (together * (_mixed(logs, shares) - log_shares(middle))).sum(-1)
    return np.asarray((excess.flatten(1).mean(1) if excess.ndim > 1 else excess).numpy()), reading


def _reading(answer: Tensor, samples: Samples) -> Answers:
    """Classes or numbers: by the targets where there are any, else by the shape; one answer a row is a number."""
    if samples.targets is not None:
        return "numbers" if samples.targets.is_floating_point() else "classes"
    return "classes" if answer.ndim > 1 and answer.shape[-1] > 1 else "numbers"


def _mixed(parts: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    return torch.stack([share * part for share, part in zip(shares, parts, strict=True)]).sum(0)


def _conflicts(computer: Computer, parents: Sequence[Mapping[str, np.ndarray]]) -> tuple[TensorAgreement, ...]:
    """The layers that agree least with the first network's, over all others."""
    found = [
        each
        for other in parents[1:]
        for each in agreement(computer.skeleton, parents[0], other)
        if each.directions is not None
    ]
    worst: dict[str, TensorAgreement] = {}
    for each in sorted(found, key=lambda one: one.directions or 0.0):
        worst.setdefault(each.slot, each)
    return tuple(list(worst.values())[:CONFLICTING])
