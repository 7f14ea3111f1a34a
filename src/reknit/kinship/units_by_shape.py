"""Which axes may be units where no skeleton is given: read off names and shapes, with stated assumptions.

The first axis of a matrix or kernel is taken for its units and the second for its inputs; of tables that are looked up,
told by their names, the second axis for units. Left out are

- rows that no other tensor reads: they may be the network's output; and all rows, if no tensor is left out so, because
  then the output hides among the others;
- columns that are no other tensor's units: they may be its input; likewise all of them, if there is no such tensor and
  no table that is looked up;
- rows that lie in heads or gates by their names, written tables, square matrices whose diagonal stands out.

Nothing is known of which tensors share units, so tests of different tensors depend on each other, and only averages of
e-values and bounds for any dependence may combine them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from reknit.kinship.relation import Void
from reknit.kinship.unit_tables import Both, UnitTable, balanced
from reknit.kinship.voids import (
    TABLE,
    from_name,
    in_sequence,
    near_identity,
    same_units_twice,
    units_sorted,
    written_table,
)

State = Mapping[str, np.ndarray]
OUTPUT = "may be the network's output"
INPUT = "may be the network's input, or grouped channels"
UNKNOWN = "the network's {} cannot be told from shapes; a skeleton (--like) tells"


def tables(a: State, b: State) -> Iterator[UnitTable | Void]:
    """The axes that may be tested, of tensors that both networks have in one shape, and those that may not.

    Args:
        a: name -> tensor, its units along the first axis.
        b: likewise, under the same names.
    """
    shapes = {name: x.shape for name, x in a.items() if x.ndim > 1 and name in b and b[name].shape == x.shape}
    known = {name: from_name(name) for name in shapes}
    unread = {name for name in shapes if not is_read(name, shapes)}
    looked_up = {name for name, reason in known.items() if reason == TABLE}
    unwritten = {name for name in shapes if not is_written(name, shapes)} - looked_up
    for name in shapes:
        wrong = _wrong_numbers(a[name]) or _wrong_numbers(b[name])
        rows = known[name] or wrong or (OUTPUT if name in unread else "" if unread else UNKNOWN.format("output"))
        columns = wrong
        if not columns and name not in looked_up:
            columns = INPUT if name in unwritten else "" if unwritten or looked_up else UNKNOWN.format("input")
        yield _axis(f"rows of {name}", rows, (a[name], b[name]), 0)
        yield _axis(f"columns of {name}", columns, (a[name], b[name]), 1, matched=name in looked_up)


def is_read(name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether another tensor has as many inputs as this one has units; those of a kernel may be flattened."""
    size = shapes[name][0]
    kernel = len(shapes[name]) > 2
    return any(
        other != name and (shape[1] == size or (kernel and len(shape) == 2 and shape[1] % size == 0))
        for other, shape in shapes.items()
    )


def is_written(name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether another tensor has as many units as this one has inputs."""
    return any(other != name and shape[0] == shapes[name][1] for other, shape in shapes.items())


def _wrong_numbers(tensor: np.ndarray) -> str:
    return (written_table(tensor) or same_units_twice(tensor) if tensor.ndim == 2 else "") or near_identity(tensor)


def _axis(where: str, reason: str, tensors: Both, axis: int, *, matched: bool = False) -> UnitTable | Void:
    """One axis of one tensor, as a table or as a void."""
    if reason:
        return Void(where, reason)
    first, second = (_along(tensor, axis) for tensor in tensors)
    mark = ("norm of the weights", np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    reason = "fewer than three units" if len(first) < 3 else units_sorted([mark])
    reason = reason or (in_sequence(first) and in_sequence(second))
    if reason:
        return Void(where, reason)
    both = (balanced(first), balanced(second)) if axis == 0 or matched else None
    grams = ((first, second),)
    return UnitTable(where, len(first), both, grams if axis == 0 else (), grams if axis == 1 else (), (mark,))


def _along(tensor: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(np.asarray(tensor, dtype=np.float64), axis, 0).reshape(tensor.shape[axis], -1)
