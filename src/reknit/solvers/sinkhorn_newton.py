"""Entropic optimal transport by Newton's method with a sparse Hessian, after a few of Sinkhorn's iterations.

Source: Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying, "Accelerating Sinkhorn algorithm with sparse
Newton iterations" (ICLR 2024), arXiv 2401.12253.

The scaled potentials phi = f / epsilon, psi = g / epsilon minimise the convex
``h(phi, psi) = sum P - <a, phi> - <b, psi>``; its gradient is what the marginals of P lack, its Hessian

    [[diag(P 1), P], [P^T, diag(P^T 1)]],

which is nearly sparse when epsilon is small, because P is.

| paper | here |
|---|---|
| eta | ``1 / epsilon`` |
| x, y | f, g |
| Lyapunov potential f(x, y) | ``-epsilon h``, up to a constant |
| N1 (Sinkhorn steps first) | ``WARM``, and again whenever Newton's steps become short |
| rho (share of entries that are kept) | ``MOST_KEPT`` bounds it |

Where we depart:

- *What is kept.* The paper keeps a fixed share of the largest entries. Here an entry is dropped when it is below
  ``min(a_i / m, b_j / n)`` times the present residual, so that the Hessian becomes exact as fast as the answer does.
  Where more than ``MOST_KEPT`` would stay, the largest are kept if they hold 99 % of the mass, else P as it is.
- *The linear system.* psi is eliminated exactly; where conjugate gradients take too long a Cholesky factor follows: see
  ``marginal_system.py``.
- *Which steps are taken.* Armijo's rule on h, or, near the end where h no longer resolves it, a halved residual. A step
  cut below ``SHORT`` is answered by Sinkhorn's iterations, which always descend: then the answer is Sinkhorn's.

Cost: one pass of n m exponentials for every step that is tried, as much as tens of Sinkhorn's iterations where these
only scale, and some tens to hundreds of products with the sparse P (``Stage.inner``).
Known flaws: P is held densely; of large epsilon P is not sparse, and Sinkhorn's iterations alone are faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from reknit.solvers.marginal_system import Columns, Rows, marginal_step
from reknit.solvers.sinkhorn import scaled_potentials
from reknit.solvers.transport import (
    Problem,
    Stage,
    Transport,
    checked,
    finished,
    marginal_residual,
    plan_of,
    require_positive,
)

WARM = 20
MOST_KEPT = 0.2
SHORT = 0.01
TRIES = 6


def entropic_transport_newton(
    cost: Float[np.ndarray, "n m"],
    a: Rows | None = None,
    b: Columns | None = None,
    *,
    epsilon: float,
    schedule: Sequence[float] = (),
    tolerance: float = 1e-9,
    iterations: int = 10_000,
) -> Transport:
    """``sinkhorn.entropic_transport``, its last digits by sparse Newton steps: same arguments, errors, plan.

    Args:
        cost: finite.
        a: row sums, not negative; None: uniform, with sum 1.
        b: column sums, likewise, with the same sum as ``a``.
        epsilon: positive, in the units of the costs.
        schedule: larger epsilons to begin with, each to a residual of 1e-2. Where costs spread over more than some
            thousand epsilons it is needed: Newton's steps are short far from the solution.
        tolerance: stop when the residual is not larger.
        iterations: of either kind together, at most, in every stage.

    >>> cost = np.array([[0.0, 1.0], [1.0, 0.5]])
    >>> found = entropic_transport_newton(cost, np.array([0.6, 0.4]), np.array([0.5, 0.5]), epsilon=0.02)
    >>> found.plan.round(6).tolist(), found.converged
    ([[0.5, 0.1], [0.0, 0.4]], True)
    """
    problem = checked(cost, a, b)
    require_positive(epsilon, *schedule)
    inner, stages = problem.support(), list[Stage]()
    start: tuple[Rows, Columns] | None = None
    for step in schedule:
        start, found = _both(inner, step, max(tolerance, 1e-2), iterations, start)
        stages.extend(found)
    (f, g), found = _both(inner, epsilon, tolerance, iterations, start)
    return finished(problem, f, g, epsilon, tolerance, (*stages, *found))


def _both(
    problem: Problem, epsilon: float, tolerance: float, iterations: int, start: tuple[Rows, Columns] | None
) -> tuple[tuple[Rows, Columns], list[Stage]]:
    """Sinkhorn's iterations and Newton's in turn, until the residual is small enough or none are left."""
    stages: list[Stage] = []
    while True:
        f, g, stage = scaled_potentials(problem, epsilon, tolerance, min(WARM, iterations), start)
        start, iterations = (f, g), iterations - stage.iterations
        stages.append(stage)
        if stage.residual <= tolerance or iterations <= 0:
            return start, stages
        f, g, stage = _newton(problem, f, g, epsilon, tolerance, iterations)
        start, iterations = (f, g), iterations - stage.iterations
        stages.append(stage)
        if stage.residual <= tolerance or iterations <= 0:
            return start, stages


class _Point(NamedTuple):
    """Scaled potentials, the plan there, h, and what the marginals lack."""

    phi: Rows
    psi: Columns
    plan: Float[np.ndarray, "n m"]
    value: float
    residual: float


def _newton(
    problem: Problem, f: Rows, g: Columns, epsilon: float, tolerance: float, iterations: int
) -> tuple[Rows, Columns, Stage]:
    """Newton steps until the residual is small enough or a step has to be cut short."""
    here = _point(problem, f / epsilon, g / epsilon, epsilon)
    done = inner = factors = 0
    while here.residual > tolerance and done < iterations:
        rows, columns = problem.a - here.plan.sum(1), problem.b - here.plan.sum(0)
        accuracy = min(1e-2, here.residual)
        step = marginal_step(_kept(here, problem), here.plan.sum(1), here.plan.sum(0), rows, columns, accuracy=accuracy)
        inner, factors = inner + step.conjugate_steps, factors + step.factored
        slope = -float(rows @ step.rows + columns @ step.columns)
        length, there = _searched(problem, here, step.rows, step.columns, slope, epsilon)
        done += 1
        if there is None:
            break
        here = there
        if length < SHORT:
            break
    return here.phi * epsilon, here.psi * epsilon, Stage("newton", epsilon, done, here.residual, inner, factors)


def _searched(
    problem: Problem, here: _Point, rows: Rows, columns: Columns, slope: float, epsilon: float
) -> tuple[float, _Point | None]:
    """The length of the step along (rows, columns) that is taken, and the point there; None: none of those tried."""
    length = 1.0
    for _ in range(TRIES):
        there = _point(problem, here.phi + length * rows, here.psi + length * columns, epsilon)
        lower = there.value <= here.value + 1e-4 * length * slope
        nearer = there.residual <= 0.5 * here.residual and there.value <= here.value + 1e-12 * abs(here.value)
        if lower or nearer:
            return length, there
        length /= 4
    return 0.0, None


def _point(problem: Problem, phi: Rows, psi: Columns, epsilon: float) -> _Point:
    plan = plan_of(problem, phi * epsilon, psi * epsilon, epsilon)
    value = float(plan.sum() - problem.a @ phi - problem.b @ psi)
    finite = np.isfinite(value)
    return _Point(phi, psi, plan, value if finite else np.inf, marginal_residual(plan, problem) if finite else np.inf)


def _kept(here: _Point, problem: Problem) -> Any:
    """P without its small entries, in compressed rows; P itself where it is dense."""
    n, m = here.plan.shape
    least = np.minimum.outer(problem.a / m, problem.b / n) * min(here.residual, 0.1)
    kept = here.plan >= least
    most = int(MOST_KEPT * here.plan.size)
    if np.count_nonzero(kept) > most:
        bound = (
            np.partition(here.plan, here.plan.size - 1 - most, axis=None)[here.plan.size - 1 - most] if most else 0.0
        )
        if here.plan[here.plan > bound].sum() < 0.99 * problem.mass:
            return here.plan
        kept = here.plan > bound
    from scipy.sparse import csr_array

    return csr_array(np.where(kept, here.plan, 0.0))
