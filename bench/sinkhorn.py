"""Entropic transport: Sinkhorn's iteration against sparse Newton steps (arXiv 2401.12253), one plan, two ways."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from bench.common import options, show
from reknit.solvers import sinkhorn
from reknit.solvers.sinkhorn import entropic_transport, falling_epsilons
from reknit.solvers.sinkhorn_newton import entropic_transport_newton
from reknit.solvers.transport import Transport

EPSILONS = (1 / 20, 1 / 100, 1 / 500, 1 / 1200)
"""Of the largest cost; the paper's experiments are at 1/1200."""
AGREE = 1e-3
"""How far apart plans may be, as a share of the mass, that both have converged: about residual times condition."""


class Costs(NamedTuple):
    name: str
    cost: np.ndarray
    a: np.ndarray
    b: np.ndarray


def problems(most: int) -> Iterator[Costs]:
    """Random assignment costs, and squared distances between the pixels of two digits; the largest cost is 1."""
    for size in (100, 300, 500):
        rng = np.random.default_rng(size)
        uniform = np.full(size, 1 / size)
        yield Costs(f"random {size}", rng.random((size, size)), uniform, uniform)
    images, labels = load_digits(return_X_y=True)
    pair = [images[labels == digit][0].reshape(8, 8) for digit in (3, 8)]
    for times in (2, 3):
        side = 8 * times
        if side**2 > most:
            continue
        a, b = (np.kron(image, np.ones((times, times))).ravel() + 0.16 for image in pair)  # 1 % of white everywhere
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
        squares = np.square(grid[:, None] - grid).sum(-1).astype(np.float64)
        yield Costs(f"digits {side}x{side}", squares / squares.max(), a / a.sum(), b / b.sum())


def timed(solve: Callable[..., Transport], costs: Costs, **settings: object) -> tuple[Transport, float]:
    began = time.perf_counter()
    found = solve(costs.cost, costs.a, costs.b, **settings)
    return found, time.perf_counter() - began


def compared(costs: Costs, epsilon: float, falling: bool, tolerance: float, most: int) -> tuple[object, ...]:
    """Both on one problem: that they agree first, then how long they took."""
    schedule = falling_epsilons(costs.cost, epsilon) if falling else ()
    settings = {"epsilon": epsilon, "schedule": schedule, "tolerance": tolerance, "iterations": most}
    plain, plain_s = timed(entropic_transport, costs, **settings)
    newton, newton_s = timed(entropic_transport_newton, costs, **settings)
    apart = float(np.abs(plain.plan - newton.plan).sum())
    if plain.converged and newton.converged:
        assert apart < AGREE, f"{costs.name}, epsilon {epsilon}: the plans are {apart} apart"
    ours = newton.iterations("sinkhorn") + newton.iterations("newton")
    theirs = plain.iterations("sinkhorn")
    return (
        costs.name,
        f"1/{round(1 / epsilon)}",
        "falling" if falling else "cold",
        f"{theirs}{'' if plain.converged else ' (not there)'}",
        f"{newton.iterations('sinkhorn')} + {newton.iterations('newton')}{'' if newton.converged else ' (not there)'}",
        sum(stage.inner for stage in newton.stages),
        sum(stage.factors for stage in newton.stages),
        apart if plain.converged else None,
        theirs / ours,
        plain_s / newton_s,
        (newton_s / ours) / (plain_s / theirs),
        plain_s,
        newton_s,
        newton.converged,
    )


def main(argv: list[str]) -> None:
    """All problems, epsilons and starts; asserts that Newton converged wherever Sinkhorn did, and to the same plan."""
    chosen = options("sinkhorn", argv, tolerance=1e-8, iterations=3000, largest=600, scaled=sinkhorn.SCALED)
    sinkhorn.SCALED = chosen.scaled  # 0: every iteration in logarithms, as in the paper
    np.linalg.cholesky(np.eye(300))  # libraries are loaded before anything is timed
    entropic_transport_newton(np.random.default_rng(0).random((20, 20)), epsilon=0.01)
    rows = [
        compared(costs, epsilon, falling, chosen.tolerance, chosen.iterations)
        for costs in problems(chosen.largest)
        for epsilon in EPSILONS
        for falling in (False, True)
    ]
    show(
        f"marginals to {chosen.tolerance:g} of the mass, at most {chosen.iterations} iterations a stage, "
        f"{chosen.scaled} by scaling between two in logarithms; last columns: Sinkhorn's beside Newton's",
        (
            *("costs", "epsilon", "start", "Sinkhorn", "S + Newton", "CG", "factors", "plans apart"),
            *("iterations x", "seconds x", "s per iteration /", "Sinkhorn s", "Newton s"),
        ),
        [row[:-1] for row in rows],
    )
    there = [row for row in rows if "not there" not in str(row[3])]
    stopped = [row for row in rows if "not there" in str(row[3])]
    for name, part in (("where Sinkhorn got there", there), ("where it did not", stopped)):
        if part:
            typical = [statistics.median(float(str(row[k])) for row in part) for k in (8, 9, 10)]
            reached = sum(bool(row[-1]) for row in part)
            print(
                f"  {name} ({len(part)} of {len(rows)}): Newton got there on {reached}; medians: {typical[0]:.1f} times"
            )
            print(f"    fewer iterations, {typical[1]:.1f} times as fast, an iteration {typical[2]:.2f} times as long")
    assert all(row[-1] for row in there), "Newton did not converge where Sinkhorn did"
