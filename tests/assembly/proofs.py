"""What the tests of the proof compare with: every move one by one, in float64 on all rows, in a plain loop."""

from __future__ import annotations

import numpy as np

from reknit.assembly.floor import measure_floor
from reknit.assembly.moves import all_moves
from reknit.assembly.problem import mean_square


def setting(stack, x, y, arrangement, steps):
    """Errors and floor of an arrangement, as ``judge`` prepares them."""
    answers = stack.to(np.float64).forward(x.astype(np.float64), arrangement)
    return y.astype(np.float64) - answers, measure_floor(stack, x, y.astype(np.float64), arrangement, answers, steps)


def noisy(y, deviation, seed=0):
    return y.astype(np.float64) + deviation * np.random.default_rng(seed).standard_normal(y.shape)


def scaled_down(x):
    """What each row counts for: a row beyond three times the median norm is scaled down to that."""
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    most = 3 * np.median(norms)
    return np.array([1.0 if norm <= most else most / norm for norm in norms])[:, None]


def sigma2_of(x, error, floor):
    weight = scaled_down(x)
    common = mean_square(weight * floor.draws) if len(floor.draws) else 0.0
    return max(mean_square(weight * error) - common, floor.white) + 2 * floor.rounding**2


def reference(stack, x, error, arrangement, floor):
    """z, pull in its standard errors, and change of every move, by the formulas of the docstring of proof.py."""
    wide, weight, sigma2 = stack.to(np.float64), scaled_down(x), sigma2_of(x, error, floor)
    own = wide.forward(x.astype(np.float64), arrangement)
    found = {}
    for move in all_moves(len(arrangement)):
        delta = weight * (wide.forward(x.astype(np.float64), move.apply(arrangement)) - own)
        change = mean_square(weight * error - delta) - mean_square(weight * error)
        size = float((delta * delta).sum())
        if size == 0:
            found[move] = 0.0, 0.0, change
            continue
        pull = float((weight * error * delta).sum()) / size
        common = [float((weight * draw * delta).sum()) / size for draw in floor.draws]
        deviation = (sigma2 / size + (float(np.mean(np.square(common))) if common else 0.0)) ** 0.5
        found[move] = (1 - max(pull, 0.0)) / deviation, pull / deviation, change
    return found
