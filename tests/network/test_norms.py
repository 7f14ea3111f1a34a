"""Norms against torch's own modules, pullbacks against autograd."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import UsageError
from reknit.network.norms import NORMS, norm
from reknit.network.residual_mlp import FreeNorm

SEEDS = st.integers(0, 2**31)
WIDTHS = st.integers(1, 9)
SIZES = st.sampled_from([1e-3, 1.0, 1e3])

# how steep each norm is, row by row
STEEPNESS = {
    "none": lambda x, eps: np.ones_like(x),
    "layer": lambda x, eps: 1 / np.sqrt(x.var(-1, keepdims=True) + eps),
    "rms": lambda x, eps: 1 / np.sqrt((x**2).mean(-1, keepdims=True) + eps),
}


def _rows(seed, width, size):
    draws = np.random.default_rng(seed).standard_normal((2, 5, width))
    x, g = draws[0] * size, draws[1]
    x[0] = x[0, 0]  # a constant row: no variance to divide by
    return x, g


@pytest.mark.parametrize("name", NORMS)
@given(seed=SEEDS, width=WIDTHS, size=SIZES)
def test_pullback_is_the_vector_jacobian_product(name, seed, width, size):
    kind = norm(name)
    x, g = _rows(seed, width, size)
    points = torch.from_numpy(x).requires_grad_(True)
    (expected,) = torch.autograd.grad(FreeNorm(name)(points), points, torch.from_numpy(g))
    got = kind.pullback(x, kind.eps, g)
    # the two terms of the pullback cancel where a row has one direction only: measure against the first
    size = STEEPNESS[name](x, kind.eps) * np.abs(g).max()
    np.testing.assert_allclose(got / size, expected.numpy() / size, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("name", "module"), [("layer", torch.nn.LayerNorm), ("rms", torch.nn.RMSNorm)])
@given(seed=SEEDS, width=WIDTHS, size=SIZES)
def test_value_and_default_eps_are_those_of_torch_in_float32(name, module, seed, width, size):
    kind = norm(name)
    x = _rows(seed, width, size)[0].astype(np.float32)
    own = module(width, elementwise_affine=False)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(kind.value(x, kind.eps), own, rtol=1.3e-6, atol=1e-5)
    np.testing.assert_array_equal(FreeNorm(name)(torch.from_numpy(x)).numpy(), own)


def test_none_leaves_the_stream_as_it_is():
    x = np.arange(3.0)
    assert np.array_equal(norm("none").value(x, 0.0), x)


def test_unknown_name_lists_the_choices():
    with pytest.raises(UsageError) as caught:
        norm("batch")
    assert str(caught.value) == "--norm: there is no norm 'batch'. Choose one of none, layer, rms."
