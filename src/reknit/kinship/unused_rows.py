"""Rows that were never trained: the one exact test that unit permutation and stream rotation together do not touch.

Tokens that no text of the training held (``[unused7]``, reserved ones) keep their drawn values, or move all alike: they
may change places in law, given all other rows. Let S be the rows of the tokens that were seen and U those of the unused
ones. Q = the orthogonal Procrustes solution of S_A Q ~ S_B looks at S alone, so the best matching of U_A Q with U_B is
uniform if A is independent of B, and its fixed points have the law of ``fixed_points``: p = 1/n! if all n are in place.

A launderer who knows of the test can redraw such rows for nothing. Without them there is no such test: a statistic that
is blind to a whole group of symmetries is constant where the null is drawn from that group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from reknit.errors import InputError
from reknit.kinship.fixed_points import FixedPoints, fixed_points
from reknit.solvers.procrustes import procrustes


def unused_rows(
    a: Float[np.ndarray, "rows d"],
    b: Float[np.ndarray, "rows d"],
    unused: Sequence[int],
    rng: np.random.Generator,
) -> FixedPoints:
    """Turn A's table onto B's by the rows that were seen, match the unused ones, count those in place.

    Args:
        a: a table with a row a token; the order of the columns does not matter.
        b: of the same shape.
        unused: numbers of the rows that were never trained; all others count as seen.
        rng: shuffles the labels.

    Raises:
        InputError: fewer than two rows are unused, one is not in the table, or none is left that was seen.
    """
    rows = sorted(set(unused))
    if len(rows) < 2 or rows[0] < 0 or rows[-1] >= len(a):
        raise InputError(
            f"{len(rows)} of the {len(a)} rows are named as unused", "unused", "Name two or more of the table's rows"
        )
    seen = np.setdiff1d(np.arange(len(a)), rows)
    if not len(seen):
        raise InputError("every row is named as unused", "unused", "Leave out those that were trained")
    centre_a, centre_b = a[seen].mean(0), b[seen].mean(0)
    turn = procrustes(a[seen] - centre_a, b[seen] - centre_b).matrix
    return fixed_points((a[rows] - centre_a) @ turn, b[rows] - centre_b, rng)
