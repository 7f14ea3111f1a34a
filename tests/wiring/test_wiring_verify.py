"""``verify`` on a wired folder: fresh rows, other networks, wrong places, options, files that do not fit."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import reknit
from reknit.errors import InputError, TableError, UsageError
from wired_nets import NAME, own_net, write_record


@pytest.fixture
def copied(at_home, tmp_path):
    """A copy of the answer's folder that may be changed, and a record of rows it has not seen."""
    wired, made, _ = at_home
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made", write_record(tmp_path / "fresh.npz", wired.module, seed=7, rows=20)


def test_rows_it_has_not_seen_are_exact(copied):
    found = reknit.verify(*copied)
    assert found.verdict == "exact"
    assert found.reason == "every recorded number is reproduced within rounding, and every exchange is rejected"
    assert found.residual["numbers"] == 40
    assert found.residual["max_abs"][0] <= found.residual["tolerance"][0]
    assert found.undecided == ()
    assert found.as_json().keys() == {"verdict", "reason", "residual", "undecided", "version"}
    assert found.version == reknit.__version__


def test_the_record_of_another_network_fails(copied, tmp_path):
    other = write_record(tmp_path / "other.npz", own_net("net", seed=5))
    assert reknit.verify(copied[0], other).verdict == "failed"


def test_two_tensors_in_each_others_slots_fail(copied):
    path = copied[0] / "model.safetensors"
    tensors = load_file(path)
    tensors["0.inp.bias"], tensors["1.inp.bias"] = tensors["1.inp.bias"], tensors["0.inp.bias"]
    save_file(tensors, path)
    assert reknit.verify(*copied).verdict == "failed"


def test_what_a_record_does_not_show_is_undecided(copied, tmp_path):
    module = own_net("net")
    x = np.full((3, 6), 0.0, np.float32)
    state = module.state_dict()
    for k in range(2):  # units that are never on: what they write has no effect on these rows
        state[f"{k}.inp.bias"] -= 100
    tensors = load_file(copied[0] / "model.safetensors")
    save_file(tensors | {f"{k}.inp.bias": state[f"{k}.inp.bias"].numpy() for k in range(2)}, tmp_path / "m")
    shutil.move(tmp_path / "m", copied[0] / "model.safetensors")
    np.savez(tmp_path / "few.npz", inputs=x, outputs=module(torch.from_numpy(x)).numpy())
    found = reknit.verify(copied[0], tmp_path / "few.npz")
    assert found.verdict == "ambiguous"
    assert {slot for slots in found.undecided for slot in slots} >= {"0.out.weight", "1.out.weight"}


@pytest.mark.parametrize(("noise", "verdict"), [(0.01, "consistent"), (None, "failed")])
def test_noise_is_told(copied, noise, verdict):
    folder, record = copied
    stored = dict(np.load(record))
    stored["outputs"] += 0.01 * np.random.default_rng(0).standard_normal(stored["outputs"].shape).astype(np.float32)
    np.savez(record, **stored)
    assert reknit.verify(folder, record, noise=noise).verdict == verdict


def test_noise_told_to_assemble_counts_and_a_link_may_be_told(copied):
    folder, record = copied
    path = folder / "assembly.json"
    content = json.loads(path.read_text())
    content["run"]["noise"] = 0.01
    path.write_text(json.dumps(content))
    stored = dict(np.load(record))
    noisy = stored["outputs"] + 0.01 * np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    np.savez(record, inputs=stored["inputs"], outputs=noisy)
    assert reknit.verify(folder, record).verdict == "consistent"
    np.savez(record, inputs=stored["inputs"], outputs=1 / (1 + np.exp(-stored["outputs"])))
    assert reknit.verify(folder, record, noise=0).verdict == "exact"  # found out
    assert reknit.verify(folder, record, link="identity", noise=0).verdict == "failed"


@pytest.mark.parametrize("option", [{"target": "y"}, {"inputs": "x_*"}])
def test_options_of_a_table_are_refused(copied, option):
    with pytest.raises(UsageError, match="it goes with a residual MLP and its data table") as caught:
        reknit.verify(*copied, **option)
    assert caught.value.where == f"--{next(iter(option))}"


@pytest.mark.parametrize("option", [{"link": "softmax"}, {"noise": 0.1}])
def test_options_of_a_record_are_refused_for_a_residual_mlp(tmp_path, option):
    (tmp_path / "config.json").write_text('{"architecture": "residual-mlp"}')
    with pytest.raises(UsageError, match="it goes with a network wired into a skeleton") as caught:
        reknit.verify(tmp_path, tmp_path / "data.csv", **option)
    assert caught.value.where == f"--{next(iter(option))}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("2.bias"), "'2.bias' holds no tensor"),
        (lambda tensors: tensors.update(more=np.zeros(2, np.float32)), "'more' is no slot"),
        (lambda tensors: tensors.update({"2.bias": np.zeros(3, np.float32)}), "'2.bias' is of another shape there"),
    ],
)
def test_tensors_of_another_network_are_refused(copied, change, words):
    path = copied[0] / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(InputError, match=words) as caught:
        reknit.verify(*copied)
    assert caught.value.remedy == f"Let {NAME}:net make the network that was wired, or assemble again with --force"


def test_a_record_that_the_module_does_not_take_is_refused(copied, tmp_path):
    np.savez(tmp_path / "r.npz", inputs=np.zeros((4, 5), np.float32), outputs=np.zeros((4, 2), np.float32))
    with pytest.raises(TableError, match="does not take the recorded inputs"):
        reknit.verify(copied[0], tmp_path / "r.npz")


def test_inputs_without_outputs_prove_nothing_and_are_refused(copied, tmp_path):
    folder, record = copied
    stored = np.load(record)
    np.savez(tmp_path / "bare.npz", **{key: stored[key] for key in stored.files if key.startswith("input")})
    with pytest.raises(TableError, match="has no array outputs"):
        reknit.verify(folder, tmp_path / "bare.npz")
