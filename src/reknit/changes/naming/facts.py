"""What one tensor says on its own: the grid it lies on, the float it went through."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from reknit.changes.naming.cast import narrowest
from reknit.changes.naming.grid import Grid, find_grid, on_any_grid
from reknit.containers.dtypes import float_step

HALVES = ("bfloat16", "float16")


@dataclass(frozen=True, eq=False)
class Facts:
    """A tensor and its marks.

    Attributes:
        numbers: in float64 or float32; of codes, what they stand for.
        cast: the narrow float that holds every number; empty if none does, or if the numbers could not tell.
        grid: the grid they lie on, if any.
        plain: whether any dtype and grid holds them: constants, whole numbers.
    """

    numbers: Float[np.ndarray, ...] = field(repr=False)
    cast: str
    grid: Grid | None
    plain: bool

    @property
    def half_step(self) -> Float[np.ndarray, ...]:
        """Half the distance to the next number that could have been stored."""
        return np.asarray(0.5 * float_step(self.numbers, self.cast or "float32"))


def facts_of(numbers: np.ndarray, dtype: str, grid: Grid | None = None) -> Facts:
    """The marks of a tensor.

    Args:
        numbers: any shape.
        dtype: that the file holds it in; a narrow float is believed whatever the numbers say.
        grid: known from stored codes.
    """
    stored = dtype if dtype in HALVES or dtype.startswith("float8") else ""
    if numbers.dtype.kind != "f" or not np.isfinite(numbers).all():
        return Facts(numbers, stored, grid, True)
    plain = on_any_grid(numbers)
    found = grid if grid is not None or plain or numbers.ndim < 2 else find_grid(numbers)
    return Facts(numbers, stored or ("" if plain else narrowest(numbers) or ""), found, plain)
