"""Where the units of a group lie on an axis: which unit stands at a position, and which positions a unit takes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from reknit.skeleton.skeleton import Member


def unit_at(member: Member, size: int, length: int) -> Int[np.ndarray, " length"]:
    """The unit at every position of an axis; -1 where the member does not reach.

    >>> unit_at(Member("w", 0, start=1, inner=2), size=2, length=6).tolist()
    [-1, 0, 0, 1, 1, -1]
    """
    step = size * member.inner + member.gap
    offset = np.arange(length) - member.start
    units = offset % step // member.inner
    inside = (offset >= 0) & (offset < member.outer * step) & (units < size)
    return np.where(inside, units, -1)


def positions_of(member: Member, size: int) -> Int[np.ndarray, "units repeats"]:
    """The positions that each unit takes on the axis, in rising order.

    >>> positions_of(Member("w", 0, outer=2), size=3).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    repeats = np.arange(member.outer)[:, None] * (size * member.inner + member.gap) + np.arange(member.inner)
    return np.asarray(member.start + np.arange(size)[:, None] * member.inner + repeats.reshape(1, -1), dtype=np.int64)
