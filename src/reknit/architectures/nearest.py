"""What would fit a pile that no built-in architecture fits, if one tensor were there or one shape or two were not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from reknit.architectures.configs.slots import Shape
from reknit.architectures.infer import infer, spell_shape


@dataclass(frozen=True)
class Nearest:
    """A built-in architecture that has nearly these tensors.

    Attributes:
        like: what ``--like`` is told to get it.
        differs: in words, what is missing and what is left over.
    """

    like: str
    differs: str


def nearest(shapes: Sequence[Shape], dtypes: Sequence[str] | None = None) -> Nearest | None:
    """What would fit if a tensor were not missing, or if one shape or two were left away; None if nothing would.

    >>> nearest([(512, 784), (512,), (10, 512), (10,), (7, 7, 7)]).differs
    'left over: 1 of 7 x 7 x 7'
    """
    own = [tuple(shape) for shape in shapes]
    names = list(dtypes) if dtypes is not None else ["float32"] * len(own)
    kinds = sorted(set(own))
    number = Counter(own)

    def without(left: tuple[Shape, ...]) -> tuple[list[Shape], list[str]]:
        kept = [(shape, name) for shape, name in zip(own, names, strict=True) if shape not in left]
        return [shape for shape, _ in kept], [name for _, name in kept]

    edits: list[tuple[int, str, tuple[list[Shape], list[str]]]] = [
        (1, f"missing: 1 of {spell_shape(shape)}", ([*own, shape], [*names, "float32"])) for shape in kinds
    ]
    for many in (1, 2):
        for left in combinations(kinds, many):
            spelled = " and ".join(f"{number[shape]} of {spell_shape(shape)}" for shape in left)
            edits.append((sum(number[shape] for shape in left), f"left over: {spelled}", without(left)))
    for _, differs, (edited, edited_names) in sorted(edits, key=lambda edit: edit[0]):
        found = infer(edited, edited_names if dtypes is not None else None)
        if found:
            return Nearest(found[0].like, differs)
    return None
