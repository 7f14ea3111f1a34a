"""How wrong answers are: cross-entropy and accuracy for classes, squared error for numbers, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reknit.errors import TableError

FORM = "Give a class for every answer, or numbers in the shape of the answer"


@dataclass(frozen=True, eq=False)
class RowLosses:
    """Of every row, its mean over positions.

    Attributes:
        loss: cross-entropy in nats, or squared error.
        right: share of positions whose largest answer is the target; None where targets are numbers.
    """

    loss: Float[Tensor, " rows"]
    right: Float[Tensor, " rows"] | None


def row_losses(answer: Float[Tensor, "rows ..."], targets: Tensor) -> RowLosses:
    """Losses of answers: logits, or shares that sum to one, over the last axis (or axis 1, if only that fits).

    Args:
        answer: of a module.
        targets: whole numbers, a class for each answer (-100 counts for nothing), or numbers in the answer's shape.

    Raises:
        TableError: the shapes do not fit, or a class does not exist.

    >>> row_losses(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).loss.item()
    0.6931471824645996
    """
    if targets.is_floating_point():
        if targets.shape != answer.shape:
            shapes = f"{tuple(targets.shape)}, the answers {tuple(answer.shape)}"
            raise TableError(f"they have the shape {shapes}", "targets", FORM)
        return RowLosses((answer - targets).square().flatten(1).mean(1), None)
    if answer.ndim < 2:
        raise TableError("the module answers one number a row, and no classes", "targets", "Give numbers")
    if targets.shape != answer.shape[:-1]:
        if targets.shape != answer[:, 0].shape:
            shapes = f"{tuple(targets.shape)}, the answers {tuple(answer.shape)}"
            raise TableError(f"they have the shape {shapes}", "targets", FORM)
        answer = answer.movedim(1, -1)
    classes = answer.shape[-1]
    if bool(((targets >= classes) | ((targets < 0) & (targets != -100))).any()):
        raise TableError(f"a class is not among the {classes} that are answered", "targets", FORM)
    counted = targets != -100
    logs = log_shares(answer)
    each = -logs.gather(-1, targets.clamp(min=0).long()[..., None])[..., 0]
    right = ((answer.argmax(-1) == targets) & ~answer.isnan().any(-1)).float()
    count = counted.flatten(1).sum(1).clamp(min=1) if counted.ndim > 1 else counted.float().clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        kept = torch.where(counted, values, 0.0)
        return (kept.flatten(1).sum(1) if kept.ndim > 1 else kept) / count

    return RowLosses(mean(each), mean(right))


def labelled(targets: Tensor) -> Bool[Tensor, " rows"]:
    """Which rows have a label: of the others ``row_losses`` says 0."""
    return (targets != -100).reshape(len(targets), -1).any(1) | targets.is_floating_point()


def log_shares(answer: Float[Tensor, "... classes"]) -> Float[Tensor, "... classes"]:
    """Logarithms of what is answered to each class: of logits, or of shares that sum to one already."""
    shares = bool((answer >= 0).all()) and bool(((answer.sum(-1) - 1).abs() < 1e-3).all())
    return answer.clamp(min=1e-12).log() if shares else answer.log_softmax(-1)
