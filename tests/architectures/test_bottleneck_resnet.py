"""Bottleneck nets against transformers' own with the same weights, and flat nets against square ones."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.networks import assert_every_tensor_matters, assert_exports, build, filled, others_slow
from reknit.architectures.bottleneck_resnet import bottleneck_resnet, example_inputs
from reknit.architectures.configs.bottleneck_resnet import BottleneckResnetConfig
from reknit.architectures.configs.stage import Stage
from reknit.architectures.load import hold
from reknit.errors import UsageError

SMALL = BottleneckResnetConfig(
    inputs=3, stem=4, stages=(Stage(2, 2), Stage(1, 3, 3, 2), Stage(2, 4, 3, 2)), outputs=5, expansion=2
)
CONFIGS = [
    SMALL,
    dataclasses.replace(SMALL, dimensions=1, bias=True, stem_pool=False, activation="silu"),
    dataclasses.replace(SMALL, stem_kernel=3, stem_stride=1, stages=(Stage(1, 2, 5, 1, 2),), stride_first=True),
]


def their_keys(config, state):
    """Our state under the keys of transformers."""
    parts = {"conv": "convolution", "bn": "normalization"}
    theirs = {}
    for key, value in state.items():
        first, *rest = key.split(".")
        if first.startswith("layer"):
            stage, block, name, *tail = int(first[5:]) - 1, *rest
            place = f"resnet.encoder.stages.{stage}.layers.{block}"
            if name == "downsample":
                theirs[f"{place}.shortcut.{['convolution', 'normalization'][int(tail[0])]}.{tail[1]}"] = value
            else:
                theirs[f"{place}.layer.{int(name[-1]) - 1}.{parts[name[:-1]]}.{tail[0]}"] = value
        elif first == "fc":
            theirs[f"classifier.1.{rest[0]}"] = value
        else:
            theirs[f"resnet.embedder.embedder.{parts[first[:-1]]}.{rest[0]}"] = value
    return theirs


@pytest.mark.slow
@settings(max_examples=6)
@given(st.booleans(), st.integers(8, 20), st.integers(0, 1000))
def test_is_that_of_transformers(stride_first, size, seed):
    import transformers

    config = dataclasses.replace(SMALL, stride_first=stride_first, expansion=4)
    settings_ = transformers.ResNetConfig(
        num_channels=config.inputs,
        embedding_size=config.stem,
        hidden_sizes=[config.expansion * stage.width for stage in config.stages],
        depths=[stage.blocks for stage in config.stages],
        layer_type="bottleneck",
        downsample_in_bottleneck=stride_first,
        num_labels=config.outputs,
    )
    theirs = transformers.ResNetForImageClassification(settings_).double().eval()
    ours = filled(bottleneck_resnet, config, seed)
    theirs.load_state_dict(their_keys(config, ours.state_dict()))
    x = torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(ours(x), theirs(x).logits)


def test_an_image_one_row_high_is_a_sequence():
    """Kernels of the flat net stand in the middle row of those of the square net."""
    flat, square = (
        filled(bottleneck_resnet, CONFIGS[1]),
        build(bottleneck_resnet, dataclasses.replace(CONFIGS[1], dimensions=2)),
    )
    state = {}
    for key, slot in square.state_dict().items():
        value = flat.state_dict()[key]
        if slot.ndim == 4:
            value = torch.zeros(slot.shape, dtype=value.dtype)
            value[:, :, slot.shape[2] // 2] = flat.state_dict()[key]
        state[key] = value
    x = torch.randn(2, 3, 40, dtype=torch.float64)
    torch.testing.assert_close(hold(square, state)(x[:, :, None]), flat(x))


@pytest.mark.parametrize("config", others_slow(CONFIGS))
def test_exports_on_the_meta_device(config):
    assert_exports(bottleneck_resnet, config, example_inputs)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_tensor_matters(config):
    x = torch.randn(2, 3, *[16] * config.dimensions, dtype=torch.float64)
    smooth = dataclasses.replace(config, activation="silu")  # two units behind a ReLU may both be silent
    assert_every_tensor_matters(bottleneck_resnet, smooth, (x,), ("num_batches_tracked",))


def test_resnet_50_has_its_parameters():
    model = build(bottleneck_resnet, BottleneckResnetConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 25_557_032  # as published


def test_config_refuses_an_even_kernel():
    with pytest.raises(UsageError, match=r"stage: kernel is 2\. Give an odd size: it has a middle"):
        Stage(1, 2, 2)
