"""A's numbers in the layout of B: axes in another order, ones left out, blocks cut out of a tensor or put together."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from reknit.changes.naming.facts import Facts
from reknit.changes.naming.grid import Grid
from reknit.changes.weights import Weight

ORDERS: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((0, 1), (1, 0)),
    3: ((0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)),
    4: ((0, 1, 2, 3), (2, 3, 1, 0), (3, 2, 0, 1)),
}
"""As frameworks keep matrices and kernels: outputs first, or last."""


@dataclass(frozen=True)
class View:
    """How a tensor of B is read off A.

    Attributes:
        parts: the weights of A, one behind the other along the first axis.
        axes: the order in which their axes are taken, of all parts together.
        rows: the stretch of the first axis that is taken; None: all.
        shape: of what comes out.
    """

    parts: tuple[Weight, ...]
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    rows: tuple[int, int] | None = None

    @property
    def words(self) -> str:
        """``transposed``, ``rows 0 to 383 of it``, ``3 tensors in one``; empty where nothing moves."""
        found = []
        if len(self.parts) > 1:
            found.append(f"{len(self.parts)} tensors in one")
        if self.rows is not None:
            found.append(f"rows {self.rows[0]} to {self.rows[1] - 1} of it")
        if self.axes != tuple(range(len(self.axes))):
            found.append("transposed")
        return ", ".join(found)

    def of(self, arrays: list[np.ndarray]) -> np.ndarray:
        """The numbers of the parts, as B has them."""
        whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, 0)
        if self.rows is not None:
            whole = whole[self.rows[0] : self.rows[1]]
        return np.asarray(whole.transpose(self.axes).reshape(self.shape))


def views_of(first: Weight, shape: tuple[int, ...]) -> tuple[View, ...]:
    """Every way to read a weight in a shape, as it stands first."""
    without = tuple(size for size in first.shape if size != 1)
    found = []
    for axes in ORDERS.get(len(first.shape), (tuple(range(len(first.shape))),)):
        turned = tuple(first.shape[k] for k in axes)
        if turned == shape or tuple(s for s in turned if s != 1) == tuple(s for s in shape if s != 1):
            found.append(View((first,), axes, shape))
    if not found and without == tuple(size for size in shape if size != 1):
        found.append(View((first,), tuple(range(len(first.shape))), shape))
    seen: dict[tuple[int, ...], View] = {}
    for each in found:
        seen.setdefault(tuple(k for k in each.axes if first.shape[k] != 1), each)
    return tuple(seen.values())


def turned_grid(grid: Grid | None, view: View) -> Grid | None:
    """The grid of A's codes, as B has them; None where parts were cut or joined."""
    if grid is None or len(view.parts) > 1 or view.rows is not None:
        return None
    steps, offsets, codes = (
        np.asarray(each).transpose(view.axes).reshape(view.shape) for each in (grid.steps, grid.offsets, grid.codes)
    )
    return replace(grid, steps=steps, offsets=offsets, codes=codes)


def squeezed(facts: Facts) -> Facts:
    """A tensor whose first axes have one place, without them: ``1 x 512 x 128`` is a matrix."""
    shape = facts.numbers.shape
    kept = tuple(itertools.dropwhile(lambda size: size == 1, shape)) or (1,)
    if kept == shape:
        return facts
    grid = facts.grid
    if grid is not None:
        grid = replace(
            grid, steps=grid.steps.reshape(kept), offsets=grid.offsets.reshape(kept), codes=grid.codes.reshape(kept)
        )
    return replace(facts, numbers=facts.numbers.reshape(kept), grid=grid)
