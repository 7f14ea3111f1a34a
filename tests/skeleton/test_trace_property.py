"""For random modules: permuting every free group leaves the function alone, and no member could have stayed behind."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modules import (
    MLP,
    Attention,
    Branches,
    GatedMLP,
    GroupedAttention,
    Residual,
    Shuffle,
    Squeeze,
    Subject,
)
from reknit.skeleton.symmetry import Symmetry
from reknit.skeleton.trace import trace
from strategies import seeds

ROUNDING = 1e-11
CHANGED = 1e-8


@st.composite
def branches(draw: st.DrawFn, width: int) -> nn.Module:
    kind = draw(st.sampled_from(["mlp", "gated", "attention", "grouped", "cat"]))
    if kind == "mlp":
        return MLP(width, draw(st.integers(1, 7)), draw(st.sampled_from([nn.GELU(), nn.Tanh(), nn.SiLU()])))
    if kind == "gated":
        return GatedMLP(width, draw(st.integers(1, 5)), draw(st.booleans()))
    if kind == "attention":
        layout = draw(st.sampled_from(Attention.LAYOUTS))
        return Attention(width, draw(st.integers(1, 3)), draw(st.integers(1, 3)), layout, draw(st.booleans()))
    if kind == "grouped":
        how = draw(st.sampled_from(GroupedAttention.HOWS))
        sizes = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(2, 3)))
        return GroupedAttention(width, *sizes, how, draw(st.booleans()))
    return Branches(width, draw(st.integers(1, 4)), draw(st.integers(1, 4)))


@st.composite
def token_nets(draw: st.DrawFn) -> nn.Module:
    """An embedding, residual branches of all kinds, a head."""
    width = draw(st.integers(3, 6))
    blocks = []
    for _ in range(draw(st.integers(1, 3))):
        norm = draw(st.sampled_from([nn.LayerNorm, nn.RMSNorm, lambda _: nn.Identity()]))(width)
        blocks.append(Residual(norm, draw(branches(width)), scale=width * draw(st.booleans())))
    return nn.Sequential(nn.Embedding(11, width), *blocks, nn.LayerNorm(width), nn.Linear(width, 5))


@st.composite
def image_nets(draw: st.DrawFn) -> nn.Module:
    """Convolutions of all kinds, pooled or flattened into a head."""
    groups = draw(st.integers(1, 3))
    channels = groups * draw(st.integers(1, 3))
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1)]
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "grouped", "depthwise", "turned", "norm", "groups", "squeeze", "shuffle"]))
        wider = groups * draw(st.integers(1, 3))
        if kind in {"conv", "grouped"}:
            layers.append(nn.Conv2d(channels, wider, 3, padding=1, groups=groups if kind == "grouped" else 1))
            channels = wider
        elif kind == "turned":
            layers.append(nn.ConvTranspose2d(channels, wider, 3, padding=1, groups=groups))
            channels = wider
        else:
            layers.append(
                {
                    "depthwise": lambda c: nn.Conv2d(c, c, 3, padding=1, groups=c),
                    "norm": nn.BatchNorm2d,
                    "groups": lambda c: nn.GroupNorm(groups, c),
                    "squeeze": lambda c: Squeeze(c, 2),
                    "shuffle": lambda _: Shuffle(groups),
                }[kind](channels)
            )
        layers.append(draw(st.sampled_from([nn.GELU(), nn.SiLU(), nn.Tanh()])))
    if draw(st.booleans()):
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4))
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(channels * 4, 4))


def _holds(net: nn.Module, inputs: tuple[torch.Tensor, ...], seed: int) -> Subject:
    subject = Subject(net, inputs, trace(net.double().eval(), inputs))
    rng = np.random.default_rng(seed)
    symmetry, another = Symmetry.random(subject.skeleton, rng), Symmetry.random(subject.skeleton, rng)
    assert subject.under(symmetry) < ROUNDING
    moved = symmetry.apply(subject.state)
    for key, tensor in symmetry.inverse().apply(moved).items():
        assert torch.equal(tensor, subject.state[key]), key
    for key, tensor in symmetry.then(another).apply(subject.state).items():
        assert torch.equal(tensor, another.apply(moved)[key]), key
    return subject


def _is_fixed_for_a_reason(subject: Subject) -> None:
    """What is fixed could not have been permuted."""
    for group in subject.skeleton.groups:
        if group.fixed:
            assert subject.freed(group) > CHANGED, group


def _needs_every_member(subject: Subject, seed: int) -> None:
    """A matrix left behind is noticed; a bias need not be, a norm may take it away again."""
    for group in subject.free():
        matrices = [member for member in group.members if len(subject.skeleton[member.slot].shape) > 1]
        assert len(matrices) > 1, group
        member = matrices[seed % len(matrices)]
        assert subject.alone(group, member) > CHANGED, (group.name, member)


def _check_tokens(net: nn.Module, seed: int) -> None:
    ids = torch.randint(0, 11, (2, 5), generator=torch.Generator().manual_seed(seed))
    _check(_holds(net, (ids,), seed), seed)


def _check_images(net: nn.Module, seed: int) -> None:
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    _check(_holds(net, (images,), seed), seed)


def _check(subject: Subject, seed: int) -> None:
    _needs_every_member(subject, seed)
    _is_fixed_for_a_reason(subject)


@settings(max_examples=5)
@given(net=token_nets(), seed=seeds)
def test_a_symmetry_of_a_token_net_leaves_its_function_alone(net, seed):
    _check_tokens(net, seed)


@settings(max_examples=5)
@given(net=image_nets(), seed=seeds)
def test_a_symmetry_of_an_image_net_leaves_its_function_alone(net, seed):
    _check_images(net, seed)


@pytest.mark.slow
@settings(max_examples=60)
@given(net=token_nets(), seed=seeds)
def test_a_symmetry_of_many_token_nets(net, seed):
    _check_tokens(net, seed)


@pytest.mark.slow
@settings(max_examples=60)
@given(net=image_nets(), seed=seeds)
def test_a_symmetry_of_many_image_nets(net, seed):
    _check_images(net, seed)
