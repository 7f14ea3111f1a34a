"""Slopes against autograd, names against the error that lists them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import UsageError
from reknit.network.activations import ACTIVATIONS, activation

POINTS = st.lists(st.floats(-40, 40), min_size=1, max_size=20)


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(points=POINTS)
def test_slope_is_the_derivative_of_the_value(name, points):
    kind = activation(name)
    z = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    value = kind.value(z)
    (expected,) = torch.autograd.grad(value.sum(), z)
    torch.testing.assert_close(kind.slope(z.detach(), value.detach()), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slope_at_the_kink_is_the_one_of_autograd_in_every_dtype(name, dtype):
    kind = activation(name)
    z = torch.zeros(1, dtype=dtype, requires_grad=True)
    value = kind.value(z)
    (expected,) = torch.autograd.grad(value.sum(), z)
    slope = kind.slope(z.detach(), value.detach())
    assert slope.dtype == dtype
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_stays_finite_far_out(name):
    kind = activation(name)
    z = torch.tensor([-1e4, 1e4], dtype=torch.float32)
    assert torch.isfinite(kind.slope(z, kind.value(z))).all()


def test_unknown_name_lists_the_choices():
    with pytest.raises(UsageError) as caught:
        activation("swish")
    assert caught.value.problem == "there is no activation 'swish'"
    assert caught.value.where == "--activation"
    assert all(name in caught.value.remedy for name in ACTIVATIONS)
