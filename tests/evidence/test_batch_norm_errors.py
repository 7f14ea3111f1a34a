"""Errors of predicted means: the matrix against the definition, entry by entry."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reknit.evidence.batch_norm_errors import FLOOR, relative_log_errors, squared_errors
from strategies import seeds


def drawn(seed, norms=3, channels=7):
    rng = np.random.default_rng(seed)
    mean = rng.standard_normal((norms, channels))
    return rng.standard_normal((2, channels)), mean, rng.uniform(0.1, 9, (norms, channels))


@given(seeds)
def test_relative_errors_are_squared_errors_over_sizes(seed):
    predicted, mean, variance = drawn(seed)
    found = relative_log_errors(predicted, mean, variance)
    for i in range(2):
        for j in range(3):
            size = squared_errors(predicted[i], 0, variance[j]) + squared_errors(mean[j], 0, variance[j])
            np.testing.assert_allclose(np.exp(found[i, j]), squared_errors(predicted[i], mean[j], variance[j]) / size)


@given(seeds, st.floats(0.01, 100))
def test_they_do_not_depend_on_the_units_of_the_signal(seed, factor):
    predicted, mean, variance = drawn(seed)
    scaled = (factor * predicted, factor * mean, factor**2 * variance)
    np.testing.assert_allclose(relative_log_errors(*scaled), relative_log_errors(predicted, mean, variance), atol=1e-9)
    np.testing.assert_allclose(squared_errors(scaled[0][0], *scaled[1:]), squared_errors(predicted[0], mean, variance))


def test_a_perfect_mean_has_the_least_error_and_its_opposite_the_largest():
    mean = np.array([[1.0, -2.0]])
    assert np.isclose(relative_log_errors(mean, mean, np.ones((1, 2))), np.log(FLOOR))
    assert np.isclose(relative_log_errors(mean, -mean, np.ones((1, 2))), np.log(2))
