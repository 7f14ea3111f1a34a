"""Entropic optimal transport between two marginals: Sinkhorn's iteration, in logarithms.

The plan P minimises ``<C, P> + epsilon KL(P | a b^T)`` among all P >= 0 with row sums a and column sums b, where
``KL(P | Q) = sum P log(P / Q) - P + Q``. It is ``P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon)`` for potentials f
and g, which are unique up to a constant that one gains and the other loses. As epsilon falls, P tends to an optimal
plan of the linear problem (with equal marginals of ones and n = m, to an assignment where that is unique).

Source: Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport" (NeurIPS 2013), arXiv 1306.0895; in
logarithms and with a falling epsilon as in Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized
transport problems" (2019), arXiv 1610.06519, section 3.

| paper | here |
|---|---|
| u, v (scalings) | taken into f and g ("absorbed") when an iteration in logarithms comes round, or beyond ``FAR`` |
| K (kernel) | the plan of the present f and g, so that it neither under- nor overflows however small epsilon is |

Cost: two products with the plan an iteration, and three passes of n m exponentials every ``SCALED`` of them. Known
flaws: linear convergence, the slower the smaller epsilon is beside the spread of the costs; ``sinkhorn_newton.py`` is
the way out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from reknit.errors import UsageError
from reknit.solvers.transport import Problem, Stage, Transport, checked, finished, log_sum, plan_of, require_positive

SCALED = 200  # iterations by scaling alone between two in logarithms
FAR = 1e20  # factors beyond which the plan is computed anew; entries that were left out as nothing are below 1e-260
FAINT = 1e-200  # sums at which scaling is not trusted


def entropic_transport(
    cost: Float[np.ndarray, "n m"],
    a: Float[np.ndarray, " n"] | None = None,
    b: Float[np.ndarray, " m"] | None = None,
    *,
    epsilon: float,
    schedule: Sequence[float] = (),
    tolerance: float = 1e-9,
    iterations: int = 10_000,
) -> Transport:
    """The plan between a and b that minimises ``<C, P> + epsilon KL(P | a b^T)``, by Sinkhorn's iteration.

    Use ``sinkhorn_newton.entropic_transport_newton`` where epsilon is small beside the spread of the costs.

    Args:
        cost: finite.
        a: row sums, not negative; None: uniform, with sum 1.
        b: column sums, likewise, with the same sum as ``a``.
        epsilon: positive, in the units of the costs.
        schedule: larger epsilons to begin with, each solved to a residual of 1e-2 only; see ``falling_epsilons``.
        tolerance: stop when the residual is not larger.
        iterations: at most, in every stage.

    Raises:
        InputError: what was given are no costs and marginals of one problem.
        UsageError: an epsilon is not positive.

    >>> found = entropic_transport(np.array([[0.0, 1.0], [1.0, 0.0]]), epsilon=0.1)
    >>> found.plan.round(4).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    problem = checked(cost, a, b)
    require_positive(epsilon, *schedule)
    inner, stages = problem.support(), list[Stage]()
    start: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]] | None = None
    for step in schedule:
        f, g, stage = scaled_potentials(inner, step, max(tolerance, 1e-2), iterations, start)
        start = f, g
        stages.append(stage)
    f, g, stage = scaled_potentials(inner, epsilon, tolerance, iterations, start)
    return finished(problem, f, g, epsilon, tolerance, (*stages, stage))


def falling_epsilons(cost: Float[np.ndarray, "n m"], epsilon: float, factor: float = 0.5) -> tuple[float, ...]:
    """Epsilons from the spread of the costs down to just above ``epsilon``, each ``factor`` of the one before.

    >>> falling_epsilons(np.array([[0.0, 8.0]]), 1.5)
    (8.0, 4.0, 2.0)
    """
    require_positive(epsilon)
    if not 0 < factor < 1:
        raise UsageError(f"a factor of {factor} does not make epsilon fall", "factor", "Choose one between 0 and 1")
    found, step = [], float(np.ptp(cost)) if cost.size else 0.0
    while step > epsilon:
        found.append(step)
        step *= factor
    return tuple(found)


def scaled_potentials(
    problem: Problem,
    epsilon: float,
    tolerance: float,
    iterations: int,
    start: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]] | None = None,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"], Stage]:
    """Potentials after Sinkhorn's iterations on a problem in which every row and column has mass; rows before columns.

    The residual costs nothing: after columns were set right, the next update of the rows tells what they lacked.
    Between two iterations in logarithms there are many that scale the rows and columns of the plan as it then is.
    """
    if not problem.cost.size:
        return np.zeros(len(problem.a)), np.zeros(len(problem.b)), Stage("sinkhorn", epsilon, 0, 0.0)
    kernel = problem.cost / -epsilon
    log_a, log_b = np.log(problem.a), np.log(problem.b)
    psi = np.zeros(len(problem.b)) if start is None else start[1] / epsilon
    phi = -log_sum(kernel + (psi + log_b), 1)
    done, residual = 0, np.inf
    while done < iterations:
        psi = -log_sum(kernel + (phi + log_a)[:, None], 0)
        better = -log_sum(kernel + (psi + log_b), 1)
        done += 1
        residual = float((problem.a * np.abs(np.expm1(np.minimum(phi - better, 700.0)))).sum()) / problem.mass
        if residual <= tolerance:
            break
        phi = better
        plan = plan_of(problem, phi * epsilon, psi * epsilon, epsilon)
        u, v, taken, left = _scaled(plan, problem, tolerance, min(SCALED, iterations - done))
        if taken:
            phi, psi, done, residual = phi + np.log(u), psi + np.log(v), done + taken, left
        if residual <= tolerance:
            break
    return phi * epsilon, psi * epsilon, Stage("sinkhorn", epsilon, done, residual)


def _scaled(
    plan: Float[np.ndarray, "n m"], problem: Problem, tolerance: float, rounds: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"], int, float]:
    """Factors of the rows and columns of a plan after some iterations; how many there were, and the residual.

    Fewer than ``rounds`` where the tolerance is reached, or it is wise to compute the plan anew.
    """
    u, v, residual = np.ones(len(problem.a)), np.ones(len(problem.b)), np.inf
    for taken in range(rounds):
        columns = u @ plan
        rows = plan @ (problem.b / np.maximum(columns, FAINT))
        if min(columns.min(), rows.min()) <= FAINT:
            return u, v, taken, residual
        v = problem.b / columns
        residual = float(np.abs(u * rows - problem.a).sum()) / problem.mass
        if residual <= tolerance:
            return u, v, taken + 1, residual
        u = problem.a / rows
        if max(u.max(), v.max(), 1 / u.min(), 1 / v.min()) > FAR:
            return u, v, taken + 1, residual
    return u, v, rounds, residual
