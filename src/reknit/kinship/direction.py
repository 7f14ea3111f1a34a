"""Which of two related files came first: decided by changes that lose information, and by nothing else.

If every number of B is that of A rounded to a grid, cast to a narrower float or set to zero by a mask, and A holds
numbers that no such change leaves, then B can be made from A, or from what A keeps all of, and A was not made from B:
what was lost is not to be had back. Digits that someone adds to B on purpose forge it, and no weight can tell.

*A false friend.* Of a B on a coarse grid that was trained a little further every number still rounds to B's. Then the
numbers of A lie near the middles of the cells, and none beyond an edge only because none came so far. Rounding cuts at
the edges instead: numbers lie up to them, and none beyond. It is believed where ``AT_EDGES`` numbers lie in the outer
fifth of their cells: had they drifted there by a smooth law, a quarter as many would lie beyond (14 expected, none
seen: a chance of 10^-6).

What is not used, with the share of wrong answers measured on fine-tuned networks (docs/kinship.md): growth of norms,
kurtosis, the angle between the difference and the ends, ranks. Counters of training steps count one line of training
forward, but averaging of weights sets them back, so they suggest and do not decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from reknit.changes.naming.cast import cast_cells
from reknit.changes.naming.change import Change
from reknit.changes.naming.grid import find_grid
from reknit.changes.naming.losses import lost
from reknit.kinship.relation import Direction, short_names

ENOUGH = 64
"""Numbers that must take part before anything is decided."""
COUNTERS = ("num_batches_tracked", "global_step", "step")
AT_EDGES, OUTER, MOST_OUTER = 56, 0.4, 0.6
"""Numbers in the outer fifth of their cells that rounding is believed of, where that begins, in cells, and the largest
share of all numbers that may lie there: more have drifted by one length, as in a first step of Adam."""
MASKED = "some set to zero"
MASKS = ("by magnitude", "at random", "two of four")
"""Patterns of a mask that decide. Whole rows of zeros may be tokens that the parent had not learned yet."""


def direction(first: Path, second: Path, a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> Direction:
    """Which of two files that are related came first.

    Args:
        first: file of A.
        second: file of B.
        a: name -> numbers.
        b: under the same names, in the same basis.
    """
    (forth, forth_cut), (back, back_cut) = _losses(a, b), _losses(b, a)
    if forth and back:
        return Direction("cannot say", None, "each file has lost what the other still holds: neither is the parent")
    if (forth or back) and not (forth_cut or back_cut):
        return Direction("cannot say", None, "one may be the other rounded, or the other trained a little further")
    if forth or back:
        parent, child = (first, second) if forth else (second, first)
        kinds = sorted({words for words, _ in (forth or back)})
        count = len(forth or back)
        tensors = "1 tensor" if count == 1 else f"{count} tensors"
        names = dict(zip((first, second), short_names((first, second)), strict=True))
        reason = (
            f"in {tensors} every number of {names[child]} is that of {names[parent]}, {' and '.join(kinds)}; what was "
            f"lost so cannot be had back: {names[parent]} was not made from {names[child]}, unless someone added "
            "digits on purpose"
        )
        return Direction("decided", parent, reason)
    return _counted(first, second, a, b)


def _losses(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> tuple[list[tuple[str, int]], bool]:
    """How tensors of B are those of A with information lost, and how many numbers say so; and whether it is sure."""
    found = []
    places = []
    for name, x in a.items():
        y = b.get(name)
        if y is None or x.ndim < 2 or x.dtype.kind != "f" or y.dtype.kind != "f" or x.size < ENOUGH:
            continue
        change = lost(x, y)
        if change is None or (change.kind == "mask" and change.details["pattern"] not in MASKS):
            continue
        told = int(np.count_nonzero(x != y))
        if told >= ENOUGH:
            found.append((change.words if change.kind != "mask" else MASKED, told))
            places.append(_places(x, y, change))
    sure = any(words == MASKED for words, _ in found) or (bool(places) and _cut(np.concatenate(places)))
    return found, sure


def _places(first: np.ndarray, second: np.ndarray, change: Change) -> np.ndarray:
    """Where A's numbers lie in the cells of B's, from 0, the middle, to 1/2, the edge; of a mask nothing.

    The outermost cells have no outer edge and are left out, and so are numbers that nothing changed.
    """
    if change.kind == "mask":
        return np.zeros(0)
    if change.kind == "cast":
        cells = cast_cells(second, str(change.details["dtype"]), 1.0)
        inside = (cells > 0) & np.isfinite(cells)
    else:
        grid = find_grid(second)
        if grid is None:
            return np.zeros(0)
        cells, codes = grid.steps, grid.codes
        inside = (cells > 0) & (codes < codes.max()) & (codes > codes.min())
    moved = inside & (first != second)
    return np.asarray(np.abs(first[moved].astype(np.float64) - second[moved]) / cells[moved])


def _cut(places: np.ndarray) -> bool:
    """Whether numbers lie up to the edges of their cells, as rounding leaves them."""
    outer = int((places > OUTER).sum())
    return outer >= AT_EDGES and outer <= MOST_OUTER * len(places)


def _counted(first: Path, second: Path, a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> Direction:
    steps = [
        (int(a[name].reshape(-1)[0]), int(b[name].reshape(-1)[0]))
        for name in a
        if name in b and name.rpartition(".")[2] in COUNTERS and a[name].size == b[name].size == 1
    ]
    if steps and (all(x < y for x, y in steps) or all(x > y for x, y in steps)):
        x, y = steps[0]
        earlier = first if x < y else second
        reason = f"its counters of training steps stand at {min(x, y)}, those of the other at {max(x, y)}"
        return Direction("suggested", earlier, reason)
    return Direction("cannot say", None, "no change between them loses information")
