"""The stack against torch's own layers and automatic derivatives, in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nets import identity, model_of_stack, random_net, stack_of_model
from reknit.network.activations import ACTIVATIONS
from reknit.network.norms import NORMS
from reknit.network.stack import Arrangement

SIZES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 1000),
        "blocks": st.integers(1, 5),
        "width": st.integers(2, 7),
        "hidden": st.integers(1, 7),
        "outputs": st.integers(1, 3),
        "rows": st.integers(1, 6),
        "act": st.sampled_from(sorted(ACTIVATIONS)),
        "normed": st.sampled_from(sorted(NORMS)),
        "final": st.sampled_from(sorted(NORMS)),
    }
)


def wide(net):
    return stack_of_model(net.model).to(torch.float64), net.x.double()


@given(SIZES, st.data())
def test_forward_is_the_module_of_the_same_arrangement(sizes, data):
    net = random_net(**sizes)
    stack, x = wide(net)
    ins, outs = (data.draw(st.permutations(range(stack.blocks))) for _ in range(2))
    arrangement = Arrangement(tuple(ins), tuple(outs))
    model = model_of_stack(stack, arrangement)
    torch.testing.assert_close(stack.forward(x, arrangement), model(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("act", sorted(ACTIVATIONS))
@pytest.mark.parametrize("normed", sorted(NORMS))
def test_forward_for_every_activation_and_norm(act, normed):
    net = random_net(1, act=act, normed=normed, final=normed, outputs=2)
    stack, x = wide(net)
    torch.testing.assert_close(stack.forward(x, net.truth), net.model.double()(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 299, 300, 1024])
def test_chunks_change_nothing(chunk):
    net = random_net(2)
    stack, x = wide(net)
    torch.testing.assert_close(stack.forward(x, net.truth, chunk), stack.forward(x, net.truth), rtol=1e-13, atol=1e-13)


def by_autograd(stack, x, direction, arrangement):
    """The stream before every block and behind the last, and the answer's gradient with respect to each."""
    streams = [x.clone().requires_grad_(True)]
    added = []
    for inner, outer in zip(arrangement.ins, arrangement.outs, strict=True):
        seen = stack.norm.value(streams[-1], stack.norm.eps)
        hidden = stack.activation.value(seen @ stack.in_weight[inner].T + stack.in_bias[inner])
        added.append(hidden @ stack.out_weight[outer].T + stack.out_bias[outer])
        streams.append(streams[-1] + added[-1])
    final = stack.final_norm.value(streams[-1], stack.final_norm.eps)
    answer = ((final @ stack.head_weight.T + stack.head_bias) * direction).sum(1)
    return added, torch.autograd.grad(answer.sum(), streams), answer


def check_trace(net, direction, arrangement):
    stack, x = wide(net)
    trace = stack.trace(x, direction, arrangement)
    added, gradients, answer = by_autograd(stack, x, direction, arrangement)
    close = {"rtol": 1e-9, "atol": 1e-11}
    torch.testing.assert_close(trace.answer, answer.detach(), **close)
    for k in range(len(arrangement)):
        torch.testing.assert_close(trace.added[k], added[k].detach(), **close)
        torch.testing.assert_close(trace.after[k], gradients[k + 1], **close)
        # what the block adds to the gradient: the gradient before it minus the gradient behind it
        torch.testing.assert_close(trace.pulled[k], gradients[k] - gradients[k + 1], **close)
        weight = stack.out_weight[arrangement.outs[k]]
        rebuilt = trace.hidden[k] @ weight.T + stack.out_bias[arrangement.outs[k]]
        torch.testing.assert_close(rebuilt, trace.added[k], **close)


@given(SIZES, st.data())
def test_a_trace_holds_what_automatic_derivatives_say(sizes, data):
    net = random_net(**sizes)
    ins, outs = (data.draw(st.permutations(range(sizes["blocks"]))) for _ in range(2))
    generator = torch.Generator().manual_seed(sizes["seed"])
    direction = torch.randn(sizes["rows"], sizes["outputs"], generator=generator, dtype=torch.float64)
    check_trace(net, direction, Arrangement(tuple(ins), tuple(outs)))


@pytest.mark.parametrize("act", sorted(ACTIVATIONS))
@pytest.mark.parametrize("normed", sorted(NORMS))
def test_traces_of_every_activation_and_norm(act, normed):
    net = random_net(3, act=act, normed=normed, final=normed, outputs=2, rows=20)
    check_trace(net, torch.ones(20, 2, dtype=torch.float64), net.truth)


def test_reordering_keeps_the_pairs():
    given_arrangement = Arrangement((2, 0, 1), (1, 2, 0))
    assert given_arrangement.reordered([1, 2, 0]) == Arrangement((0, 1, 2), (2, 0, 1))
    assert given_arrangement.reordered(range(3)) == given_arrangement
    assert len(given_arrangement) == 3


def test_sizes_and_precision():
    stack = random_net(blocks=3, width=5, hidden=7, outputs=2).stack
    assert (stack.blocks, stack.width, stack.hidden, stack.outputs) == (3, 5, 7, 2)
    assert stack.to(torch.float64).head_bias.dtype == torch.float64
    assert stack.head_bias.dtype == torch.float32
    assert identity(3) == Arrangement((0, 1, 2), (0, 1, 2))
