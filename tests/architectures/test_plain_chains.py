"""Plain MLPs, plain chains of convolutions and residual MLPs against torch's own layers in a row."""

import dataclasses
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from architectures.networks import assert_every_tensor_matters, assert_exports, filled
from reknit.architectures.configs.conv_chain import ConvChainConfig
from reknit.architectures.configs.mlp import MlpConfig
from reknit.architectures.configs.residual_mlp import NORMS, ResidualMlpConfig
from reknit.architectures.conv_chain import conv_chain
from reknit.architectures.conv_chain import example_inputs as example_images
from reknit.architectures.mlp import example_inputs as example_rows
from reknit.architectures.mlp import mlp
from reknit.architectures.residual_mlp import example_inputs, residual_mlp
from reknit.errors import UsageError
from reknit.network.residual_mlp import ResidualMLP
from reknit.network.spec import ResidualSpec

sizes = st.integers(1, 6)
mlps = st.builds(
    MlpConfig, st.lists(sizes, min_size=2, max_size=5).map(tuple), st.booleans(), st.booleans(), eps=st.just(1e-3)
)
chains = st.builds(
    lambda channels, kernels, strides, **rest: ConvChainConfig(
        channels, kernels[: len(channels) - 1], strides[: len(channels) - 1], **rest
    ),
    st.lists(sizes, min_size=2, max_size=5).map(tuple),
    st.tuples(*[st.sampled_from([1, 3, 5])] * 4),
    st.tuples(*[st.integers(1, 2)] * 4),
    outputs=st.integers(0, 3),
    dimensions=st.integers(1, 2),
    batch_norm=st.booleans(),
    bias=st.booleans(),
)
residual_mlps = st.builds(
    ResidualMlpConfig,
    blocks=st.integers(1, 3),
    width=sizes,
    hidden=sizes,
    outputs=sizes,
    inputs=st.integers(0, 3),
    activation=st.sampled_from(["relu", "silu"]),
    norm=st.sampled_from(NORMS),
    final_norm=st.sampled_from(NORMS),
    affine=st.booleans(),
    bias=st.booleans(),
)
EVERYTHING = ResidualMlpConfig(2, 4, 5, 3, inputs=6, norm="batch", final_norm="rms")


def in_a_row(layers, tensors):
    """torch's layers one after the other, holding the tensors in that order."""
    row = nn.Sequential(*layers).double().eval()
    row.load_state_dict(dict(zip(row.state_dict(), tensors, strict=True)))
    return row


@settings(max_examples=30)
@given(mlps, st.integers(0, 1000))
def test_mlp_is_torchs_layers_in_a_row(config, seed):
    model = filled(mlp, config, seed)
    layers = []
    for inputs, outputs in pairwise(config.sizes):
        layers.append(nn.Linear(inputs, outputs, bias=config.bias))
        layers += [nn.BatchNorm1d(outputs, config.eps)] * config.batch_norm + [nn.ReLU()]
    del layers[-1 - config.batch_norm :]
    tensors = [model.state_dict()[key] for key in rank_keys(model)]
    x = torch.randn(3, config.sizes[0], dtype=torch.float64)
    torch.testing.assert_close(model(x), in_a_row(layers, tensors)(x))


def rank_keys(model):
    """Keys of a chain in the order of the forward pass: every layer, then its norm; the head at the end."""

    def rank(key):
        kind, number, *_ = key.split(".")
        return (number == "weight" or number == "bias", int(number) if number.isdigit() else 0, kind == "norms")

    return sorted(model.state_dict(), key=rank)


@settings(max_examples=30)
@given(chains, st.integers(0, 1000))
def test_conv_chain_is_torchs_layers_in_a_row(config, seed):
    model = filled(conv_chain, config, seed)
    conv, norm = (nn.Conv1d, nn.BatchNorm1d) if config.dimensions == 1 else (nn.Conv2d, nn.BatchNorm2d)
    layers = []
    for k, (inputs, outputs) in enumerate(pairwise(config.channels)):
        kernel = config.kernel_of_each[k]
        layers.append(conv(inputs, outputs, kernel, config.stride_of_each[k], kernel // 2, bias=config.bias))
        layers += [norm(outputs, config.eps)] * config.batch_norm + [nn.ReLU()]
    if config.outputs:
        pool = nn.AdaptiveAvgPool1d(1) if config.dimensions == 1 else nn.AdaptiveAvgPool2d(1)
        layers += [pool, nn.Flatten(), nn.Linear(config.channels[-1], config.outputs)]
    else:
        del layers[-1 - config.batch_norm :]
    x = torch.randn(2, config.channels[0], *[9] * config.dimensions, dtype=torch.float64)
    row = in_a_row(layers, [model.state_dict()[key] for key in rank_keys(model)])
    torch.testing.assert_close(model(x), row(x))


@settings(max_examples=40)
@given(residual_mlps, st.integers(0, 1000))
def test_residual_mlp_is_its_equation(config, seed):
    model = filled(residual_mlp, config, seed)
    state = model.state_dict()

    def linear(key, x):
        return x @ state[f"{key}.weight"].T + state.get(f"{key}.bias", 0)

    def norm(kind, key, x):
        weight, bias = state.get(f"{key}.weight", 1), state.get(f"{key}.bias", 0)
        if kind == "layer":
            x = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + config.eps).sqrt()
        elif kind == "rms":
            x = x / (x.square().mean(1, keepdim=True) + config.eps).sqrt()
        elif kind == "batch":
            x = (x - state[f"{key}.running_mean"]) / (state[f"{key}.running_var"] + config.eps).sqrt()
        return x * weight + bias

    given_x = torch.randn(3, config.inputs or config.width, dtype=torch.float64)
    act = {"relu": torch.relu, "silu": nn.functional.silu}[config.activation]
    x = linear("stem", given_x) if config.inputs else given_x
    for k in range(config.blocks):
        inner = linear(f"blocks.{k}.in", norm(config.norm, f"blocks.{k}.norm", x))
        x = x + linear(f"blocks.{k}.out", act(inner))
    torch.testing.assert_close(model(given_x), linear("head", norm(config.final_norm, "final_norm", x)))


@given(st.sampled_from(["none", "layer", "rms"]), st.integers(0, 1000))
def test_without_stem_and_affine_norms_it_is_the_first_releases(norm, seed):
    config = ResidualMlpConfig(3, 4, 5, 2, norm=norm, final_norm=norm, affine=False, eps=1e-4)
    model = filled(residual_mlp, config, seed)
    spec = ResidualSpec(3, 4, 5, 2, norm=norm, final_norm=norm, norm_eps=1e-4)
    x = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(model(x), ResidualMLP.from_tensors(spec, model.state_dict())(x))


@pytest.mark.parametrize(
    ("architecture", "config", "inputs"),
    [
        (mlp, MlpConfig((4, 5, 6, 3), batch_norm=True), example_rows),
        (conv_chain, ConvChainConfig((2, 3, 4), (3, 5), (1, 2), 3), example_images),
        (conv_chain, ConvChainConfig((2, 3, 4), outputs=0, dimensions=1), example_images),
        (residual_mlp, EVERYTHING, example_inputs),
        (residual_mlp, dataclasses.replace(EVERYTHING, inputs=0, norm="layer", final_norm="none"), example_inputs),
    ],
)
def test_exports_on_the_meta_device_and_every_tensor_matters(architecture, config, inputs):
    assert_exports(architecture, config, inputs)
    x = tuple(torch.randn_like(part, dtype=torch.float64) for part in inputs(config))
    assert_every_tensor_matters(architecture, config, x, ("num_batches_tracked",))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MlpConfig((3,)), "mlp: sizes are (3,). Give at least two positive sizes: input and answer."),
        (
            lambda: ConvChainConfig((3, 4, 5), kernels=(3, 3, 3)),
            "conv-chain: kernels are (3, 3, 3) for 2 convolutions. Give one positive number for each, or one for all.",
        ),
        (lambda: ConvChainConfig(dimensions=3), "conv-chain: dimensions is 3. Give 1 or 2."),
        (
            lambda: ResidualMlpConfig(norm="group"),
            "residual-mlp: norm is 'group'. Choose one of none, layer, rms, batch.",
        ),
    ],
)
def test_configs_refuse(make, sentence):
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == sentence
