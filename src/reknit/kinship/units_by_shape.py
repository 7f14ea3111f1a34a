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

from collections.abc import Mapping

import numpy as np

from reknit.kinship.relation import Void
from reknit.kinship.unit_tables import UnitTable, balanced
from reknit.kinship.voids import TABLE, from_name, same_units_twice, units_sorted, written_table

State = Mapping[str, np.ndarray]
OUTPUT = "may be the network's output"
INPUT = "may be the network's input, or grouped channels"
UNKNOWN = "the network's {} cannot be told from shapes; a skeleton (--like) tells"


def tables(a: State, b: State) -> tuple[tuple[UnitTable, ...], tuple[Void, ...]]:
    """The axes that may be tested, of tensors that both networks have in one shape.

    Args:
        a: name -> tensor, its units along the first axis.
        b: likewise, under the same names.
    """
    shapes = {name: x.shape for name, x in a.items() if x.ndim > 1 and name in b and b[name].shape == x.shape}
    known = {name: from_name(name) for name in shapes}
    unread = {name for name in shapes if not _is_read(name, shapes)}
    looked_up = {name for name, reason in known.items() if reason == TABLE}
    unwritten = {name for name in shapes if not _is_written(name, shapes)} - looked_up
    found: list[UnitTable] = []
    voids: list[Void] = []
    for name in shapes:
        wrong = _wrong_numbers(a[name]) or _wrong_numbers(b[name])
        rows = known[name] or wrong or (OUTPUT if name in unread else "" if unread else UNKNOWN.format("output"))
        columns = wrong
        if not columns and name not in looked_up:
            columns = INPUT if name in unwritten else "" if unwritten or looked_up else UNKNOWN.format("input")
        _add(found, voids, f"rows of {name}", rows, name, 0, (a, b))
        _add(found, voids, f"columns of {name}", columns, name, 1, (a, b), matched=name in looked_up)
    return tuple(found), tuple(voids)


def _is_read(name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether another tensor has as many inputs as this one has units; those of a kernel may be flattened."""
    size = shapes[name][0]
    kernel = len(shapes[name]) > 2
    return any(
        other != name and (shape[1] == size or (kernel and len(shape) == 2 and shape[1] % size == 0))
        for other, shape in shapes.items()
    )


def _is_written(name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether another tensor has as many units as this one has inputs."""
    return any(other != name and shape[0] == shapes[name][1] for other, shape in shapes.items())


def _wrong_numbers(tensor: np.ndarray) -> str:
    return written_table(tensor) or same_units_twice(tensor) if tensor.ndim == 2 else ""


def _add(
    found: list[UnitTable],
    voids: list[Void],
    where: str,
    reason: str,
    name: str,
    axis: int,
    states: tuple[State, State],
    *,
    matched: bool = False,
) -> None:
    """One axis of one tensor, as a table or as a void."""
    first, second = (_along(state[name], axis) for state in states)
    mark = ("norm of the weights", np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    reason = reason or ("fewer than three units" if len(first) < 3 else units_sorted([mark]))
    if reason:
        voids.append(Void(where, reason))
        return
    both = (balanced(first), balanced(second)) if axis == 0 or matched else None
    grams = ((first, second),)
    found.append(UnitTable(where, len(first), both, grams if axis == 0 else (), grams if axis == 1 else (), (mark,)))


def _along(tensor: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(np.asarray(tensor, dtype=np.float64), axis, 0).reshape(tensor.shape[axis], -1)
