"""Moments behind an activation: against integrals taken densely, and what every activation has to obey."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import UsageError
from reknit.evidence.batch_norm_moments import moments_after

VALUES = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky-relu": lambda x: np.maximum(x, 0.01 * x),
    "hard-swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}
CLOSED = ("identity", "relu", "relu6", "leaky-relu")
means, deviations = st.floats(-8, 8), st.floats(0.05, 4)


def densely(value, mean, deviation):
    """Mean and variance by summing over 40001 points out to 10 deviations."""
    z = np.linspace(-10, 10, 40_001)
    weights = np.exp(-0.5 * z * z)
    weights /= weights.sum()
    at = value(mean + deviation * z)
    first = float(weights @ at)
    return first, float(weights @ (at - first) ** 2)


@pytest.mark.parametrize("name", VALUES)
@given(mean=means, deviation=deviations)
def test_agree_with_dense_sums(name, mean, deviation):
    found = moments_after(name, np.array([mean]), np.array([deviation**2]))
    first, second = densely(VALUES[name], mean, deviation)
    loose = 1e-6 if name in CLOSED else 0.004  # bends are met by the nodes of the quadrature, or missed
    assert found.mean[0] == pytest.approx(first, abs=loose * (1 + deviation))
    assert found.variance[0] == pytest.approx(second, abs=2 * loose * (1 + deviation) ** 3)


@pytest.mark.parametrize("name", VALUES)
@given(mean=means)
def test_without_variance_they_are_the_activation_itself(name, mean):
    found = moments_after(name, np.array([mean]), np.zeros(1))
    assert found.mean[0] == pytest.approx(VALUES[name](np.array([mean]))[0], abs=1e-9)
    assert found.variance[0] == pytest.approx(0, abs=1e-9)


@given(mean=means, deviation=deviations, factor=st.floats(0.1, 10))
def test_relu_keeps_positive_factors(mean, deviation, factor):
    small = moments_after("relu", np.array([mean]), np.array([deviation**2]))
    large = moments_after("relu", np.array([factor * mean]), np.array([(factor * deviation) ** 2]))
    assert large.mean[0] == pytest.approx(factor * small.mean[0], rel=1e-9, abs=1e-12)
    assert large.variance[0] == pytest.approx(factor**2 * small.variance[0], rel=1e-6, abs=1e-12)


def test_an_unknown_activation_lists_the_choices():
    with pytest.raises(UsageError, match="Choose one of relu"):
        moments_after("sine", np.zeros(1), np.ones(1))
