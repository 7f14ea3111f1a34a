"""What is measured in front of norms is what torch counts in training mode, whatever statistics stand there."""

import pytest
import torch
from counted_nets import MBCONV, PREACT, counted, like_training

from reknit.skeleton.like import resolve
from reknit.wiring.batch_moments import numbers_of, watch


@pytest.mark.parametrize("like", [PREACT, MBCONV])
def test_as_torch_counts_in_training(like):
    net = counted(like)
    passed = watch(net.module, net.skeleton, net.state, (like_training(like, 64, 100),))
    norms = [use for use in net.skeleton.uses if use.operation == "batch_norm"]
    assert list(passed.norms) == [use.step for use in norms]
    for use in norms:
        norm = passed.norms[use.step]
        each = norm.numbers / norm.mean.numel()
        torch.testing.assert_close(norm.mean, net.state[use.slots["running_mean"]], rtol=1e-4, atol=1e-4)
        unbiased = norm.variance * each / (each - 1)  # torch counts so
        torch.testing.assert_close(unbiased, net.state[use.slots["running_var"]], rtol=1e-3, atol=1e-4)
    assert not passed.layers


def test_running_statistics_play_no_part():
    net = counted(PREACT)
    x = like_training(PREACT, 5, 1)
    statistics = {key: value for key, value in net.state.items() if "running" in key}
    spoiled = net.state | {key: torch.ones_like(value) * 7 for key, value in statistics.items()}
    as_it_is, other = (watch(net.module, net.skeleton, state, (x,)) for state in (net.state, spoiled))
    for step, norm in as_it_is.norms.items():
        assert torch.equal(norm.mean, other.norms[step].mean)
        assert torch.equal(norm.variance, other.norms[step].variance)


def test_one_tensor_may_stand_in_several_slots():
    net = counted(PREACT)
    same = net.state["stages.0.0.bn1.running_mean"]
    state = net.state | {key: same for key in net.state if key.endswith("running_mean")}
    passed = watch(net.module, net.skeleton, state, (like_training(PREACT, 3, 1),), keep=True)
    assert len(passed.norms) == 7
    assert numbers_of(passed) == 7 * 3 * 8 * 24


def test_layers_run_again_to_the_same_answer():
    net = counted(MBCONV)
    passed = watch(net.module, net.skeleton, net.state, (like_training(MBCONV, 3, 1),), keep=True)
    weights = {use.step: net.state[use.slots["weight"]] for use in net.skeleton.uses if use.step in passed.layers}
    assert len(passed.layers) >= 6
    for step, layer in passed.layers.items():
        assert torch.equal(layer.run(layer.x, weights[step]), layer.y)


def test_a_norm_that_trains_is_left_alone():
    net = counted(PREACT)
    module = resolve(PREACT).module.train()
    assert not watch(module, net.skeleton, net.state, (like_training(PREACT, 3, 1),)).norms
