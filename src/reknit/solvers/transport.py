"""A problem of entropic transport, checked, and its result: what both ways to a plan share.

For the mathematics see ``sinkhorn.py``; here are the marginals, the plan that belongs to potentials, and what it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from reknit.errors import InputError, UsageError

NOTHING = -600.0  # below, exponentials count for nothing; those that are subnormal would take 10 times as long
MASSES_DIFFER = 1e-9  # relative: marginals whose sums differ by more have no plan between them


class Stage(NamedTuple):
    """One part of the way to a plan.

    Attributes:
        method: ``sinkhorn`` or ``newton``.
        epsilon: the weight of the entropy in this part.
        iterations: passes over the whole matrix.
        residual: what the marginals lacked at its end; see ``Transport``.
        inner: of Newton, the steps of conjugate gradients, all iterations together.
        factors: of Newton, how many linear systems took a Cholesky factor.
    """

    method: str
    epsilon: float
    iterations: int
    residual: float
    inner: int = 0
    factors: int = 0


@dataclass(frozen=True)
class Transport:
    """A plan of entropic transport, and how near it came.

    Attributes:
        plan: P, in the units of the marginals.
        row_potential: f, in the units of the costs; also of rows without mass.
        column_potential: g, likewise.
        epsilon: the weight of the entropy, in the units of the costs.
        cost: ``<C, P>``, without the entropy.
        residual: ``(|P 1 - a|_1 + |P^T 1 - b|_1) / mass`` of this very plan.
        converged: whether the residual is within the tolerance that was asked for, and what exponents are rounded by.
        stages: the way there, in order.
    """

    plan: Float[np.ndarray, "n m"]
    row_potential: Float[np.ndarray, " n"]
    column_potential: Float[np.ndarray, " m"]
    epsilon: float
    cost: float
    residual: float
    converged: bool
    stages: tuple[Stage, ...]

    def iterations(self, method: str) -> int:
        """How many passes of ``sinkhorn`` or of ``newton`` it took, over all stages."""
        return sum(stage.iterations for stage in self.stages if stage.method == method)


class Problem(NamedTuple):
    """Checked costs and marginals; ``rows`` and ``columns`` tell which have mass."""

    cost: Float[np.ndarray, "n m"]
    a: Float[np.ndarray, " n"]
    b: Float[np.ndarray, " m"]
    rows: Bool[np.ndarray, " n"]
    columns: Bool[np.ndarray, " m"]

    @property
    def mass(self) -> float:
        """The sum of either marginal."""
        return float(self.a.sum())

    def support(self) -> Problem:
        """The same problem where there is mass."""
        rows, columns = self.rows, self.columns
        cost = self.cost[np.ix_(rows, columns)]
        return Problem(cost, self.a[rows], self.b[columns], rows[rows], columns[columns])


def finished(
    problem: Problem,
    f: Float[np.ndarray, " rows"],
    g: Float[np.ndarray, " columns"],
    epsilon: float,
    tolerance: float,
    stages: Sequence[Stage],
) -> Transport:
    """The result for potentials of the rows and columns with mass; the others get theirs from these."""
    inner = problem.support()
    plan = np.zeros_like(problem.cost)
    plan[np.ix_(problem.rows, problem.columns)] = plan_of(inner, f, g, epsilon)
    row, column = np.zeros(len(problem.a)), np.zeros(len(problem.b))
    row[problem.rows], column[problem.columns] = f, g
    if inner.cost.size:
        idle_rows, idle_columns = ~problem.rows, ~problem.columns
        from_columns = (g - problem.cost[np.ix_(idle_rows, problem.columns)]) / epsilon + np.log(inner.b)
        from_rows = (f[:, None] - problem.cost[np.ix_(problem.rows, idle_columns)]) / epsilon + np.log(inner.a)[:, None]
        row[idle_rows], column[idle_columns] = -epsilon * log_sum(from_columns, 1), -epsilon * log_sum(from_rows, 0)
    residual = marginal_residual(plan, problem)
    cost = float((problem.cost * plan).sum())
    rounding = 1e-15 * (4 + float(np.abs(problem.cost).max(initial=0.0)) / epsilon)  # of exponents, so of every mass
    return Transport(plan, row, column, epsilon, cost, residual, residual <= tolerance + rounding, tuple(stages))


def plan_of(
    problem: Problem, f: Float[np.ndarray, " n"], g: Float[np.ndarray, " m"], epsilon: float
) -> Float[np.ndarray, "n m"]:
    """``a_i b_j exp((f_i + g_j - C_ij) / epsilon)``; infinite where that overflows."""
    exponent: Float[np.ndarray, "n m"] = (f[:, None] + g - problem.cost) / epsilon
    exponent += np.log(problem.a)[:, None]
    exponent += np.log(problem.b)
    exponent[exponent < NOTHING] = -np.inf
    with np.errstate(over="ignore"):
        np.exp(exponent, out=exponent)
    return exponent


def marginal_residual(plan: Float[np.ndarray, "n m"], problem: Problem) -> float:
    """``(|P 1 - a|_1 + |P^T 1 - b|_1) / mass``; 0 of no mass."""
    lacking = np.abs(plan.sum(1) - problem.a).sum() + np.abs(plan.sum(0) - problem.b).sum()
    return float(lacking / problem.mass) if problem.mass else 0.0


def checked(
    cost: Float[np.ndarray, "n m"], a: Float[np.ndarray, " n"] | None, b: Float[np.ndarray, " m"] | None
) -> Problem:
    """Costs and marginals in float64, or why they are none."""
    wide = np.asarray(cost, dtype=np.float64)
    if wide.ndim != 2:
        raise InputError(f"costs have {wide.ndim} axes, not two", "cost", "Give one row per source")
    if not np.isfinite(wide).all():
        raise InputError("a cost is infinite or not a number", "cost", "Give finite costs")
    first, second = (_marginal(given, size, name) for given, size, name in zip((a, b), wide.shape, "ab", strict=True))
    if abs(first.sum() - second.sum()) > MASSES_DIFFER * max(first.sum(), second.sum()):
        problem = f"the marginals have masses {first.sum():.6g} and {second.sum():.6g}"
        raise InputError(problem, "a and b", "Scale them to the same sum")
    if first.sum() > 0:
        second = second * (first.sum() / second.sum())
    return Problem(wide, first, second, first > 0, second > 0)


def _marginal(given: Float[np.ndarray, " n"] | None, size: int, name: str) -> Float[np.ndarray, " n"]:
    if given is None:
        return np.full(size, 1.0 / max(size, 1))
    found = np.asarray(given, dtype=np.float64)
    if found.shape != (size,):
        raise InputError(f"a marginal of shape {found.shape} for {size} of them", name, "Give one mass for each")
    if not np.isfinite(found).all() or (found < 0).any():
        raise InputError("a mass is negative, infinite or not a number", name, "Give masses of zero or more")
    return found


def require_positive(*epsilons: float) -> None:
    """Refuse an epsilon that is not positive and finite."""
    for epsilon in epsilons:
        if not 0 < epsilon < np.inf:
            raise UsageError(f"an epsilon of {epsilon} is no weight of the entropy", "epsilon", "Choose a positive one")


def log_sum(exponents: Float[np.ndarray, "n m"], axis: int) -> Float[np.ndarray, " rest"]:
    """log sum exp along one axis, which is not empty; the argument is used up."""
    top = exponents.max(axis, keepdims=True)
    exponents -= top
    np.maximum(exponents, NOTHING, out=exponents)
    np.exp(exponents, out=exponents)
    return np.asarray(np.log(exponents.sum(axis)) + np.squeeze(top, axis))
