"""The stack against torch's own layers and automatic derivatives, in float64."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nets import answers, identity, model_of_stack, random_net, stack_of_model
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
    return stack_of_model(net.model).to(np.float64), net.x.astype(np.float64)


@given(SIZES, st.data())
def test_forward_is_the_module_of_the_same_arrangement(sizes, data):
    net = random_net(**sizes)
    stack, x = wide(net)
    ins, outs = (data.draw(st.permutations(range(stack.blocks))) for _ in range(2))
    arrangement = Arrangement(tuple(ins), tuple(outs))
    model = model_of_stack(stack, arrangement)
    np.testing.assert_allclose(stack.forward(x, arrangement), answers(model, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("act", sorted(ACTIVATIONS))
@pytest.mark.parametrize("normed", sorted(NORMS))
def test_forward_for_every_activation_and_norm(act, normed):
    net = random_net(1, act=act, normed=normed, final=normed, outputs=2)
    stack, x = wide(net)
    np.testing.assert_allclose(stack.forward(x, net.truth), answers(net.model.double(), x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 299, 300, 1024])
def test_chunks_change_nothing(chunk):
    net = random_net(2)
    stack, x = wide(net)
    np.testing.assert_allclose(stack.forward(x, net.truth, chunk), stack.forward(x, net.truth), rtol=1e-13, atol=1e-13)


def by_autograd(stack, x, direction, arrangement):
    """What torch's own layers add to the stream, the answer's gradient before every block and behind the last."""
    model = model_of_stack(stack, arrangement)
    streams = [torch.from_numpy(x).requires_grad_(True)]
    for block in model.blocks:
        streams.append(block(streams[-1]))
    answer = (model.head(model.final_norm(streams[-1])) * torch.from_numpy(direction)).sum(1)
    gradients = [gradient.numpy() for gradient in torch.autograd.grad(answer.sum(), streams)]
    added = [(after - before).detach().numpy() for before, after in pairwise(streams)]
    return added, gradients, answer.detach().numpy()


def check_trace(net, direction, arrangement):
    stack, x = wide(net)
    trace = stack.trace(x, direction, arrangement)
    added, gradients, answer = by_autograd(stack, x, direction, arrangement)
    close = {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(trace.answer, answer, **close)
    for k in range(len(arrangement)):
        np.testing.assert_allclose(trace.added[k], added[k], **close)
        np.testing.assert_allclose(trace.after[k], gradients[k + 1], **close)
        # what the block adds to the gradient: the gradient before it minus the gradient behind it
        np.testing.assert_allclose(trace.pulled[k], gradients[k] - gradients[k + 1], **close)
        weight = stack.out_weight[arrangement.outs[k]]
        rebuilt = trace.hidden[k] @ weight.T + stack.out_bias[arrangement.outs[k]]
        np.testing.assert_allclose(rebuilt, trace.added[k], **close)


@given(SIZES, st.data())
def test_a_trace_holds_what_automatic_derivatives_say(sizes, data):
    net = random_net(**sizes)
    ins, outs = (data.draw(st.permutations(range(sizes["blocks"]))) for _ in range(2))
    direction = np.random.default_rng(sizes["seed"]).standard_normal((sizes["rows"], sizes["outputs"]))
    check_trace(net, direction, Arrangement(tuple(ins), tuple(outs)))


@pytest.mark.parametrize("act", sorted(ACTIVATIONS))
@pytest.mark.parametrize("normed", sorted(NORMS))
def test_traces_of_every_activation_and_norm(act, normed):
    net = random_net(3, act=act, normed=normed, final=normed, outputs=2, rows=20)
    check_trace(net, np.ones((20, 2)), net.truth)


def test_a_spent_trace_is_written_over_where_it_fits_and_only_there():
    net = random_net(3, act="gelu", normed="layer", rows=20)
    direction = np.ones((20, 1), np.float32)
    backwards = net.truth.reordered(range(6)[::-1])
    kept = net.stack.trace(net.x, direction, net.truth)
    for rows in (20, 7):
        spent = net.stack.trace(net.x, direction, backwards)
        again = net.stack.trace(net.x[:rows], direction[:rows], net.truth, spent)
        assert np.shares_memory(again.added, spent.added) == (rows == 20)
        for name in ("answer", "added", "pulled", "after", "hidden"):
            fresh = getattr(net.stack.trace(net.x[:rows], direction[:rows], net.truth), name)
            np.testing.assert_array_equal(getattr(again, name), fresh)
    np.testing.assert_array_equal(kept.added, net.stack.trace(net.x, direction, net.truth).added)


def test_reordering_keeps_the_pairs():
    given_arrangement = Arrangement((2, 0, 1), (1, 2, 0))
    assert given_arrangement.reordered([1, 2, 0]) == Arrangement((0, 1, 2), (2, 0, 1))
    assert given_arrangement.reordered(range(3)) == given_arrangement
    assert len(given_arrangement) == 3


def test_sizes_and_precision():
    stack = random_net(blocks=3, width=5, hidden=7, outputs=2).stack
    assert (stack.blocks, stack.width, stack.hidden, stack.outputs) == (3, 5, 7, 2)
    assert stack.to(np.float64).head_bias.dtype == np.float64
    assert stack.head_bias.dtype == np.float32
    assert identity(3) == Arrangement((0, 1, 2), (0, 1, 2))
