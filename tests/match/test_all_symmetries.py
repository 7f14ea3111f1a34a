"""Factors and signs on units: which there are, that they leave functions alone, and that matching undoes them."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from match.matched_nets import LIKES, computer, largest_difference, random_tensors, samples
from reknit.errors import UsageError
from reknit.match.all_symmetries import match_all, scale_classes
from reknit.match.computing import same_function
from reknit.match.gauges import balanced
from reknit.skeleton.scaling import ScaleClass
from reknit.skeleton.symmetry import Scaling, Symmetry
from strategies import seeds

TANH = "mlp:sizes=6-9-7-3,activation=tanh"
RELU = "mlp:sizes=6-9-7-3"
NETS = {
    **{name: LIKES[name] for name in ("gpt2", "llama", "bert", "residual-mlp")},
    "tanh": TANH,
    "relu": RELU,
    "norms": "mlp:sizes=6-9-7-3,batch_norm=true",
    "convolutions": "conv-chain:channels=3-6-5,kernels=3-3,outputs=4",
}


@cache
def _classes(like):
    return scale_classes(computer(like))


def planted(runner, classes, seed):
    """A random permutation, and random factors of every class behind it."""
    rng = np.random.default_rng(seed)
    sizes = {group.name: group.size for group in runner.skeleton.groups}
    rows = {group.name: sizes[group.within] if group.within else 1 for group in runner.skeleton.groups}
    scalings = []
    for each in classes:
        shape = rows[each.group], sizes[each.group]
        drawn = np.exp(0.5 * rng.normal(size=shape)) if each.factors == "positive" else rng.choice([-1.0, 1.0], shape)
        scalings.append(Scaling(each.group, each.exponents, drawn))
    return Symmetry.random(runner.skeleton, rng).then(Symmetry(runner.skeleton, (), tuple(scalings)))


@pytest.mark.parametrize("name", NETS)
def test_planted_factors_and_signs_leave_the_function_and_are_undone(name):
    runner = computer(NETS[name])
    classes = scale_classes(runner)
    assert classes
    left = random_tensors(runner.skeleton, 0)
    symmetry = planted(runner, classes, 1)
    right = symmetry.apply(left)
    assert same_function(runner, left, right, samples(NETS[name])).holds
    found = match_all(runner, left, right)
    assert largest_difference(left, found.symmetry.apply(right)) < 1e-6
    assert largest_difference(left, symmetry.inverse().apply(right)) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["preact-resnet", "mbconv", "bottleneck-resnet", "gpt2-apart"])
def test_planted_factors_and_signs_are_undone_in_larger_nets(name):
    runner = computer(LIKES[name])
    left = random_tensors(runner.skeleton, 0)
    right = planted(runner, scale_classes(runner), 1).apply(left)
    assert same_function(runner, left, right, samples(LIKES[name], 8)).holds
    assert largest_difference(left, match_all(runner, left, right).symmetry.apply(right)) < 1e-6


def _told(like):
    """Which classes an MLP has, in the words of its slots."""
    runner = computer(like)
    groups = {group.name: group for group in runner.skeleton.groups}
    return [
        (
            each.factors,
            {
                (member.slot, member.axis): exponent
                for member, exponent in zip(groups[each.group].members, each.exponents, strict=True)
                if exponent
            },
        )
        for each in scale_classes(runner)
    ]


def test_relu_may_be_scaled_tanh_turned_and_gelu_neither():
    layer = {("layers.0.weight", 0): 1, ("layers.0.bias", 0): 1}
    (kind, first), (_, _) = _told(RELU)
    assert kind == "positive"
    assert first == {**layer, ("layers.1.weight", 1): -1}
    (kind, first), (_, _) = _told(TANH)
    assert kind == "sign"
    assert first == {**layer, ("layers.1.weight", 1): 1}
    assert _told("mlp:sizes=6-9-7-3,activation=gelu") == []


def test_the_epsilon_of_a_norm_is_seen():
    """A convolution before a BatchNorm may not be scaled with mean and variance: only what is exact is a class."""
    for _, exponents in _told(NETS["norms"]):
        assert not any("running_var" in slot for slot, _ in exponents)


def test_relu6_bends_where_a_plain_relu_does_not():
    assert _told("mbconv:stem=4,stages=1x4e1,head=5,outputs=3,activation=relu")
    bent = _told("mbconv:stem=4,stages=1x4e1,head=5,outputs=3,activation=relu6")
    for _, exponents in bent:  # what is left goes past the activations
        assert ("blocks.0.depthwise_conv.weight", 0) not in exponents or ("blocks.0.bn1.weight", 0) in exponents


@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_factors_compose_and_go_back(seed):
    runner = computer(LIKES["gpt2"])
    classes = _classes(LIKES["gpt2"])
    one, other = planted(runner, classes, seed), planted(runner, classes, seed + 1)
    tensors = random_tensors(runner.skeleton, seed, np.float64)
    after = other.apply(one.apply(tensors))
    assert largest_difference(after, one.then(other).apply(tensors)) < 1e-9
    assert largest_difference(tensors, one.inverse().apply(one.apply(tensors))) < 1e-9
    as_torch = one.apply({key: torch.from_numpy(value) for key, value in tensors.items()})
    moved = one.apply(tensors)
    assert all(np.array_equal(as_torch[key].numpy(), moved[key]) for key in tensors)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_balancing_twice_is_balancing_once_and_scales_do_not_matter(seed):
    runner = computer(RELU)
    classes = _classes(RELU)
    tensors = random_tensors(runner.skeleton, seed, np.float64)
    once = balanced(runner.skeleton, classes, tensors).apply(tensors)
    again = balanced(runner.skeleton, classes, once)
    assert all(np.abs(each.factors - 1).max() < 1e-9 for each in again.scalings)
    scalings = tuple(each for each in planted(runner, classes, seed).scalings)
    scaled = Symmetry(runner.skeleton, (), scalings).apply(tensors)
    back = balanced(runner.skeleton, classes, scaled).apply(scaled)
    assert largest_difference(once, back) < 1e-8


def test_a_wrong_class_is_noticed_by_the_proof():
    runner = computer(RELU)
    (first, *_) = scale_classes(runner)
    wrong = ScaleClass(first.group, tuple(abs(exponent) for exponent in first.exponents), "positive")
    tensors = random_tensors(runner.skeleton, 0)
    scaling = Scaling(wrong.group, wrong.exponents, np.full((1, 9), 1.5))
    assert not same_function(
        runner, tensors, Symmetry(runner.skeleton, (), (scaling,)).apply(tensors), samples(RELU)
    ).holds


def test_factors_that_cannot_be_are_refused():
    runner = computer(RELU)
    (first, *_) = scale_classes(runner)
    with pytest.raises(UsageError, match="zero, infinite or undefined"):
        Scaling(first.group, first.exponents, np.zeros((1, 9)))
    with pytest.raises(UsageError, match=r"the factors are \(1, 8\), not \(1, 9\)"):
        Symmetry(runner.skeleton, (), (Scaling(first.group, first.exponents, np.ones((1, 8))),))
    with pytest.raises(UsageError, match="no such group"):
        Symmetry(runner.skeleton, (), (Scaling("nothing", (1,), np.ones((1, 8))),))
