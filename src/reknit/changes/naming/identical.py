"""Identical: every number equal, whatever the container, name, dtype or order of axes."""

from __future__ import annotations

import numpy as np

from reknit.changes.naming.change import Change


def identical_change(numbers: int) -> Change:
    """The change in words."""
    return Change("identical", "identical", True, {"numbers": numbers})


def equal(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two tensors hold the same numbers in one shape; NaN equals NaN."""
    if first.shape != second.shape:
        return False
    return bool(np.array_equal(first, second, equal_nan=first.dtype.kind in "fc" and second.dtype.kind in "fc"))
