"""Axes in another order: kernels and matrices as other frameworks keep them.

Keras keeps a kernel as positions x inputs x outputs and a matrix as inputs x outputs; ONNX keeps matrices either way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Turned:
    """Which tensors are turned.

    Attributes:
        kernels: whether tensors of three axes or more keep their positions first.
        matrices: whether tensors of two axes keep their inputs first.
    """

    kernels: bool = False
    matrices: bool = False

    def shape(self, shape: Shape) -> Shape:
        """A shape as the skeleton has it."""
        if len(shape) > 2 and self.kernels:
            return (shape[-1], shape[-2], *shape[:-2])
        return shape[::-1] if len(shape) == 2 and self.matrices else shape

    def array(self, tensor: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
        """A tensor as the skeleton has it."""
        if tensor.ndim > 2 and self.kernels:
            return np.moveaxis(tensor, (-1, -2), (0, 1))
        return tensor.T if tensor.ndim == 2 and self.matrices else tensor


def turned(shapes: Sequence[Shape], wanted: Sequence[Shape], copies: Sequence[Shape] = ()) -> Turned:
    """The way of keeping tensors under which a pile has exactly the shapes that are wanted; as they are, if none has.

    Where none has, one in which nothing is over but some of the copies that there may be.

    >>> turned([(11, 4, 32), (32,)], [(32, 4, 11), (32,)])
    Turned(kernels=True, matrices=False)
    """
    aim, spare = Counter(wanted), Counter(copies)
    drafts = (Turned(), Turned(kernels=True), Turned(matrices=True), Turned(kernels=True, matrices=True))
    exact = (draft for draft in drafts if Counter(map(draft.shape, shapes)) == aim)
    roomy = (draft for draft in drafts if aim <= Counter(map(draft.shape, shapes)) <= aim + spare)
    return next(exact, None) or next(roomy, Turned())
