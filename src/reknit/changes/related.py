"""What was found of a pair of tensors, and A's numbers as a skeleton moves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from reknit.changes.bases import Basis
from reknit.changes.naming.cells import Fit
from reknit.changes.naming.change import Change
from reknit.changes.naming.scale import SLACK

Order = Int[np.ndarray, " units"]


@dataclass(frozen=True, eq=False)
class Moved:
    """A in another basis, by a skeleton.

    Attributes:
        numbers: the tensor.
        change: what was done.
        off: relative error of the numbers, by Frobenius norms; 0 where units were only moved.
    """

    numbers: Float[np.ndarray, ...] = field(repr=False)
    change: Change
    off: float = 0.0


@dataclass(frozen=True, eq=False)
class Related:
    """What was found of one pair.

    Attributes:
        changes: in their order; empty where it is not known yet.
        explained: whether every number is accounted for.
        related: whether units are recognised; None where there are too few to ask.
        left: what is not accounted for, relative.
        bases: of the first two axes, where found.
    """

    changes: tuple[Change, ...]
    explained: bool
    related: bool | None
    left: float
    bases: tuple[Basis, ...] = field(default=(), repr=False)


def related_by(
    change: Sequence[Change],
    fit: Fit,
    shape: tuple[int, ...],
    layer: str,
    orders: Sequence[Order] = (),
    *,
    related: bool | None,
) -> Related:
    """What an explanation of A, moved, says of the pair.

    Args:
        change: how A was moved.
        fit: the explanation.
        shape: of B.
        layer: the name that weight and bias share.
        orders: of the axes, where units moved.
        related: whether units are recognised.
    """
    names = tuple(each for each in (*change, *fit.changes) if not (change and each.kind == "identical"))
    bases = []
    for axis in range(min(2, len(shape))):
        order = orders[axis] if orders else np.arange(shape[axis])
        factors, slack = None, 0.0
        if fit.factors is not None:
            factors = (fit.factors.rows, fit.factors.columns)[axis]
            slack = SLACK if all(each.exact for each in fit.changes if each.kind == "scale") else 0.05
        bases.append(Basis(order, factors, slack, layer))
    return Related(names, fit.explained, related, fit.left, tuple(bases))
