"""By how much a merged network's loss exceeds its parents', row by row: as their answers let expect, and by labels.

If the parents are calibrated, the right answer y to x is drawn from what they say together, p(y|x) = sum_k c_k
p_k(y|x), and the loss of the merged network q exceeds theirs by

    sum_y p(y|x) (sum_k c_k log p_k(y|x) - log q(y|x))

in expectation over y. For answers that are numbers it is the squared distance of the merged answer from the mean of the
parents', in units of the variance of what these answer. A row's value is its mean over positions, so an interval over
rows counts positions of one row as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reknit.errors import TableError
from reknit.match.losses import log_shares, row_losses

Answers = Literal["classes", "numbers"]


def expected(
    middle: Tensor, ends: Sequence[Tensor], shares: Sequence[float], reading: Answers
) -> Float[np.ndarray, " rows"]:
    """Excess loss that is to be expected if the right answers are drawn from what the parents say together.

    Args:
        middle: what the merged network answers; classes are along the last axis.
        ends: what each parent answers.
        shares: of each parent.
        reading: nats where answers are classes, shares of their variance where they are numbers.

    Raises:
        TableError: one answer a row cannot be read as classes.
    """
    if reading == "numbers":
        squared = (middle - _mixed(ends, shares)).square() / _variance(ends)
        return np.asarray(squared.reshape(len(squared), -1).mean(1).numpy())
    if middle.ndim < 2 or middle.shape[-1] < 2:
        raise TableError("one answer a row is no class", "--answers", "Read it as numbers")
    logs = [log_shares(each) for each in ends]
    together = _mixed([each.exp() for each in logs], shares)
    excess = (together * (_mixed(logs, shares) - log_shares(middle))).sum(-1)
    return np.asarray((excess.flatten(1).mean(1) if excess.ndim > 1 else excess).numpy())


def by_labels(
    middle: Tensor, ends: Sequence[Tensor], shares: Sequence[float], reading: Answers, targets: Tensor
) -> Float[np.ndarray, " labelled"]:
    """Loss of the merged network less the mean loss of its parents, of the rows that have a label.

    Args:
        middle: what the merged network answers.
        ends: what each parent answers.
        shares: of each parent.
        reading: nats where answers are classes, shares of their variance where they are numbers.
        targets: as ``losses.row_losses`` takes them; rows whose classes all are -100 have no label.

    Raises:
        TableError: the targets do not fit the answers, or how these are read.
    """
    if targets.is_floating_point() != (reading == "numbers"):
        problem = f"they are {'numbers' if targets.is_floating_point() else 'classes'}, the answers read as {reading}"
        raise TableError(problem, "targets", "Change --answers")
    loss = [row_losses(each, targets).loss.double() for each in (middle, *ends)]
    excess = loss[0] - _mixed(loss[1:], shares)
    if reading == "numbers":
        return np.asarray((excess / _variance(ends)).numpy())
    return np.asarray(excess[(targets != -100).reshape(len(targets), -1).any(1)].numpy())


def _variance(ends: Sequence[Tensor]) -> float:
    return float(torch.stack(list(ends)).flatten(0, 1).var(0, correction=0).mean()) or 1.0


def _mixed(parts: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    return torch.stack([share * part for share, part in zip(shares, parts, strict=True)]).sum(0)
