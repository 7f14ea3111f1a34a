"""How many bits a record carries: what is recorded again carries none, and what is nearly so carries little."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_nets import mlp_scene
from torch import nn
from torch.func import functional_call

from reknit.wiring import record_bits as record_bits_module
from reknit.wiring.exchange_tests import ExchangeTester
from reknit.wiring.output_floor import output_floor
from reknit.wiring.output_proof import prove
from reknit.wiring.record_bits import record_bits
from reknit.wiring.recording import Recording

SCENE = mlp_scene(0)
VALUES = {slot: SCENE.tensors[name] for slot, name in SCENE.truth.items()}


def answered(x):
    return functional_call(SCENE.module, VALUES, (x,))


def bits(x, record):
    recording = Recording.of(SCENE.module, VALUES, (x,), record)
    tester = ExchangeTester(recording, SCENE.tensors, SCENE.truth, output_floor(recording, VALUES), 0.0, 6.0)
    tester.sigma = [1e-6] * len(tester.sigma)  # of other rows it would be another
    return record_bits(tester, SCENE.pools, torch.Generator().manual_seed(0))


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(24)), st.lists(st.integers(0, 5), max_size=9))
def test_rows_again_carry_nothing(order, again):
    x = SCENE.inputs[0]
    few, more = x[order[:6]], x[[*order[:6], *(order[k] for k in again)]]
    assert bits(few, answered(few)) == pytest.approx(bits(more, answered(more)), rel=1e-3)
    labels = answered(few).argmax(1)
    assert bits(few, labels) == pytest.approx(bits(more, labels[[*range(6), *again]]), abs=1e-6)


class FirstAnswers(nn.Module):
    """The first two answers of a module."""

    def __init__(self, module):
        super().__init__()
        self.blocks, self.head, self.whole = module.blocks, module.head, [module]

    def forward(self, x):
        return self.whole[0](x)[:, :2]


@pytest.mark.parametrize("apart", [1e-8, 1e-7])
def test_rows_that_differ_by_rounding_carry_hardly_more_than_one(apart):
    row = SCENE.inputs[0][:1]
    near = row + apart * torch.randn(64, 12, generator=torch.Generator().manual_seed(0))
    assert len(near.unique(dim=0)) > 20
    assert bits(near, answered(near)) == pytest.approx(bits(row, answered(row)), abs=2)


def test_one_row_names_nothing_and_no_more_when_it_comes_again():
    module = FirstAnswers(SCENE.module)
    x = SCENE.inputs[0][:1].repeat(64, 1)
    proof = prove(module, SCENE.pools, SCENE.tensors, SCENE.truth, (x,), answered(x)[:, :2])
    assert (proof.verdict, proof.named) == ("ambiguous", False)
    x = SCENE.inputs[0].repeat(3, 1)
    assert prove(module, SCENE.pools, SCENE.tensors, SCENE.truth, (x,), answered(x)[:, :2]).verdict == "exact"


def test_the_row_before_is_the_nearest_by_its_inputs():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(300, 3, generator=generator)
    x[260] = x[7] + 1e-3
    tokens = torch.arange(300).reshape(300, 1)
    found = record_bits_module._nearest_before((x, None), torch.arange(300))
    assert found[260] == 7
    assert bool((found[1:] < torch.arange(1, 300)).all())
    assert record_bits_module._nearest_before((tokens,), torch.arange(300))[1:].tolist() == list(range(299))
