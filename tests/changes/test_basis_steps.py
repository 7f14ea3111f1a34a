"""Permutations, factors, signs and rotations keep the function, and the key takes them back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changes.laundered_nets import LIKE, checkpoint, off, setting, tensors
from reknit import launder
from reknit.changes.laundering.registry import read_chain
from reknit.changes.laundering.undoing import undone
from reknit.errors import UsageError

ROUNDING = 2e-6


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("basis")
    return {name: checkpoint(folder, name) for name in LIKE}


def apart(first, second):
    """The largest difference of a number beside the largest of its tensor."""
    return max(float(np.abs(first[k] - second[k]).max() / np.abs(first[k]).max()) for k in first if first[k].size)


@pytest.mark.parametrize("name", ["mlp", "gpt2", "llama"])
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_permutation_keeps_the_function_and_is_taken_back_bit_by_bit(files, name, seed):
    found = launder(files[name], "permute", like=LIKE[name], seed=seed)
    original = tensors(name)
    assert found.verdict == "exact"
    assert off(name, original, found.tensors) < 1e-12
    assert any(not np.array_equal(original[key], found.tensors[key]) for key in original)
    back = undone(found.key, found.tensors, setting(name))
    assert back.keys() == original.keys()
    assert all(np.array_equal(original[key], back[key]) for key in original)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("mlp", "scale"),
        ("mlp", "permute,scale:30"),
        ("gpt2", "scale"),
        ("gpt2", "sign"),
        ("gpt2", "rotate"),
        ("gpt2-apart", "rotate:heads,permute"),
        ("llama", "rotate:streams"),
        ("llama", "sign,scale"),
        ("llama", "rotate,permute,sign,scale"),
    ],
)
@settings(max_examples=2)
@given(seed=st.integers(0, 2**32 - 1))
def test_factors_signs_and_rotations_keep_the_function_and_are_taken_back(files, name, how, seed):
    found = launder(files[name], how, like=LIKE[name], seed=seed)
    original = tensors(name)
    assert found.verdict == "exact"
    assert off(name, original, found.tensors) < ROUNDING
    assert apart(original, found.tensors) > 0.1
    assert apart(original, undone(found.key, found.tensors, setting(name))) < ROUNDING


def test_signs_are_taken_back_bit_by_bit(files):
    found = launder(files["gpt2"], "sign", like=LIKE["gpt2"], seed=3)
    back = undone(found.key, found.tensors, setting("gpt2"))
    assert all(np.array_equal(value, back[key]) for key, value in tensors("gpt2").items())


def test_gains_stay_what_they_were_when_the_stream_is_turned(files):
    found = launder(files["llama"], "rotate:streams", like=LIKE["llama"])
    gains = [key for key in found.tensors if key.endswith("norm.weight")]
    assert gains
    assert all(np.allclose(found.tensors[key], tensors("llama")[key], rtol=1e-6) for key in gains)


def test_only_what_a_pattern_names_is_changed(files):
    found = launder(files["gpt2"], "permute@stream", like=LIKE["gpt2"])
    (record,) = found.key.steps
    assert [each["group"] for each in record.facts["groups"]] == ["stream"]
    order = record.facts["groups"][0]["order"][0]
    original = tensors("gpt2")
    assert np.array_equal(found.tensors["transformer.wte.weight"], original["transformer.wte.weight"][:, order])
    # the units of the MLP stay where they were
    key = "transformer.h.0.mlp.c_fc.bias"
    assert np.array_equal(found.tensors[key], original[key])


def test_the_key_says_the_factors_of_every_unit(files):
    found = launder(files["mlp"], "scale:8@layers.0", like=LIKE["mlp"])
    ((group,),) = ([*each.facts["groups"]] for each in found.key.steps)
    original, factors = tensors("mlp"), group["factors"][0]
    assert (np.abs(np.log(factors)) <= np.log(8)).all()
    power = dict(zip(group["members"], group["exponents"], strict=True))["layers.0.weight[0]"]
    meant = original["layers.0.weight"] * factors[:, None] ** power
    assert np.allclose(found.tensors["layers.0.weight"], meant, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("mlp", "sign", "no unit may be turned in sign"),
        ("mlp", "rotate", "relu acts on each of its units"),
        ("mlp", "permute@nothing", "Groups that it may change: layers.0, layers.1"),
        ("llama", "rotate:heads@stream", "no group that it may change fits 'stream'"),
    ],
)
def test_what_a_skeleton_has_none_of_is_refused_in_words(files, name, how, words):
    with pytest.raises(UsageError, match=words):
        launder(files[name], how, like=LIKE[name])


def test_a_step_behind_which_the_function_is_another_fails(files, monkeypatch, tmp_path):
    from reknit.changes.laundering.permuting import Permute
    from reknit.errors import OutputError

    right = Permute.run

    def wrong(self, state, drawn):
        moved, facts = right(self, state, drawn)
        key = "layers.1.bias"
        return moved.with_numbers({key: moved.tensors[key] + np.float32(1e-3)}), facts

    monkeypatch.setattr(Permute, "run", wrong)
    found = launder(files["mlp"], "permute", like=LIKE["mlp"])
    assert found.verdict == "failed"
    assert "permute: computes something else" in found.reason
    with pytest.raises(OutputError, match="would compute something else"):
        launder(files["mlp"], "permute", like=LIKE["mlp"], out=tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


def test_chains_are_read_as_they_are_written():
    told = read_chain("permute, scale:3@mlp*,round:4:row")
    assert [each.step.name for each in told] == ["permute", "scale", "round"]
    assert (told[1].step.most, told[1].step.only) == (3.0, "mlp*")
    assert read_chain(["permute", "scale:3@mlp*", "round:row:4"])[2].step == told[2].step
