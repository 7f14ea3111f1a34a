"""A network in a folder: round trip, and what a damaged folder is told."""

import json

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from test_residual_mlp import SPECS, hash_free, random_tensors

from reknit.errors import ContainerError, InputError
from reknit.network.saved import load_model, load_tensors, save_model
from reknit.network.spec import ResidualSpec

SPEC = ResidualSpec(blocks=2, width=3, hidden=4, outputs=2)


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path, SPEC, arrays(random_tensors(SPEC, 0)), "0.1.0")
    return tmp_path


def arrays(tensors):
    """The same numbers in numpy, bit by bit where numpy has no such dtype of its own."""
    raw = {key: value.view(torch.int16) if value.dtype == torch.bfloat16 else value for key, value in tensors.items()}
    return {
        key: raw[key].numpy().view(ml_dtypes.bfloat16) if value.dtype == torch.bfloat16 else raw[key].numpy()
        for key, value in tensors.items()
    }


@given(spec=SPECS, every=st.integers(1, 3), dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]))
def test_round_trip_keeps_every_bit(tmp_path_factory, spec, every, dtype):
    folder = tmp_path_factory.mktemp("model")
    kept = random_tensors(spec, 1, keep=lambda key: hash_free(key) % every == 0)
    tensors = {key: value.to(dtype) for key, value in kept.items()}
    save_model(folder, spec, arrays(tensors), "0.1.0")
    model = load_model(folder)
    assert model.spec == spec
    assert not model.training
    state = model.state_dict()
    assert state.keys() == tensors.keys()
    assert all(state[key].dtype == dtype and torch.equal(state[key], tensors[key]) for key in tensors)
    read = load_tensors(folder)
    assert all(np.array_equal(read[key], value) for key, value in arrays(tensors).items())


def test_a_view_is_written_as_it_looks(tmp_path):
    tensors = random_tensors(SPEC, 0)
    tensors["blocks.0.in.weight"] = torch.arange(12.0, dtype=torch.float64).reshape(3, 4).T
    save_model(tmp_path, SPEC, arrays(tensors), "0.1.0")
    assert torch.equal(load_model(tmp_path).state_dict()["blocks.0.in.weight"], tensors["blocks.0.in.weight"])


def test_same_model_same_bytes(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    save_model(other, SPEC, arrays(random_tensors(SPEC, 0)), "0.1.0")
    for name in ("model.safetensors", "config.json"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


def _change(folder, change):
    tensors = random_tensors(SPEC, 0)
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.pop("head.weight"), "it holds 4 weights where 2 blocks and a head have 5"),
        (lambda t: t.update({"x.weight": t.pop("head.weight")}), "there is no tensor 'head.weight'"),
        (lambda t: t.update({"head.weight": torch.zeros(3, 2)}), "'head.weight' has shape (3, 2), not (2, 3)"),
        (lambda t: t.update({"head.bias": torch.zeros(1)}), "'head.bias' has shape (1,), not (2,)"),
        (lambda t: t.update({"more.bias": torch.zeros(1)}), "there is no place for tensor 'more.bias'"),
        (
            lambda t: t.update({"head.bias": torch.zeros(2, dtype=torch.int8)}),
            "'head.bias' holds int8, not real numbers",
        ),
        (lambda t: t.update({"head.bias": torch.zeros(2)}), "the tensors are of several dtypes"),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder, change, problem):
    _change(folder, change)
    with pytest.raises(ContainerError) as caught:
        load_model(folder)
    assert caught.value.problem == problem
    assert caught.value.where == str(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"architecture": "transformer"}, "the architecture is 'transformer', not 'residual-mlp'"),
        ({"blocks": 0}, "'blocks' is 0, not a positive whole number"),
        ({"width": "3"}, "'width' is '3', not a positive whole number"),
        ({"hidden": True}, "'hidden' is True, not a positive whole number"),
        ({"blocks": 10**12}, "it holds 5 weights where 1000000000000 blocks and a head have 2000000000001"),
        ({"norm": "batch"}, "'norm' is 'batch', not one of none, layer, rms"),
        ({"final_norm": []}, "'final_norm' is [], not one of none, layer, rms"),
        ({"norm_eps": -1}, "'norm_eps' is -1, not a number from 0 to 1"),
    ],
)
def test_a_config_that_describes_nothing_is_refused(folder, change, problem):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert caught.value.problem == problem


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b"[" * 100_000, b"\xff" * 8 + b"{}"])
def test_a_damaged_file_is_named(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert caught.value.where == str(folder / name)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("instead", ["nothing", "a folder"])
def test_a_missing_file_is_named(folder, name, instead):
    (folder / name).unlink()
    if instead == "a folder":
        (folder / name).mkdir()
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert caught.value.problem.startswith("the file cannot be read")
    assert caught.value.where == str(folder / name)
