"""The floor is measured: every part of it against a direct simulation."""

from dataclasses import replace

import numpy as np
import pytest

from nets import no_steps, random_net
from reknit.assembly.floor import TOLERANCE, Steps, measure_floor
from reknit.assembly.problem import mean_square


def floor_of(net, steps, y=None):
    stack, x = net.stack, net.x
    exact = stack.to(np.float64).forward(x.astype(np.float64), net.truth)
    return measure_floor(stack, x, (net.y if y is None else y).astype(np.float64), net.truth, exact, steps)


def weight_steps(net, size):
    return {"in_weight": np.full(net.stack.in_weight.shape, size)}


def test_nothing_known_leaves_float32_rounding_alone():
    net = random_net(1, size=1.0)
    floor = floor_of(net, no_steps(net))
    assert not no_steps(net).known
    assert set(floor.parts) == {"float32 rounding"}
    assert len(floor.draws) == 0
    exact = net.stack.to(np.float64).forward(net.x.astype(np.float64), net.truth)
    slip = net.stack.forward(net.x, net.truth) - exact
    assert floor.tolerance >= TOLERANCE * np.abs(slip).max()
    assert floor.tolerance < 1e-4 * net.y.std()
    assert floor.rounding == pytest.approx(mean_square(slip) ** 0.5, rel=1e-6)
    assert floor.mse == pytest.approx(floor.rounding**2)


def test_noise_and_decimals_of_the_outputs_are_white():
    net = random_net(1)
    steps = replace(no_steps(net, 0.2), outputs=np.array([0.01]))
    floor = floor_of(net, steps)
    assert floor.parts["stated noise"] == pytest.approx(0.04)
    assert floor.parts["decimals of the outputs"] == pytest.approx(1e-4 / 12)
    assert floor.white == pytest.approx(0.04 + 1e-4 / 12, rel=1e-6)
    assert len(floor.draws) == 0
    # few decimals are known of the error, but do not widen what counts as exact
    assert floor.tolerance == floor_of(net, no_steps(net)).tolerance


@pytest.mark.parametrize("what", ["weights", "inputs"])
def test_what_rounding_does_is_simulated_on_this_network(what):
    net = random_net(2, size=1.0, rows=400)
    steps = no_steps(net)
    generator = np.random.default_rng(5)
    errors = []
    for _ in range(40):
        if what == "weights":
            moved = net.stack.in_weight + 0.02 * (generator.random(net.stack.in_weight.shape, np.float32) - 0.5)
            answers = replace(net.stack, in_weight=moved).forward(net.x, net.truth)
        else:
            answers = net.stack.forward(net.x + 0.02 * (generator.random(net.x.shape, np.float32) - 0.5), net.truth)
        errors.append(mean_square(answers - net.y))
    steps = replace(steps, weights=weight_steps(net, 0.02)) if what == "weights" else replace(
        steps, inputs=np.full(10, 0.02)
    )  # fmt: skip
    floor = floor_of(net, steps)
    assert floor.mse == pytest.approx(np.mean(errors), rel=0.35)
    assert floor.highest > np.quantile(errors, 0.95)
    assert floor.highest < 20 * np.mean(errors)


def test_causes_that_act_together_add_up():
    net = random_net(3, size=1.0, rows=400)
    plain = no_steps(net)
    weights, inputs = replace(plain, weights=weight_steps(net, 0.02)), replace(plain, inputs=np.full(10, 0.01))
    both = Steps(weights.weights, inputs.inputs, plain.outputs)
    alone = [mean_square(floor_of(net, steps).draws) for steps in (weights, inputs)]
    together = floor_of(net, both)
    assert mean_square(together.draws) == pytest.approx(sum(alone), rel=0.3)
    assert together.mse == pytest.approx(together.white + sum(alone), rel=0.3)


def test_the_same_question_has_the_same_floor():
    net = random_net(4)
    steps = replace(no_steps(net), weights=weight_steps(net, 0.02))
    assert np.array_equal(floor_of(net, steps).draws, floor_of(net, steps).draws)
