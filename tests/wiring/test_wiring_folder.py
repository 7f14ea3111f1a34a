"""The folder of a wiring: tensors by slot, what they were placed into, the answer; written whole or not at all."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from reknit.errors import InputError, OutputError
from reknit.wiring.folder import ASSEMBLY_FILE, CONFIG_FILE, MODEL_FILE, save_wiring
from reknit.wiring.load import load

TENSORS = {"b.weight": np.arange(6.0, dtype=np.float32).reshape(2, 3).T, "a.steps": np.array([3], dtype=np.int64)}
CONTENT = {"verdict": "ambiguous", "version": "9.9", "slots": [{"margin": float("inf")}]}


def saved(folder, tensors=TENSORS, *, force=False):
    save_wiring(tensors, "package.module:net", CONTENT, folder, force=force)


def test_three_files_hold_what_was_given(tmp_path):
    saved(tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {MODEL_FILE, CONFIG_FILE, ASSEMBLY_FILE}
    stored = load_file(tmp_path / "out" / MODEL_FILE)
    assert stored.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        assert stored[key].dtype == tensor.dtype
        np.testing.assert_array_equal(stored[key], tensor)
    config = json.loads((tmp_path / "out" / CONFIG_FILE).read_text(encoding="utf-8"))
    assert config == {"architecture": "wired", "like": "package.module:net", "version": "9.9"}
    text = (tmp_path / "out" / ASSEMBLY_FILE).read_text(encoding="utf-8")
    assert json.loads(text)["verdict"] == "ambiguous"
    assert "Infinity" not in text


def test_an_assembly_is_replaced_only_if_forced(tmp_path):
    saved(tmp_path / "out")
    with pytest.raises(OutputError):
        saved(tmp_path / "out", {"other": np.zeros(2, np.float32)})
    assert load_file(tmp_path / "out" / MODEL_FILE).keys() == TENSORS.keys()
    saved(tmp_path / "out", {"other": np.zeros(2, np.float32)}, force=True)
    assert load_file(tmp_path / "out" / MODEL_FILE).keys() == {"other"}


def test_a_folder_with_files_of_others_is_never_replaced(tmp_path):
    saved(tmp_path / "out")
    (tmp_path / "out" / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError):
        saved(tmp_path / "out", force=True)
    assert (tmp_path / "out" / "letter.txt").read_text(encoding="utf-8") == "mine"


def test_nothing_is_left_of_a_folder_that_could_not_be_written(tmp_path):
    with pytest.raises(TypeError):
        save_wiring(TENSORS, "net", {**CONTENT, "foreign": object()}, tmp_path / "out", force=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architecture": "wired"}, "'like' is None"),
        ({"architecture": "wired", "like": "mlp:sizes=2-3-1"}, "missing"),
        ({"architecture": "other"}, "the architecture is 'other'"),
    ],
)
def test_what_cannot_be_loaded_is_said(tmp_path, config, words):
    saved(tmp_path / "out")
    (tmp_path / "out" / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        load(tmp_path / "out")
