"""What is on disk after a drop, and what is not."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from reknit.errors import OutputError, UsageError
from reknit.network.residual_mlp import ResidualMLP
from reknit.network.spec import ResidualSpec
from reknit.puzzle.train import train_network
from reknit.puzzle.verb import drop

SMALL = {"blocks": 3, "width": 6, "hidden": 8, "epochs": 1}


def _bytes(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _float32(table, pattern):
    return np.ascontiguousarray(table.select(pattern).to_numpy(), np.float32)


def _rebuilt(folder, key):
    """The network as the key puts it together."""
    spec = ResidualSpec.from_config(key["spec"])
    layers = [f"blocks.{k}.{layer}" for k in range(spec.blocks) for layer in ("in", "out")] + ["head"]
    tensors = {}
    for layer, name in zip(layers, key["order"], strict=True):
        piece = torch.load(folder / "pieces" / f"{name}.pth", weights_only=True)
        tensors |= {f"{layer}.{part}": value for part, value in piece.items()}
    return ResidualMLP.from_tensors(spec, tensors)


@pytest.mark.parametrize("data", ["digits", "diabetes"])
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_the_key_puts_the_recorded_network_back_together(tmp_path, data, norm):
    dropped = drop(tmp_path / "net", **SMALL, data=data, norm=norm, seed=1)
    key = json.loads(dropped.key.read_text())
    assert tuple(key["order"]) == dropped.order
    table = pl.read_csv(dropped.table)
    inputs, pred = _float32(table, r"^input_\d+$"), _float32(table, r"^pred(_\d+)?$")
    assert inputs.shape == (dropped.rows, SMALL["width"])
    assert pred.shape[1] == key["spec"]["outputs"]
    rebuilt = _rebuilt(dropped.folder, key)
    np.testing.assert_array_equal(rebuilt(torch.from_numpy(inputs)).numpy(), pred)  # equal, not close


@pytest.mark.parametrize("data", ["digits", "friedman"])
def test_the_digits_printed_give_back_every_bit(tmp_path, data):
    dropped = drop(tmp_path / "net", **SMALL, data=data)
    trained = train_network(**SMALL, data=data)
    table = pl.read_csv(dropped.table)
    np.testing.assert_array_equal(_float32(table, r"^input_\d+$"), trained.inputs.numpy())
    np.testing.assert_array_equal(_float32(table, r"^pred(_\d+)?$"), trained.outputs.numpy())
    truth = trained.truth.numpy()
    np.testing.assert_array_equal(table["true"].to_numpy().astype(truth.dtype), truth)


def test_columns_come_in_the_documented_order(tmp_path):
    several = pl.read_csv(drop(tmp_path / "a", **SMALL).table).columns
    assert several == [*(f"input_{j}" for j in range(6)), *(f"pred_{j}" for j in range(10)), "true"]
    one = pl.read_csv(drop(tmp_path / "b", **SMALL, data="diabetes").table).columns
    assert one == [*(f"input_{j}" for j in range(6)), "pred", "true"]


def test_the_key_says_how_the_stream_was_made(tmp_path):
    from sklearn.datasets import load_diabetes

    dropped = drop(tmp_path / "net", **SMALL, data="diabetes", seed=2)
    key = json.loads(dropped.key.read_text())
    raw, _ = load_diabetes(return_X_y=True)
    stream = (raw - key["feature_mean"]) / key["feature_scale"] @ np.array(key["projection"])
    inputs = pl.read_csv(dropped.table).select(r"^input_\d+$").to_numpy()
    np.testing.assert_allclose(stream, inputs, rtol=1e-5, atol=1e-5)
    assert (key["data"], key["epochs"], key["seed"]) == ("diabetes", 1, 2)


def test_nothing_in_the_folder_gives_the_answer_away(tmp_path):
    dropped = drop(tmp_path / "net", **SMALL)
    files = sorted(path.name for path in dropped.folder.rglob("*") if path.is_file())
    assert files == sorted(["data.csv", *(f"piece_{k}.pth" for k in range(7))])
    assert dropped.key == tmp_path / "net.key.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "net.key.json"]
    assert list(dropped.order) != [f"piece_{k}" for k in range(7)]
    assert set(dropped.order) == {f"piece_{k}" for k in range(7)}
    content = b"".join(_bytes(dropped.folder).values())
    assert b"blocks" not in content
    assert b"head" not in content


def test_same_seed_same_bytes(tmp_path):
    first, again, other = (
        drop(tmp_path / name, **SMALL, data="diabetes", seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert _bytes(first.folder) == _bytes(again.folder)
    assert first.key.read_bytes() == again.key.read_bytes()
    assert _bytes(first.folder) != _bytes(other.folder)
    assert first.order != other.order


@pytest.mark.parametrize("there", ["net", "net.key.json"])
def test_nothing_is_overwritten_without_force(tmp_path, there):
    (tmp_path / there).write_text("mine")
    with pytest.raises(OutputError) as caught:
        drop(tmp_path / "net", **SMALL, data="diabetes")
    assert caught.value.where == str(tmp_path / there)
    assert "--force" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_force_replaces_a_drop_whole(tmp_path):
    drop(tmp_path / "net", **(SMALL | {"blocks": 5}), data="diabetes")
    dropped = drop(tmp_path / "net", **SMALL, data="diabetes", force=True)
    assert len(list(dropped.pieces.iterdir())) == 7
    assert len(json.loads(dropped.key.read_text())["order"]) == 7


def test_a_bad_option_writes_nothing(tmp_path):
    with pytest.raises(UsageError):
        drop(tmp_path / "net", blocks=0)
    assert not list(tmp_path.iterdir())
