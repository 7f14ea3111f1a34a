"""Soft permutations that can be differentiated: the entropic plan between marginals of ones, as a function of scores.

Source: Peña, Medeiros, Dubail, Aminbeidokhti, Granger, Pedersoli, "Re-basin via implicit Sinkhorn differentiation"
(CVPR 2023), arXiv 2212.12042; the derivative as in Eisenberger, Toker, Leal-Taixé, Bernard, Cremers, "A unified
framework for implicit Sinkhorn differentiation" (CVPR 2022), doi:10.1109/CVPR52688.2022.00059.

P maximises ``<S, P> - epsilon sum P log P`` among all P >= 0 with rows and columns of sum 1. There
``P = exp((S + x 1^T + 1 y^T) / epsilon)``, and the implicit function theorem gives, for G = dL/dP,

    dL/dS = P * (G - u 1^T - 1 v^T) / epsilon,   [[diag(P 1), P], [P^T, diag(P^T 1)]] (u, v) = ((P * G) 1, (P * G)^T 1):

the part of G that the marginals leave free. Nothing of the iteration is kept, so memory does not grow with it, and the
derivative is that of the optimum, not of a number of iterations.

Where we depart: the plan is found in float64, by sparse Newton steps where Sinkhorn's iteration is slow
(``sinkhorn_newton.py``), and the linear system is solved as there, because it is singular (a constant that u may gain
and v lose) and nearly falls apart when P is nearly hard.

Cost: that of the plan, and as many products with P as conjugate gradients take. Known flaws: runs on the CPU; once
differentiable; the gradient vanishes as P becomes hard.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from reknit.errors import InputError, ReknitError
from reknit.solvers.marginal_system import marginal_step
from reknit.solvers.sinkhorn import falling_epsilons
from reknit.solvers.sinkhorn_newton import entropic_transport_newton
from reknit.solvers.transport import require_positive

SPREAD = 20.0  # epsilons in the spread of the scores, from where on epsilon falls towards its end


def soft_permutation(scores: Tensor, *, epsilon: float, tolerance: float = 1e-9) -> Tensor:
    """The doubly stochastic P that maximises ``<S, P> - epsilon sum P log P``.

    As epsilon falls it becomes the permutation of the highest score, that of ``assignment.best_matching``, if unique.

    Args:
        scores: S, ``*batch x n x n``, finite; what is differentiated by.
        epsilon: positive, in the units of the scores.
        tolerance: of the marginals; see ``transport.Transport.residual``.

    Returns:
        P, of the shape, dtype and device of the scores; rows and columns sum to 1.

    Raises:
        InputError: the scores are not square or not finite.
        ReknitError: no plan within the tolerance was found.
        UsageError: epsilon is not positive.
    """
    require_positive(epsilon)
    if scores.ndim < 2 or scores.shape[-1] != scores.shape[-2]:
        raise InputError(
            f"scores of shape {tuple(scores.shape)} rate no permutation", "scores", "Give as many columns as rows"
        )
    if not torch.isfinite(scores).all():
        raise InputError("a score is infinite or not a number", "scores", "Give finite scores")
    found: Tensor = _SoftPermutation.apply(scores, epsilon, tolerance)  # type: ignore[no-untyped-call]
    return found


class _SoftPermutation(Function):
    """The plan forwards; backwards the implicit derivative."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, epsilon: float, tolerance: float) -> Tensor:
        """Plans of every matrix of the batch, kept in float64 for the way back."""
        wide = scores.detach().to("cpu", torch.float64).numpy()
        plans = np.empty_like(wide)
        for index in np.ndindex(*wide.shape[:-2]):
            plans[index] = _plan(wide[index], epsilon, tolerance)
        kept = torch.from_numpy(plans)
        ctx.save_for_backward(kept)
        ctx.epsilon = epsilon
        return kept.to(scores)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The derivative by the scores; none by the numbers beside them."""
        (kept,) = ctx.saved_tensors
        plans = kept.numpy()
        weights = gradient.detach().to("cpu", torch.float64).numpy()
        found = np.empty_like(plans)
        for index in np.ndindex(*plans.shape[:-2]):
            found[index] = _pulled_back(plans[index], weights[index]) / ctx.epsilon
        return torch.from_numpy(found).to(gradient), None, None


def _plan(scores: np.ndarray, epsilon: float, tolerance: float) -> np.ndarray:
    ones = np.ones(len(scores))
    far = scores.size > 0 and np.ptp(scores) > SPREAD * epsilon
    schedule = falling_epsilons(scores, epsilon) if far else ()
    found = entropic_transport_newton(-scores, ones, ones, epsilon=epsilon, schedule=schedule, tolerance=tolerance)
    if not found.converged:
        problem = f"the marginals of the best plan found are off by {found.residual:.1e}, of {tolerance:.1e} allowed"
        raise ReknitError(problem, "soft permutation", "Choose a larger epsilon or tolerance")
    return found.plan


def _pulled_back(plan: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """``P * (G - u 1^T - 1 v^T)``, rows and columns of which sum to zero."""
    weighted = plan * gradient
    rows, columns = weighted.sum(1), weighted.sum(0)
    step = marginal_step(plan, plan.sum(1), plan.sum(0), rows, columns, accuracy=1e-13)
    return np.asarray(plan * (gradient - step.rows[:, None] - step.columns))
