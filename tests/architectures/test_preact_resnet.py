"""Pre-activation nets against a reference in numpy, in both dimensions, and with the weights of SpliceAI."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.networks import assert_every_tensor_matters, assert_exports, build, checkpoint, filled, others_slow
from architectures.splice_ai import read_splice_ai
from reknit.architectures.configs.preact_resnet import PreactResnetConfig
from reknit.architectures.configs.stage import Stage
from reknit.architectures.load import hold
from reknit.architectures.preact_resnet import SPLICE_AI_10K, example_inputs, preact_resnet
from reknit.errors import UsageError

SKIPS = PreactResnetConfig(
    inputs=4,
    stem=5,
    stages=(Stage(2, 5, 3), Stage(1, 5, 5, 1, 2)),
    outputs=3,
    dimensions=1,
    stem_kernel=1,
    skips=True,
    final_norm=False,
    per_position=True,
    crop=3,
    softmax=True,
    bias=True,
    eps=1e-3,
)
CLASSES = PreactResnetConfig(inputs=2, stem=3, stages=(Stage(2, 3), Stage(1, 4, 3, 2), Stage(1, 4, 1, 2)), outputs=3)
CONFIGS = [
    SKIPS,
    CLASSES,
    dataclasses.replace(CLASSES, dimensions=1, bias=True, final_norm=False, activation="gelu"),
    dataclasses.replace(CLASSES, per_position=True, crop=1),
]
# beta-globin of man: the first two exons, in capitals, and the intron between them
GLOBIN = (
    "ACATTTGCTTCTGACACAACTGTGTTCACTAGCAACCTCAAACAGACACCATGGTGCATCTGACTCCTGAGGAGAAGTCTGCCGTTACTGCCCTGTGGGGCAAGGTGAACGTGGATGAAG"
    "TTGGTGGTGAGGCCCTGGGCAG"
    "gttggtatcaaggttacaagacaggtttaaggagaccaatagaaactgggcatgtggagacagagaagactcttgggtttctgataggcactgactctctctgcctattggtctattttcc"
    "cacccttag"
    "GCTGCTGGTGGTCTACCCTTGGACCCAGAGGTTCTTTGAGTCCTTTGGGGATCTGTCCACTCCTGATGCTGTTATGGGCAACCCTAAGGTGAAGGCTCATGGCAAGAAAGTGCTCGGTGC"
    "CTTTAGTGATGGCCTGGCTCACCTGGACAACCTCAAGGGCACCTTTGCCACACTGAGTGAGCTGCACTGTGACAAGCTGCACGTGGATCCTGAGAACTTCAGG"
)


def reference_1d(config, state, x):
    """The answer for one sequence (channels x positions), written from the equations."""

    def conv(key, x, dilation=1, stride=1):
        kernel, bias = state[f"{key}.weight"], state.get(f"{key}.bias", np.zeros(len(state[f"{key}.weight"])))
        reach = dilation * (kernel.shape[2] // 2)
        padded = np.pad(x, ((0, 0), (reach, reach)))
        taps = range(kernel.shape[2])
        return (
            bias[:, None] + sum(kernel[:, :, t] @ padded[:, t * dilation :][:, : x.shape[1]] for t in taps)[:, ::stride]
        )

    def relu_norm(key, x):
        weight, bias, mean, var = (state[f"{key}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        return np.maximum((x - mean[:, None]) / np.sqrt(var + config.eps)[:, None] * weight[:, None] + bias[:, None], 0)

    x = conv("stem", x)
    skipped = conv("skips.0", x) if config.skips else None
    for s, stage in enumerate(config.stages):
        for b in range(stage.blocks):
            at, stride = f"stages.{s}.{b}", stage.stride if b == 0 else 1
            active = relu_norm(f"{at}.bn1", x)
            inner = relu_norm(f"{at}.bn2", conv(f"{at}.conv1", active, stage.dilation, stride))
            x = conv(f"{at}.shortcut", active, 1, stride) if f"{at}.shortcut.weight" in state else x
            x = x + conv(f"{at}.conv2", inner, stage.dilation)
        if config.skips:
            skipped = skipped + conv(f"skips.{s + 1}", x)
    x = skipped if config.skips else x
    x = relu_norm("norm", x) if config.final_norm else x
    x = x[:, config.crop : x.shape[1] - config.crop]
    answer = conv("head", x) if config.per_position else state["head.weight"] @ x.mean(1) + state["head.bias"]
    shares = np.exp(answer - answer.max(0))
    return shares / shares.sum(0) if config.softmax else answer


@settings(max_examples=20)
@given(
    st.sampled_from([SKIPS, dataclasses.replace(SKIPS, bias=False, softmax=False, crop=0, final_norm=True)])
    | st.sampled_from([dataclasses.replace(CLASSES, dimensions=1, bias=bias) for bias in (True, False)]),
    st.integers(8, 20),
    st.integers(0, 1000),
)
def test_is_its_equations(config, length, seed):
    model = filled(preact_resnet, config, seed)
    x = torch.randn(2, config.inputs, length, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    expected = np.stack([reference_1d(config, state, row) for row in x.numpy()])
    np.testing.assert_allclose(model(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", [SKIPS, dataclasses.replace(CLASSES, dimensions=1)])
def test_an_image_one_row_high_is_a_sequence(config):
    """Kernels of the flat net stand in the middle row of those of the square net."""
    flat_config = dataclasses.replace(config, crop=0)
    square_config = dataclasses.replace(flat_config, dimensions=2)
    flat, square = filled(preact_resnet, flat_config), build(preact_resnet, square_config)
    state = {}
    for key, slot in square.state_dict().items():
        value = flat.state_dict()[key]
        if slot.ndim == 4:
            value = torch.zeros(slot.shape, dtype=value.dtype)
            value[:, :, slot.shape[2] // 2] = flat.state_dict()[key]
        state[key] = value
    x = torch.randn(2, config.inputs, 16, dtype=torch.float64)
    answer = hold(square, state)(x[:, :, None])
    torch.testing.assert_close(answer.reshape(flat(x).shape), flat(x))


@pytest.mark.parametrize("config", others_slow(CONFIGS))
def test_exports_on_the_meta_device(config):
    assert_exports(preact_resnet, config, example_inputs)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_tensor_matters(config):
    x = torch.randn(2, config.inputs, *[16] * config.dimensions, dtype=torch.float64)
    assert_every_tensor_matters(preact_resnet, config, (x,), ("num_batches_tracked",))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"stages": ()}, "preact-resnet: there are no stages. Give at least one."),
        ({"dimensions": 3}, "preact-resnet: dimensions is 3. Give 1 or 2."),
        ({"stem_kernel": 4}, "preact-resnet: stem_kernel is 4. Give an odd size: it has a middle."),
        (
            {"stages": (Stage(1, 6),)},
            "preact-resnet: skips are summed, but stages differ in size. "
            "Give every stage the stem's width and stride 1.",
        ),
    ],
)
def test_config_refuses(wrong, sentence):
    with pytest.raises(UsageError) as caught:
        dataclasses.replace(SKIPS, **wrong)
    assert str(caught.value) == sentence


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 6))
def test_splice_ai_finds_the_splice_sites_of_a_gene(number):
    state = read_splice_ai(checkpoint("spliceai", f"spliceai/models/spliceai{number}.h5"))
    assert sum(value.numel() for value in state.values()) == 698_787  # of the h5 file
    model = hold(build(preact_resnet, SPLICE_AI_10K), state)
    letters = torch.tensor(["ACGT".index(letter) for letter in GLOBIN.upper()])
    margin = torch.zeros(4, SPLICE_AI_10K.crop)
    x = torch.cat((margin, torch.nn.functional.one_hot(letters, 4).T.float(), margin), 1)[None]
    neither, acceptor, donor = model(x)[0]
    torch.testing.assert_close(neither + acceptor + donor, torch.ones(len(GLOBIN)))
    intron = [place for place, letter in enumerate(GLOBIN) if letter.islower()]
    assert donor.argmax() == intron[0] - 1  # the last letter of the exon before
    assert acceptor.argmax() == intron[-1] + 1  # the first of the exon behind
    assert min(donor.max(), acceptor.max()) > 0.5
