"""How far two networks lie apart as functions, on data: the distance of their answers, with intervals over rows.

    distance      E |f(x) - g(x)|^2, summed over the numbers of a row: what LAFTR estimates
    share         distance / (E |f - E f|^2 + E |g - E g|^2): 0 the same, 1 as unrelated answers of one mean would be
    same          how often both have the same largest answer, where answers are classes
    divergence    Jensen-Shannon divergence of the answered shares, in nats, 0 to log 2 (Lin 1991,
                  doi:10.1109/18.61115): unlike the distance it does not change when a number is added to all logits

Rows are what is drawn anew by the bootstrap; a row's positions go together. All are symmetric in the two networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from reknit.errors import InputError, TableError, UsageError
from reknit.match.computing import Computer
from reknit.match.judging import Interval, bootstrapped
from reknit.match.losses import log_shares
from reknit.match.samples import Samples

Reading = Literal["classes", "numbers"]
READINGS: tuple[Reading, ...] = ("classes", "numbers")
ASKED_TWICE = 16
ROUNDING = 1e-20
"""Share of the variances up to which a squared distance is rounding, in float64, and is 0."""


@dataclass(frozen=True)
class AnswersApart:
    """One tensor of answers of two networks.

    Attributes:
        name: ``answer``, or ``answer 2`` where a module answers several.
        distance: mean squared distance of a row; None for whole numbers.
        share: of it in both networks' variances; None where neither varies.
        same: share of positions with the same largest answer, or the same whole number; None where answers are numbers.
        divergence: of the answered shares; None likewise.
    """

    name: str
    distance: Interval | None
    share: float | None
    same: Interval | None
    divergence: Interval | None

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {key: value.as_json() if isinstance(value, Interval) else value for key, value in vars(self).items()}


def answers_apart(
    computer: Computer,
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
    samples: Samples,
    reading: str | None = None,
) -> tuple[AnswersApart, ...]:
    """The distance between two networks as functions, for every tensor that the module answers.

    Args:
        computer: runs the module.
        first: slot -> numbers.
        second: slot -> numbers.
        samples: real inputs.
        reading: ``classes`` or ``numbers``; None: by the targets, or else by the shape of each answer.

    Raises:
        UsageError: there is no such reading.
        TableError: answers are not row by row, or infinite in one network alone.
        InputError: the module answers the same inputs differently, or nothing.
    """
    if reading is not None and reading not in READINGS:
        raise UsageError(f"answers are not read as {reading!r}", "--answers", f"Choose one of {', '.join(READINGS)}")
    _check_repeatable(computer, first, samples)
    name = computer.like.name
    pairs = list(zip(*(computer.answers(net, samples, torch.float64) for net in (first, second)), strict=True))
    pairs = [(a, b) for a, b in pairs if a.numel()]
    if not pairs:
        raise InputError("it answers nothing that could be compared", name, "Return tensors")
    found = []
    for k, (a, b) in enumerate(pairs):
        if len(a) != len(samples) or a.shape != b.shape:
            problem = f"an answer has the shape {tuple(a.shape)} for {len(samples)} rows"
            raise TableError(problem, name, "Give a module that answers row by row")
        found.append(_apart(f"answer {k + 1}" if len(pairs) > 1 else "answer", a, b, _read(a, samples, reading), name))
    return tuple(found)


def _check_repeatable(computer: Computer, tensors: Mapping[str, np.ndarray], samples: Samples) -> None:
    """Whether the same inputs are answered in the same way.

    Raises:
        InputError: they are not.
    """
    few = samples.some(slice(ASKED_TWICE))
    twice = [computer.answers(tensors, few, torch.float64) for _ in range(2)]
    if not all(torch.allclose(a.double(), b.double(), rtol=1e-6, equal_nan=True) for a, b in zip(*twice, strict=True)):
        problem = "it answers the same inputs differently"
        raise InputError(problem, computer.like.name, "Switch off dropout and what else is drawn")


def _read(answer: Tensor, samples: Samples, reading: str | None) -> str:
    if reading is not None and answer.ndim > 1 and answer.shape[-1] > 1:
        return reading
    if answer.ndim < 2 or answer.shape[-1] < 2:
        return "numbers"
    return "numbers" if samples.targets is not None and samples.targets.is_floating_point() else "classes"


def _apart(name: str, a: Tensor, b: Tensor, reading: str, module: str) -> AnswersApart:
    if not a.is_floating_point():
        return AnswersApart(name, None, None, _over_rows((a == b).double()), None)
    known = a.isfinite()
    if not bool((known == b.isfinite()).all()) or not torch.equal(a[~known].nan_to_num(0.5), b[~known].nan_to_num(0.5)):
        raise TableError("an answer is infinite in one network alone", module, "Leave these rows out")
    flat = [torch.where(known, each, 0.0).flatten(1) if each.ndim > 1 else each[:, None] for each in (a, b)]
    squares = (flat[0] - flat[1]).square().sum(1)
    spread = sum(float((each - each.mean(0)).square().sum(1).mean()) for each in flat)
    squares = torch.where(squares > ROUNDING * spread, squares, 0.0)
    share = float(squares.mean()) / spread if spread > 0 else None
    if reading == "numbers":
        return AnswersApart(name, _over_rows(squares), share, None, None)
    same = (a.argmax(-1) == b.argmax(-1)).double()
    return AnswersApart(name, _over_rows(squares), share, _over_rows(same), _over_rows(_divergence(a, b)))


def _divergence(a: Tensor, b: Tensor) -> Tensor:
    """Of the shares answered to each class; logits of minus infinity are shares of 0."""
    first, second = log_shares(a), log_shares(b)
    middle = torch.logaddexp(first, second) - float(np.log(2))
    halves = [torch.where(p.isfinite(), p.exp() * (p - middle), 0.0).sum(-1) / 2 for p in (first, second)]
    return (halves[0] + halves[1]).clamp(min=0.0)


def _over_rows(values: Tensor) -> Interval:
    """The mean, positions of a row together, and its interval; NaN of one row."""
    by_row = (values.flatten(1).mean(1) if values.ndim > 1 else values).numpy()
    if len(by_row) < 2:
        return Interval(float(by_row.mean()), float("nan"), float("nan"))
    return bootstrapped(by_row[None])
