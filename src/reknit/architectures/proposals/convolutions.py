"""The kernels of a pile by what they read and write."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from reknit.architectures.proposals.chains import Edge
from reknit.architectures.shape_pile import Pile, kernels


@dataclass(frozen=True)
class Convolutions:
    """The kernels of a pile as (outputs, inputs, size), all with equally many axes and square."""

    number: Counter[Edge]
    dimensions: int


def convolutions_of(pile: Pile) -> Convolutions | None:
    """The kernels of a pile; None where they are not those of one net."""
    own = kernels(pile)
    axes = {len(shape) - 2 for shape in own}
    if len(axes) != 1 or not axes <= {1, 2} or any(len(set(shape[2:])) != 1 or shape[2] % 2 == 0 for shape in own):
        return None
    return Convolutions(Counter({shape[:3]: number for shape, number in own.items()}), axes.pop())  # type: ignore[misc]
