"""BatchNorm by the formula: as torch's own, and with derivatives for its statistics."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from reknit.skeleton.written_out_norms import WrittenOutNorms


def net(kind, affine):
    torch.manual_seed(0)
    module = kind(3, affine=affine, eps=0.01).eval()
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(3) + 0.5)
    return module.requires_grad_(False)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (4, 3)), (nn.BatchNorm1d, (4, 3, 5)), (nn.BatchNorm2d, (2, 3, 4, 5))]
)
def test_the_same_numbers(kind, shape, affine):
    module, x = net(kind, affine), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with WrittenOutNorms():
        written = module(x)
    torch.testing.assert_close(written, module(x))


def test_statistics_have_derivatives():
    module, x = net(nn.BatchNorm1d, True), torch.randn(4, 3, dtype=torch.float64)
    state = {key: value.double() for key, value in module.state_dict().items() if value.is_floating_point()}

    def answer(mean, variance):
        with WrittenOutNorms():
            return functional_call(module, {**state, "running_mean": mean, "running_var": variance}, (x,))

    given = [state[key].requires_grad_() for key in ("running_mean", "running_var")]
    assert torch.autograd.gradcheck(answer, given)


def test_a_norm_that_trains_is_torchs_own():
    module, x = net(nn.BatchNorm1d, True).train(), torch.randn(4, 3)
    with WrittenOutNorms():
        torch.testing.assert_close(module(x).mean(0), module.bias, atol=1e-5, rtol=0)
