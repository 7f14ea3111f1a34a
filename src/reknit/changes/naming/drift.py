"""A dense drift: numbers moved a little each, as by training, and units still recognised in place.

*Statistic.* ``|B - A| / |A|``, and the number F of units whose best match in the other network is the unit of the same
place. *Null.* Between networks that were initialised apart the matching is uniform, so that ``P(F >= k) <= 1 / k!``
whatever they were trained on; ``FIXED`` gives 2e-9. This says shared initialisation or descent, not descent. Rows of
classes or tokens are not exchangeable, so both axes have to agree where both can be asked.
"""

from __future__ import annotations

import numpy as np

from reknit.changes.naming.change import Change
from reknit.changes.naming.permutation import match_units

FIXED = 12
NUMBERS = 8
"""Of a unit, without which it cannot be recognised."""


def fixed_units(first: np.ndarray, second: np.ndarray) -> tuple[int, int] | None:
    """Units still in place, and of how many, on the axis where fewer are; None where no axis can be asked."""
    found = []
    for axis in range(min(first.ndim, 2)):
        a, b = (np.moveaxis(each, axis, 0) for each in (first, second))
        if len(a) < FIXED or a[0].size < NUMBERS:
            continue
        matched = match_units(a, b)
        if matched is not None:
            found.append((len(a) - matched.moved, len(a)))
    return min(found) if found else None


def changed_rows(first: np.ndarray, second: np.ndarray) -> int:
    """How many rows differ in any number."""
    return int((first != second).reshape(len(first), -1).any(1).sum())


def drift_change(size: float, *, mostly: int = 0, rows: tuple[int, int] | None = None) -> Change:
    """The change in words.

    Args:
        size: beside the tensor, by Frobenius norms.
        mostly: the rank of what is most of it; 0: of no low one.
        rows: how many rows differ, and of how many; None: all.
    """
    part = f", most of it of rank {mostly}" if mostly else ""
    if rows is not None and rows[0] < rows[1]:
        part += f", in {rows[0]} of {rows[1]} rows, the others identical"
    return Change("drift", f"dense drift of {100 * size:.2g} %{part}", False, {"size": size, "mostly_rank": mostly})
