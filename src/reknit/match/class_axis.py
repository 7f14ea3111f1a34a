"""Along which axis an answer's classes lie: convolutions answer them on axis 1, other layers on the last one.

Told by the module, not by the numbers: the last layer that it uses says how many classes there are, and on which axis
it writes them. A mask of classes read along the width of the picture would foresee the barrier of something else.
"""

from __future__ import annotations

from torch import Tensor

from reknit.skeleton.skeleton import Skeleton


def classes_last(skeleton: Skeleton, answer: Tensor, targets: Tensor | None = None) -> Tensor:
    """An answer, rows first, with its classes along the last axis.

    Args:
        skeleton: of the module that gave the answer.
        answer: rows x ...; of numbers that are no classes it only changes the order.
        targets: whole numbers tell the axis where they fit along one alone; None: they are not known.
    """
    if answer.ndim < 3 or (targets is not None and targets.is_floating_point()):
        return answer
    fits = None if targets is None else (targets.shape == answer.shape[:-1], targets.shape == answer[:, 0].shape)
    if fits is not None and fits != (True, True):
        return answer.movedim(1, -1) if fits[1] else answer
    return answer.movedim(1, -1) if _written_by_convolution(skeleton, answer) else answer


def _written_by_convolution(skeleton: Skeleton, answer: Tensor) -> bool:
    last = skeleton.uses[-1] if skeleton.uses else None
    if last is None or not last.operation.startswith("conv") or "weight" not in last.slots:
        return False
    return skeleton[last.slots["weight"]].shape[0] == answer.shape[1]
