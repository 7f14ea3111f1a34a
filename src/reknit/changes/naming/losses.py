"""Changes that lose information, held exactly from one tensor to another: what is known of which came first.

    B == cast(A) on every number, and A holds numbers that no such cast leaves
    code(B) == round(A / step) on every number, and A is off the grid
    B == A wherever B is not zero, and A is not zero where B is

None of these can hold from B to A at the same time. One reading is left: A may be B trained a little further, with no
number out of the cell that rounds to B's (``kinship.direction`` looks where in their cells the numbers lie).
"""

from __future__ import annotations

import numpy as np

from reknit.changes.naming.cast import as_cast
from reknit.changes.naming.change import Change
from reknit.changes.naming.grid import as_rounding
from reknit.changes.naming.mask import as_mask


def lost(first: np.ndarray, second: np.ndarray) -> Change | None:
    """How B was made from A by a loss of information, if by one and exactly; else None.

    Args:
        first: A's tensor, already in B's basis and of its shape.
        second: B's tensor.
    """
    if first.shape != second.shape or np.array_equal(first, second):
        return None
    return as_rounding(first, second) or as_cast(first, second) or as_mask(first, second)
