"""Mean squares, and what a search makes of an error that is no number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nets import random_net
from reknit.assembly.moves import Rearrangement
from reknit.assembly.problem import Problem, Search, mean_square

values = arrays(np.float64, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), elements=st.floats(-1e3, 1e3))


@given(values)
def test_the_mean_square_is_the_sum_of_squares_over_their_number(values):
    squares = [value * value for value in values.reshape(-1).tolist()]
    assert mean_square(values) == pytest.approx(math.fsum(squares) / max(len(squares), 1), rel=1e-12)


@given(values.filter(lambda array: array.size), st.sampled_from([np.nan, np.inf, -np.inf]), st.data())
def test_a_mean_square_without_a_number_is_infinite(values, bad, data):
    """Every comparison with NaN is false: held first, it would be held for good."""
    for dtype in (np.float32, np.float64):
        spoilt = values.astype(dtype)
        spoilt.reshape(-1)[data.draw(st.integers(0, values.size - 1))] = bad
        assert mean_square(spoilt) == math.inf


def test_an_arrangement_without_answers_does_not_stay_the_best():
    """One row without an answer, as where infinities of both signs met in a sum."""
    net = random_net()
    moved = Rearrangement("swap", 1, 2).apply(net.truth)
    x = np.where(np.arange(len(net.x))[:, None] == 7, np.float32(np.nan), net.x)
    spoilt = Problem(net.stack, x, net.y)
    assert spoilt.mse(net.truth) == math.inf
    assert spoilt.mse(net.truth, rows=7) == net.problem.mse(net.truth, rows=7)
    search = Search(net.problem, seed=0)
    search.note("order", moved, spoilt.mse(moved), 300)
    search.note("order", net.truth, net.problem.mse(net.truth), 300)
    assert search.best == (net.problem.mse(net.truth), net.truth)
