"""Piles that hold a tied tensor under both of its keys: a checkpoint of GPT-2 with ``wte`` and ``lm_head``.

The skeleton has one slot for both. A copy of equal bits is dropped, and that is said; where the two differ they are not
one tensor, and the pile is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from reknit.containers.dtypes import is_float
from reknit.errors import PileError
from reknit.skeleton.skeleton import Skeleton, Slot
from reknit.wiring.copies import Sets, equal_sets

Kind = tuple[tuple[int, ...], bool]


def tied_copies(
    skeleton: Skeleton,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, str],
    array: Callable[[str], np.ndarray],
    where: str,
) -> dict[str, str]:
    """Tensors to leave out, each with the equal one that stays.

    Only where a shape has more tensors than slots and some slot of it is tied are any numbers read.

    Args:
        skeleton: what is to be filled.
        shapes: of the tensors, by name, as the skeleton has them.
        dtypes: of the tensors, by name.
        array: the numbers of a tensor, by name.
        where: the pile, for the sentence of an error.

    Raises:
        PileError: what would be the copies differ, or it cannot be told which of several equal ones are the copies.
    """
    slots: dict[Kind, list[Slot]] = defaultdict(list)
    for slot in skeleton.slots:
        slots[slot.shape, is_float(slot.dtype)].append(slot)
    names: dict[Kind, list[str]] = defaultdict(list)
    for name, shape in shapes.items():
        names[shape, is_float(dtypes[name])].append(name)
    dropped: dict[str, str] = {}
    for kind, given in names.items():
        tied = [slot for slot in slots.get(kind, ()) if slot.aliases]
        surplus = len(given) - len(slots.get(kind, ()))
        if tied and 0 < surplus <= sum(len(slot.aliases) for slot in tied):
            dropped |= _copies(equal_sets(given, array), surplus, tied, len(given), where)
    return dropped


def _copies(same: Sets, surplus: int, tied: Sequence[Slot], given: int, where: str) -> dict[str, str]:
    keys = " and ".join(repr(key) for key in (tied[0].key, *tied[0].aliases))
    spare = sum(len(names) - 1 for names in same)
    if spare < surplus:
        found = "no two are equal" if not same else f"only {spare + len(same)} are equal to another"
        problem = f"{keys} are one tensor in this network, but of the {given} tensors of that shape {found}"
        raise PileError(problem, where, "Leave out what does not belong, or give a skeleton that does not tie them")
    if spare > surplus and len(same) > 1:
        problem = (
            f"{keys} are one tensor in this network, and of {len(same)} sets of equal tensors any may be its copies"
        )
        raise PileError(problem, where, "Leave the copy out")
    pairs = [(name, first) for first, *others in same for name in others]
    return dict(pairs[len(pairs) - surplus :])


def note(name: str, kept: str) -> str:
    """What is said of a copy that was left out."""
    return f"{name} holds the same bits as {kept}; the network keeps one tensor for both, so it was left out"
