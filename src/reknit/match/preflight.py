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
from torch import Tensor

from reknit.match.agreement import TensorAgreement, agreement
from reknit.match.computing import Computer
from reknit.match.judging import Interval, bootstrapped
from reknit.match.losses import log_shares
from reknit.match.samples import Samples

Outlook = Literal["should work", "should not work", "cannot say"]
BEARABLE = 0.1
"""Excess loss, in nats or in shares of the answers' variance, up to which a merge is said to work."""
CONFLICTING = 5


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
) -> Preflight:
    """Look at a merged network before it is written.

    Args:
        computer: runs the module.
        merged: slot -> numbers.
        parents: the networks it was made from, in one basis.
        shares: of each parent.
        samples: inputs; noise foresees nothing.
        bearable: excess loss up to which a merge is said to work.
    """
    conflicts = _conflicts(computer, parents)
    if samples.drawn:
        reason = "without inputs from where it is to work nothing is foreseen; give them with --data"
        return Preflight("cannot say", reason, None, conflicts)
    excess = foreseen_excess(computer, merged, parents, shares, samples)
    barrier = bootstrapped(excess[None])
    said = f"{barrier.value:.3g} ({barrier.low:.3g} to {barrier.high:.3g})"
    if barrier.high <= bearable:
        return Preflight("should work", f"the foreseen barrier, {said}, is below {bearable:g}", barrier, conflicts)
    if barrier.low > bearable:
        return Preflight("should not work", f"the foreseen barrier, {said}, is above {bearable:g}", barrier, conflicts)
    return Preflight("cannot say", f"the foreseen barrier, {said}, is about {bearable:g}", barrier, conflicts)


def foreseen_excess(
    computer: Computer,
    merged: Mapping[str, np.ndarray],
    parents: Sequence[Mapping[str, np.ndarray]],
    shares: Sequence[float],
    samples: Samples,
) -> np.ndarray:
    """Of every row, by how much the merged network's loss should exceed its parents'.

    Nats for class logits (answers of two axes or more, read over the last); where the targets at hand are numbers, the
    squared distance in units of the answers' variance.
    """
    middle = computer.answers(merged, samples)[0].double()
    ends = [computer.answers(parent, samples)[0].double() for parent in parents]
    if samples.targets is not None and samples.targets.is_floating_point():
        mean = _mixed(ends, shares)
        spread = float(mean.var(0, correction=0).mean()) or 1.0
        return np.asarray(((middle - mean).square() / spread).flatten(1).mean(1).numpy())
    logs = [log_shares(each) for each in ends]
    together = _mixed([each.exp() for each in logs], shares)
    excess = (together * (_mixed(logs, shares) - log_shares(middle))).sum(-1)
    return np.asarray((excess.flatten(1).mean(1) if excess.ndim > 1 else excess).numpy())


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
