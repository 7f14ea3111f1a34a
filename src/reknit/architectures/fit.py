"""Whether the tensors of a pile are exactly those of a config: every tensor has a slot and every slot a tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations

from reknit.architectures.configs.slots import Shape, Slot
from reknit.architectures.registry import Config
from reknit.architectures.shape_pile import Pile, pile_of

OUTPUTS_FIRST, INPUTS_FIRST = "outputs x inputs", "inputs x outputs"


@dataclass(frozen=True)
class Fit:
    """An exact fit.

    Attributes:
        slots: those that are filled.
        extras: the names of the extras that the pile holds.
        layouts: how the matrices of the linear layers may be kept, of ``outputs x inputs`` and ``inputs x outputs``;
            both where shapes do not tell, none where some are kept one way and some the other.
    """

    slots: tuple[Slot, ...]
    extras: tuple[str, ...]
    layouts: tuple[str, ...]


def fit(config: Config, shapes: Sequence[Shape], pile: Pile) -> Fit | None:
    """The fit of a config, or None.

    Args:
        config: any.
        shapes: of the tensors.
        pile: the same as a multiset.
    """
    needed, extras = config.slots()
    if len(needed) > len(shapes):
        return None
    for names in chain.from_iterable(combinations(extras, number) for number in range(len(extras) + 1)):
        slots = [*needed, *(slot for name in names for slot in extras[name])]
        if len(slots) == len(shapes) and pile_of(slot.shape for slot in slots) == pile:
            return Fit(tuple(slots), names, _layouts(slots, Counter(shapes)))
    return None


def _layouts(slots: Sequence[Slot], shapes: Counter[Shape]) -> tuple[str, ...]:
    as_kept = {
        OUTPUTS_FIRST: (slot.shape for slot in slots),
        INPUTS_FIRST: (slot.shape[::-1] if slot.kind == "matrix" else slot.shape for slot in slots),
    }
    return tuple(layout for layout, kept in as_kept.items() if Counter(kept) == shapes)
