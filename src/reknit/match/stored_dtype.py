"""Numbers as a file's dtype can hold them: in half precision a variance of 70,000 is infinite."""

from __future__ import annotations

import numpy as np


def stored_as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The same numbers in another dtype; what is too large for it is the largest it has.

    >>> stored_as(np.array([1e5, -1e5, 2.0]), np.dtype(np.float16)).tolist()
    [65504.0, -65504.0, 2.0]
    """
    if dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        values = np.clip(values, -most, most)
    return np.asarray(values).astype(dtype)
