"""Rotations as values, the groups that may be turned, and norms folded into what reads them."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from match.matched_nets import LIKES, computer, largest_difference, random_tensors, samples
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.spelling import spell_config
from reknit.errors import InputError, UsageError
from reknit.match.asking import answers_to_noise
from reknit.match.computing import Computer
from reknit.match.samples import draw_samples
from reknit.skeleton.like import resolve
from reknit.skeleton.norm_folding import foldable_norms, refit
from reknit.skeleton.rotation import Rotation
from reknit.skeleton.rotation_classes import find_rotation_classes
from reknit.skeleton.stream_gauge import StreamGauge
from reknit.skeleton.trace import trace
from strategies import seeds

UNTIED = LIKES["gpt2"] + ",tied=false"
NAMED_INPUTS = "residual-mlp:blocks=3,width=9,hidden=13,outputs=2,inputs=4"


@cache
def asked(like):
    """The groups that may be turned, and why the others may not."""
    runner = computer(like)
    return find_rotation_classes(runner.skeleton, answers_to_noise(runner))


def group_of(skeleton, name):
    return next(group for group in skeleton.groups if group.name == name)


def with_positive_gains(skeleton, tensors):
    """Gains well away from zero: dividing by them is what rounds."""
    gains = {use.slots["weight"] for use in skeleton.uses if use.operation in ("layer_norm", "rms_norm")}
    return {key: np.abs(value) + 0.3 if key in gains else value for key, value in tensors.items()}


def answers(runner, tensors, asked_of):
    return torch.cat([each.reshape(-1) for each in runner.answers(tensors, asked_of, torch.float64)])


@pytest.mark.parametrize(
    ("like", "keeps_ones"),
    [
        (LIKES["llama"], False),
        (LIKES["gpt2"], True),
        (UNTIED, True),
        (NAMED_INPUTS, True),
        (NAMED_INPUTS + ",norm=none", False),
    ],
)
def test_streams_that_may_be_turned(like, keeps_ones):
    classes, _ = asked(like)
    assert next(each.keeps_ones for each in classes if each.group == "stream") is keeps_ones


@pytest.mark.parametrize(
    ("name", "group", "reason"),
    [
        ("bert", "stream", "gelu acts on each of its units"),
        ("preact-resnet", "stream", "a BatchNorm norms each of its units"),
        ("mbconv", "stream 1", "a BatchNorm norms each of its units"),
        ("residual-mlp", "stream", "it is fixed: input"),
        ("mlp", "layers.0", "relu acts on each of its units"),
        ("llama", "model.layers.0.self_attn.q_proj query-key", "it is fixed: constant"),
        ("llama", "model.layers.0.mlp.gate_proj", "silu acts on each of its units"),
        ("gpt2", "transformer.h.0.attn.c_attn heads", "other units lie within its units"),
    ],
)
def test_groups_that_may_not_be_turned(name, group, reason):
    assert asked(LIKES[name])[1][group] == reason


class Bilinear(nn.Module):
    """A gate without a nonlinear function of single units."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(self.first(x) * self.second(x))


def test_a_gate_without_a_nonlinear_function_is_found_out_by_asking():
    x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    skeleton = trace(Bilinear(), (torch.zeros(1, 5),), name="bilinear")
    module = Bilinear().double()
    classes, refused = find_rotation_classes(skeleton, lambda state: functional_call(module, state, (x,)).reshape(-1))
    assert not classes
    assert [reason for reason in refused.values() if not reason.startswith("it is fixed")] == [
        "the module answers otherwise when it is turned"
    ]


@pytest.mark.parametrize("like", [LIKES["llama"], UNTIED, LIKES["bert"], NAMED_INPUTS])
def test_what_may_be_turned_leaves_the_function(like):
    runner, asked_of = computer(like), samples(like)
    tensors = random_tensors(runner.skeleton, 3, np.float64)
    for each in asked(like)[0]:
        group = group_of(runner.skeleton, each.group)
        folded = refit(group, foldable_norms(runner.skeleton, group)[0], tensors, None)
        rotation = Rotation.random(runner.skeleton, each.group, np.random.default_rng(0), keeps_ones=each.keeps_ones)
        moved = rotation.apply(folded)
        assert largest_difference(folded, moved) > 0.1
        before = answers(runner, tensors, asked_of)
        assert (before - answers(runner, moved, asked_of)).abs().max() < 1e-11 * before.abs().max()


def test_a_rotation_that_does_not_keep_the_ones_changes_what_a_layer_norm_answers():
    runner, asked_of = computer(UNTIED), samples(UNTIED)
    group = group_of(runner.skeleton, "stream")
    folded = refit(group, foldable_norms(runner.skeleton, group)[0], random_tensors(runner.skeleton, 3), None)
    moved = Rotation.random(runner.skeleton, "stream", np.random.default_rng(0)).apply(folded)
    assert (answers(runner, folded, asked_of) - answers(runner, moved, asked_of)).abs().max() > 1e-2


@settings(max_examples=8, deadline=None)
@given(seed=seeds, keeps_ones=st.booleans(), name=st.sampled_from(["stream", "transformer.h.0.attn.c_attn value"]))
def test_rotations_compose_and_go_back(seed, keeps_ones, name):
    runner, rng = computer(UNTIED), np.random.default_rng(seed)
    one, other = (Rotation.random(runner.skeleton, name, rng, keeps_ones=keeps_ones) for _ in range(2))
    group = group_of(runner.skeleton, "stream")
    tensors = refit(
        group, foldable_norms(runner.skeleton, group)[0], random_tensors(runner.skeleton, 1, np.float64), None
    )
    assert one.defect < 1e-14
    assert largest_difference(other.apply(one.apply(tensors)), one.then(other).apply(tensors)) < 1e-13
    assert largest_difference(tensors, one.inverse().apply(one.apply(tensors))) < 1e-13
    assert largest_difference(one.apply(tensors), tensors) > 1e-3
    if keeps_ones:
        assert np.allclose(one.matrix.sum(1), 1)
    assert f"{name}: {one.matrix.shape[1]} units turned" in str(one)


def test_rotations_that_cannot_be_are_refused():
    skeleton = computer(UNTIED).skeleton
    with pytest.raises(UsageError, match="no such group"):
        Rotation(skeleton, "nothing", np.eye(12))
    with pytest.raises(UsageError, match=r"the rotation is \(1, 11, 11\), not \(1, 12, 12\)"):
        Rotation(skeleton, "stream", np.eye(11))
    with pytest.raises(UsageError, match="infinite or undefined"):
        Rotation(skeleton, "stream", np.full((12, 12), np.nan))
    with pytest.raises(UsageError, match="a BatchNorm norms each unit"):
        Rotation(computer(LIKES["preact-resnet"]).skeleton, "stream", np.eye(6))
    stream = Rotation(skeleton, "stream", np.eye(12))
    with pytest.raises(UsageError, match="the gain is not the same for all units"):
        stream.apply(random_tensors(skeleton, 0))
    with pytest.raises(UsageError, match="is none of it"):
        stream.then(Rotation(skeleton, "transformer.h.0.attn.c_attn value", np.stack([np.eye(4)] * 3)))


def test_norms_that_cannot_be_folded_say_why():
    skeleton = computer(LIKES["gpt2"]).skeleton
    norms, stuck = foldable_norms(skeleton, group_of(skeleton, "stream"))
    assert len(norms) == 4
    assert stuck == {"transformer.ln_f.weight": "transformer.wte.weight, which reads it, is tied to another use"}
    skeleton = computer(LIKES["bert"]).skeleton
    _, stuck = foldable_norms(skeleton, group_of(skeleton, "stream"))
    assert stuck["bert.embeddings.LayerNorm.weight"] == "a layer_norm reads it"


FOLDED = (
    Gpt2Config(1, 6, 2, 5, 4, 5, "gelu", 1e-5, True, True, True, True, False, False),
    Gpt2Config(1, 6, 2, 5, 4, 5, "gelu", 1e-5, False, False, False, True, False, True),
    LlamaConfig(1, 8, 2, 1, 4, 6, 7),
    LlamaConfig(2, 5, 2, 1, 4, 6, 7, "relu", 1e-12, 10000.0, True, True, True, True, True, True, True),
)


@pytest.mark.parametrize("config", FOLDED)
def test_folding_and_settling_leave_the_function_and_can_be_undone(config):
    seed, like = 1, resolve(spell_config(config))
    skeleton = trace(like.module, like.inputs, name="drawn")
    runner = Computer(like, skeleton)
    classes, _ = find_rotation_classes(skeleton, answers_to_noise(runner))
    streams = [each for each in classes if group_of(skeleton, each.group).within is None]
    first, second = (
        with_positive_gains(skeleton, random_tensors(skeleton, each, np.float64)) for each in (seed, seed + 1)
    )
    asked_of = draw_samples(like, skeleton, torch.Generator().manual_seed(0), 4)
    before = answers(runner, second, asked_of)
    for each in streams:
        gauge = StreamGauge.of(skeleton, each, answers_to_noise(runner))
        settled = gauge.settle(second)
        assert all((settled[norm.gain] == 1).all() for norm in gauge.norms)
        restored = gauge.restore(settled, first)
        for same in (settled, restored):
            assert torch.allclose(answers(runner, same, asked_of), before, rtol=1e-8, atol=1e-9)
        assert all(np.array_equal(restored[norm.gain], first[norm.gain]) for norm in gauge.norms)
        assert largest_difference(gauge.restore(gauge.settle(first), first), first) < 1e-12


def test_a_gain_of_zero_cannot_be_taken_over():
    skeleton = computer(LIKES["llama"]).skeleton
    group = group_of(skeleton, "stream")
    norms, _ = foldable_norms(skeleton, group)
    tensors = random_tensors(skeleton, 0)
    other = tensors | {"model.norm.weight": np.zeros(16, dtype=np.float32)}
    with pytest.raises(InputError, match=r"model\.norm\.weight: a gain is zero"):
        refit(group, norms, tensors, other)
