"""The linear system of a transport plan: which potentials answer to a change of the marginals.

    [[diag(P 1), P], [P^T, diag(P^T 1)]] (x, y) = (rows, columns)

is the Newton system of entropic transport (``sinkhorn_newton.py``) and that of its implicit derivative
(``soft_permutation.py``). It is positive semidefinite; its kernel is the constant that x may gain and y lose, and one
more for every part that P falls apart into.

y is eliminated exactly, which leaves ``diag(P 1) - P diag(P^T 1)^-1 P^T``: half the size, and half the steps of
conjugate gradients. These are preconditioned by the diagonal, and the kernel does them no harm. They take long where P
is a chain of strong links with weak ones between, as nearly hard plans are. Where ``FEW_STEPS`` do not do and there are
at most ``DIRECT`` rows, a dense Cholesky factor is cheaper than more of them.

Cost: two products with P a step; of the factor n^2 m + n^3 / 3 flops at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

Rows = Float[np.ndarray, " n"]
Columns = Float[np.ndarray, " m"]

DIRECT = 1500
FEW_STEPS, MANY_STEPS = 100, 500  # of conjugate gradients: where a factor can follow, and where not


class MarginalStep(NamedTuple):
    """Potentials that answer to given changes of the marginals, and how they were found."""

    rows: Rows
    columns: Columns
    conjugate_steps: int
    factored: bool


def marginal_step(
    plan: Any, row_sums: Rows, column_sums: Columns, rows: Rows, columns: Columns, *, accuracy: float
) -> MarginalStep:
    """Solve ``[[diag(row_sums), plan], [plan^T, diag(column_sums)]] (x, y) = (rows, columns)``, y eliminated.

    Args:
        plan: dense or in compressed rows.
        row_sums: positive; not less than those of ``plan``.
        column_sums: likewise.
        rows: the right side, of the rows.
        columns: likewise.
        accuracy: of the remainder, beside the right side.
    """
    turned = plan.T.tocsr() if hasattr(plan, "tocsr") else plan.T

    def schur(x: Rows) -> Rows:
        return np.asarray(row_sums * x - plan @ ((turned @ x) / column_sums))

    right = rows - plan @ (columns / column_sums)
    goal, steps = accuracy * float(np.abs(right).sum()), FEW_STEPS if len(right) <= DIRECT else MANY_STEPS
    x, taken = conjugate_gradients(schur, right, row_sums, goal=goal, steps=steps)
    remainder = float(np.abs(right - schur(x)).sum())
    other = _factored(plan, row_sums, column_sums, right) if remainder > 2 * goal and len(right) <= DIRECT else None
    factored = False
    if other is not None and float(np.abs(right - schur(other)).sum()) < remainder:
        x, factored = other, True
    return MarginalStep(x, (columns - turned @ x) / column_sums, taken, factored)


def _factored(plan: Any, row_sums: Rows, column_sums: Columns, right: Rows) -> Rows | None:
    """The system with y eliminated, by a Cholesky factor; None where rounding has left it indefinite.

    Its kernel, the constant vector, is lifted by a matrix of rank one, which does not change answers to what sums to 0.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    product = (plan / column_sums) @ plan.T
    dense = product.toarray() if hasattr(product, "toarray") else product
    lifted = np.outer(row_sums, row_sums / row_sums.sum()) - dense
    lifted[np.diag_indices_from(lifted)] += row_sums * (1 + 1e-15)
    try:
        return np.asarray(cho_solve(cho_factor(lifted, overwrite_a=True), right))
    except LinAlgError:
        return None


def conjugate_gradients(
    product: Callable[[Rows], Rows], right: Rows, diagonal: Rows, *, goal: float, steps: int
) -> tuple[Rows, int]:
    """Solve with a positive semidefinite operator whose range holds ``right``, preconditioned by a positive diagonal.

    Until the absolute remainders sum to ``goal`` or less; stops early where a direction has no curvature left.
    """
    x, remainder = np.zeros_like(right), right.copy()
    shaped = remainder / diagonal
    direction = shaped.copy()
    weight = float(remainder @ shaped)
    taken = 0
    while taken < steps and np.abs(remainder).sum() > goal:
        image = product(direction)
        curvature = float(direction @ image)
        if curvature <= 1e-15 * float(direction @ (diagonal * direction)):
            break
        length = weight / curvature
        x += length * direction
        remainder -= length * image
        shaped = remainder / diagonal
        weight, before = float(remainder @ shaped), weight
        direction = shaped + (weight / before) * direction
        taken += 1
    return x, taken
