"""Before a merge: will it work? The barrier is foreseen from answers alone, and the layers that conflict are named.

*Foreseen barrier.* The loss that a merged network should have beyond its parents', from their answers (``excess``). No
label is needed, only inputs from where the network is to work. It is too low where all networks err together and are
sure of it. So ``should work`` keeps a margin that was learned on other networks (``foresight_margin``). Without inputs
nothing is foreseen: the weights tell which layers agree, not what that costs.

*Measured.* Where there are labels, the same excess loss is measured with them, and what is measured decides.

*Conflicts.* Layers whose leading singular directions still disagree most after alignment (``agreement``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from reknit.errors import TableError
from reknit.match.agreement import TensorAgreement, agreement
from reknit.match.computing import Computer
from reknit.match.excess import Answers, by_labels, expected
from reknit.match.foresight_margin import Outlook, learned_margin, outlook_of
from reknit.match.judging import Interval, bootstrapped
from reknit.match.samples import Samples

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
        measured: the same, measured with labels; None where there are none that may be used.
    """

    outlook: Outlook
    reason: str
    barrier: Interval | None
    conflicts: tuple[TensorAgreement, ...]
    measured: Interval | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "outlook": self.outlook,
            "reason": self.reason,
            "barrier": None if self.barrier is None else self.barrier.as_json(),
            "measured": None if self.measured is None else self.measured.as_json(),
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
    unusable: str = "",
) -> Preflight:
    """Look at a merged network before it is written.

    Args:
        computer: runs the module.
        merged: slot -> numbers.
        parents: the networks it was made from, in one basis.
        shares: of each parent.
        samples: inputs, and labels where they are known; noise foresees nothing.
        bearable: excess loss up to which a merge is said to work.
        answers: how the first tensor of answers is read; None: by the targets, or else by its shape.
        unusable: why nothing is measured with the labels, in words; empty: it is, where there are any.
    """
    conflicts = _conflicts(computer, parents)
    if samples.drawn:
        reason = "without inputs from where it is to work nothing is foreseen; give them with --data"
        return Preflight("cannot say", reason, None, conflicts)
    if len(samples) < FEWEST:
        reason = f"{len(samples)} rows foresee nothing; give at least {FEWEST}"
        return Preflight("cannot say", reason, None, conflicts)
    middle, ends, reading = _answered(computer, merged, parents, samples, answers)
    barrier = bootstrapped(expected(middle, ends, shares, reading)[None])
    margin = learned_margin()
    told = f"on {len(samples)} rows with answers read as {reading}"
    outlook, foreseen = _judged("the foreseen barrier", barrier, bearable, margin.foreseen, told)
    if samples.targets is None:
        return Preflight(outlook, foreseen, barrier, conflicts)
    excess = np.empty(0)
    if not unusable:
        try:
            excess = by_labels(middle, ends, shares, reading, samples.targets)
            unusable = "" if len(excess) >= FEWEST else f"{len(excess)} rows have a label, fewer than {FEWEST}"
        except TableError as error:
            unusable = error.problem
    if unusable:
        return Preflight(outlook, f"{foreseen}; not measured with the targets: {unusable}", barrier, conflicts)
    measured = bootstrapped(excess[None])
    told = f"on {len(excess)} rows with their targets, which the mending has not seen; without them {_said(barrier)} "
    told += "is foreseen"
    outlook, reason = _judged("the measured excess loss", measured, bearable, margin.measured, told)
    return Preflight(outlook, reason, barrier, conflicts, measured)


def _judged(name: str, barrier: Interval, bearable: float, factor: float, told: str) -> tuple[Outlook, str]:
    """The outlook of an interval, and the sentence for it."""
    outlook = outlook_of(barrier, bearable, factor)
    where = {"should work": "below", "should not work": "above", "cannot say": "about"}[outlook]
    if outlook == "cannot say" and barrier.high <= bearable:
        where = f"below {bearable:g}, but not by the factor {factor:g} that other networks ask for"
    elif outlook == "should work":
        where = f"below {bearable:g} by the factor {factor:g} or more"
    else:
        where = f"{where} {bearable:g}"
    return outlook, f"{name}, {_said(barrier)}, is {where}, {told}"


def _said(barrier: Interval) -> str:
    return f"{barrier.value:.3g} ({barrier.low:.3g} to {barrier.high:.3g})"


def foreseen_excess(
    computer: Computer,
    merged: Mapping[str, np.ndarray],
    parents: Sequence[Mapping[str, np.ndarray]],
    shares: Sequence[float],
    samples: Samples,
    answers: Answers | None = None,
) -> tuple[Float[np.ndarray, " rows"], Answers]:
    """Of every row, by how much the merged network's loss should exceed its parents', and how answers were read.

    Raises:
        TableError: one answer a row cannot be read as classes.
    """
    middle, ends, reading = _answered(computer, merged, parents, samples, answers)
    return expected(middle, ends, shares, reading), reading


def _answered(
    computer: Computer,
    merged: Mapping[str, np.ndarray],
    parents: Sequence[Mapping[str, np.ndarray]],
    samples: Samples,
    answers: Answers | None,
) -> tuple[Tensor, list[Tensor], Answers]:
    """What the merged network and its parents answer, and how that is read."""
    middle = computer.answers(merged, samples)[0].double()
    ends = [computer.answers(parent, samples)[0].double() for parent in parents]
    return middle, ends, answers or _reading(ends[0], samples)


def _reading(answer: Tensor, samples: Samples) -> Answers:
    """Classes or numbers: by the targets where there are any, else by the shape; one answer a row is a number."""
    if samples.targets is not None:
        return "numbers" if samples.targets.is_floating_point() else "classes"
    return "classes" if answer.ndim > 1 and answer.shape[-1] > 1 else "numbers"


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
