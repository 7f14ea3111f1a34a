"""Values against torch's own functions, slopes against autograd, names against the error that lists them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import UsageError
from reknit.network.activations import ACTIVATIONS, activation
from reknit.network.residual_mlp import ACTIVATIONS as MODULES

POINTS = st.lists(st.floats(-40, 40), min_size=1, max_size=20)


def by_torch(name, z):
    """torch's value and derivative at these points."""
    points = torch.from_numpy(z).requires_grad_(True)
    value = MODULES[name](points)
    (slope,) = torch.autograd.grad(value.sum(), points)
    return value.detach().numpy(), slope.numpy()


def test_torch_has_every_one():
    assert set(MODULES) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(points=POINTS)
def test_value_and_slope_are_those_of_torch(name, points):
    kind, z = activation(name), np.array(points)
    expected, expected_slope = by_torch(name, z)
    value = kind.value(z)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(kind.slope(z, value), expected_slope, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_float32_is_as_good_as_float32_is(name):
    kind, z = activation(name), np.linspace(-12, 12, 100_001, dtype=np.float32)
    value, slope = by_torch(name, z.astype(np.float64))
    found = kind.value(z)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, value, rtol=4e-7, atol=4e-7)
    np.testing.assert_allclose(kind.slope(z, found), slope, rtol=4e-7, atol=2e-6)  # torch: 1.1e-6


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slope_at_the_kink_is_the_one_of_autograd_in_every_dtype(name, dtype):
    kind, z = activation(name), np.zeros(1, dtype)
    slope = kind.slope(z, kind.value(z))
    assert slope.dtype == dtype
    np.testing.assert_allclose(slope, by_torch(name, z)[1], rtol=1e-7 if dtype == np.float64 else 1.3e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_stays_finite_far_out(name):
    kind, z = activation(name), np.array([-1e4, 1e4], np.float32)
    assert np.isfinite(kind.slope(z, kind.value(z))).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(points=POINTS)
def test_into_and_pull_are_value_and_slope(name, points):
    kind, z = activation(name), np.array(points)
    value, gradient = kind.value(z), np.arange(1.0, len(points) + 1)
    np.testing.assert_array_equal(kind.pull(gradient, z, value), gradient * kind.slope(z, value))
    np.testing.assert_array_equal(kind.into(z, np.empty_like(z)), value)
    np.testing.assert_array_equal(kind.into(z, z), value)
    np.testing.assert_array_equal(z, value)


def test_unknown_name_lists_the_choices():
    with pytest.raises(UsageError) as caught:
        activation("swish")
    assert caught.value.problem == "there is no activation 'swish'"
    assert caught.value.where == "--activation"
    assert all(name in caught.value.remedy for name in ACTIVATIONS)
