"""Norms against torch's own modules, pullbacks against autograd."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import UsageError
from reknit.network.norms import NORMS, norm

SEEDS = st.integers(0, 2**31)
WIDTHS = st.integers(1, 9)
SIZES = st.sampled_from([1e-3, 1.0, 1e3])

# how steep each norm is, row by row
STEEPNESS = {
    "none": lambda x, eps: torch.ones_like(x),
    "layer": lambda x, eps: torch.rsqrt(x.var(-1, keepdim=True, correction=0) + eps),
    "rms": lambda x, eps: torch.rsqrt((x**2).mean(-1, keepdim=True) + eps),
}


def _rows(seed, width, size):
    draws = torch.randn(2, 5, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x, g = draws[0] * size, draws[1]
    x[0] = x[0, 0]  # a constant row: no variance to divide by
    return x, g


@pytest.mark.parametrize("name", NORMS)
@given(seed=SEEDS, width=WIDTHS, size=SIZES)
def test_pullback_is_the_vector_jacobian_product(name, seed, width, size):
    kind = norm(name)
    x, g = _rows(seed, width, size)
    x.requires_grad_(True)
    (expected,) = torch.autograd.grad(kind.value(x, kind.eps), x, g)
    got = kind.pullback(x.detach(), kind.eps, g)
    # the two terms of the pullback cancel where a row has one direction only: measure against the first
    size = STEEPNESS[name](x.detach(), kind.eps) * g.abs().max()
    torch.testing.assert_close(got / size, expected / size, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("name", "module"), [("layer", torch.nn.LayerNorm), ("rms", torch.nn.RMSNorm)])
@given(seed=SEEDS, width=WIDTHS, size=SIZES)
def test_value_and_default_eps_are_those_of_torch_in_float32(name, module, seed, width, size):
    kind = norm(name)
    x = _rows(seed, width, size)[0].float()
    torch.testing.assert_close(kind.value(x, kind.eps), module(width, elementwise_affine=False)(x))


def test_none_leaves_the_stream_as_it_is():
    x = torch.arange(3.0)
    assert torch.equal(norm("none").value(x, 0.0), x)


def test_unknown_name_lists_the_choices():
    with pytest.raises(UsageError) as caught:
        norm("batch")
    assert str(caught.value) == "--norm: there is no norm 'batch'. Choose one of none, layer, rms."
