"""Every built-in architecture by name: its module, its slots, its spelling; and that none of it needs torch."""

import dataclasses
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.networks import build
from architectures.random_configs import CONFIGS
from reknit.architectures.load import tied_keys
from reknit.architectures.registry import ARCHITECTURES, architecture_of
from reknit.architectures.spelling import as_json, from_json, read_config, spell_config
from reknit.errors import InputError, UsageError

any_config = st.sampled_from(sorted(CONFIGS)).flatmap(CONFIGS.__getitem__)


def test_there_are_configs_for_every_architecture():
    assert CONFIGS.keys() == ARCHITECTURES.keys()
    assert all(architecture_of(architecture.config()) is architecture for architecture in ARCHITECTURES.values())


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=10)
@given(data=st.data())
def test_slots_are_the_shapes_of_the_module(name, data):
    """A tied tensor and a counter stand among the extras."""
    config = data.draw(CONFIGS[name])
    module = build(ARCHITECTURES[name].build, config)
    assert not module.training
    transposed = {"c_attn", "c_fc", "c_proj", "q_proj", "k_proj", "v_proj"} if getattr(config, "transposed", 0) else ()
    shapes = {
        key: tuple(value.shape)[:: -1 if set(key.split(".")) & set(transposed) and key.endswith("weight") else 1]
        for key, value in module.state_dict().items()
    }
    second = [key for keys in tied_keys(module) for key in keys[1:]]
    counters = [key for key in shapes if key.endswith("num_batches_tracked")]
    needed = Counter(shapes[key] for key in shapes if key not in {*second, *counters})
    extras = Counter(shapes[key] for key in [*second, *counters])
    slots = config.slots()
    assert Counter(slot.shape for slot in slots.needed) == needed
    assert Counter(slot.shape for bundle in slots.extras.values() for slot in bundle) == extras


@given(any_config)
def test_spelling_is_read_back(config):
    assert read_config(spell_config(config)) == config


@given(any_config)
def test_json_is_read_back(config):
    import json

    assert from_json(json.loads(json.dumps(as_json(config)))) == config


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("bret:layers=1", "--like: there is no built-in architecture 'bret'. Choose one of residual-mlp, gpt2, bert, "),
        ("mlp:size=3", "--like: mlp has no 'size'. Choose of sizes, batch_norm, bias, activation, eps."),
        ("mlp:sizes", "--like: sizes of mlp has no value. Write sizes=...."),
        ("gpt2:layers=two", "--like: layers of gpt2 is 'two'. Give a whole number."),
        ("gpt2:fused=no", "--like: fused of gpt2 is 'no'. Give true or false."),
        ("gpt2:eps=small", "--like: eps of gpt2 is 'small'. Give a number."),
        ("bert:pooled_heads=a", "--like: pooled_heads of bert has a part 'a'. Write a name, a colon and a size."),
        (
            "preact-resnet:stages=2",
            "--like: stages of preact-resnet has a stage '2'. "
            "Write blocks, x, width, then perhaps k and its kernel, s and its stride, d and its dilation.",
        ),
    ],
)
def test_spelling_refuses(line, sentence):
    with pytest.raises(UsageError) as caught:
        read_config(line)
    assert str(caught.value).startswith(sentence)


def test_stages_are_spelled_shortly():
    line = "preact-resnet:stages=4x32k11-4x32k11d4-2x64s2,dimensions=1"
    assert spell_config(read_config(line)) == line


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"architecture": "lenet"}, "here: the architecture is 'lenet'. reknit knows residual-mlp, gpt2, "),
        ({"architecture": "mlp", "sizes": "3-4"}, "here: sizes of mlp is '3-4'. Correct the value, or leave it away "),
        ({"architecture": "mlp", "bias": 1}, "here: bias of mlp is 1. Correct the value, "),
        (
            {"architecture": "preact-resnet", "stages": [{"blocks": 1}]},
            "here: stages of preact-resnet is {'blocks': 1}",
        ),
    ],
)
def test_json_refuses(values, sentence):
    with pytest.raises(InputError) as caught:
        from_json(values, "here")
    assert str(caught.value).startswith(sentence)


def test_configs_load_no_torch():
    code = (
        "import sys; from reknit.architectures.spelling import read_config; "
        "read_config('bert').slots(); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_configs_are_values():
    for architecture in ARCHITECTURES.values():
        config = architecture.config()
        assert hash(config) == hash(dataclasses.replace(config))
