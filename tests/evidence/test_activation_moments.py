"""Errors of means and variances: nothing at the truth, the same in other units, worse further away."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reknit.evidence.activation_moments import MEAN_FLOOR, mean_errors, nats, variance_errors

SEEDS = st.integers(0, 2**32 - 1)
CHANNELS = 7


def drawn(seed, rows=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=CHANNELS), rng.uniform(0.1, 5, CHANNELS), rng.uniform(0.1, 5, (rows, CHANNELS))


@given(SEEDS, st.floats(0.01, 100))
def test_units_do_not_matter(seed, unit):
    mean, variance, vectors = drawn(seed)
    np.testing.assert_allclose(
        mean_errors(unit * mean, unit**2 * variance, unit * vectors), mean_errors(mean, variance, vectors), rtol=1e-6
    )
    np.testing.assert_allclose(
        variance_errors(unit * variance, unit * vectors, 0.0), variance_errors(variance, vectors, 0.0), rtol=1e-6
    )


@given(SEEDS)
def test_the_statistics_themselves_have_no_error_and_nothing_is_better(seed):
    mean, variance, vectors = drawn(seed)
    means = mean_errors(mean, variance, np.vstack([mean, vectors]))
    variances = variance_errors(variance, np.vstack([variance, vectors]), 1e-5)
    assert means[0] == 0
    assert variances[0] == 0
    assert (means[1:] > 0).all()
    assert (variances[1:] > 0).all()


@given(SEEDS, st.integers(0, CHANNELS - 1))
def test_a_negative_number_is_no_variance(seed, channel):
    _, variance, vectors = drawn(seed)
    vectors[1, channel] *= -1
    errors = variance_errors(variance, vectors, 1e-3)
    assert np.isinf(errors[1])
    assert np.isfinite(errors[[0, 2]]).all()


@given(st.floats(0, 1e3), st.floats(0, 1e3))
def test_nats_rise_with_the_error_up_to_the_ceiling(first, second):
    one, other = nats(np.array([min(first, second), max(first, second)]), CHANNELS, MEAN_FLOOR)
    assert one <= other
    assert other <= CHANNELS / 2 * np.log(4 + MEAN_FLOOR)


def test_nats_are_the_log_likelihood_of_normal_errors_of_the_best_size():
    """By brute force over the size of the errors, up to what is the same for all vectors."""
    rng = np.random.default_rng(0)
    sizes = np.linspace(0.05, 3, 20000)
    for scale in (0.3, 0.9):
        errors = rng.normal(size=50) * scale
        least = (50 * np.log(sizes) + np.square(errors).sum() / (2 * sizes**2)).min() - 25
        assert abs(least - nats(np.array(np.square(errors).mean()), 50, 0.0)) < 1e-3
