"""A skeleton and a pile: which tensors could go where, by shape alone; and what does not fit, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from reknit.containers.dtypes import is_float
from reknit.errors import PileError
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.pools import Pool

Shape = tuple[int, ...]


def match_shapes(
    skeleton: Skeleton, shapes: Mapping[str, Shape], dtypes: Mapping[str, str], where: str
) -> tuple[Pool, ...]:
    """One pool for every shape, in the order of the skeleton; whole numbers and real ones are kept apart.

    Slots that no operation uses, such as the counters of BatchNorms, may be without tensors; they are in no pool then.

    Args:
        skeleton: what is to be filled.
        shapes: of the tensors, by name.
        dtypes: of the tensors, by name.
        where: the pile, for the sentence of an error.

    Raises:
        PileError: some shape has more slots than tensors, or more tensors than slots; it names them.
    """
    slots: dict[tuple[Shape, bool], list[str]] = defaultdict(list)
    for slot in skeleton.slots:
        slots[slot.shape, is_float(slot.dtype)].append(slot.key)
    names: dict[tuple[Shape, bool], list[str]] = defaultdict(list)
    for name, shape in shapes.items():
        names[shape, is_float(dtypes[name])].append(name)
    for kind in (*slots, *names):
        wanted, given = len(slots.get(kind, ())), len(names.get(kind, ()))
        if wanted == given or (not given and without_effect(skeleton, slots[kind])):
            continue
        size = " x ".join(map(str, kind[0])) or "no axes"
        example = slots[kind][0] if wanted else names[kind][0]
        side = f"such a slot is {example!r}" if wanted else f"such a tensor is {example!r}"
        raise PileError(
            f"{skeleton.name} has {wanted} slots of shape {size} and the pile {given} tensors; {side}",
            where,
            "Give a skeleton that has exactly these tensors, or leave foreign tensors out",
        )
    return tuple(Pool(tuple(slots[kind]), tuple(names[kind])) for kind in slots if kind in names)


def without_effect(skeleton: Skeleton, keys: Sequence[str]) -> bool:
    """Whether these slots are counters and their like: kept, not trained, and used by no operation."""
    used = {key for use in skeleton.uses for key in use.slots.values()}
    return all(skeleton[key].is_buffer and key not in used for key in keys)
