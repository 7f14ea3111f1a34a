"""From the command line: drop, assemble, verify, load; the exit statuses; the puzzle; a real kill."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import reknit
from reknit.cli import main

ROOT = Path(__file__).resolve().parents[1]
PUZZLE = Path(os.environ.get("REKNIT_PUZZLE", ROOT.parent / "shared" / "puzzle"))
SHA256 = "093be1cf2d24094db903cbc3e8d33d306ebca49c6accaa264e44b0b675e7d9c4"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

needs_puzzle = pytest.mark.skipif(not (PUZZLE / "pieces").is_dir(), reason=f"the puzzle is not in {PUZZLE}")


def run(capsys, *words):
    """Exit status and stdout of a command, run in this process."""
    status = main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def dropped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("e2e") / "net"
    reknit.drop(folder, blocks=6, width=16, hidden=24, epochs=3)
    return folder


def key(folder):
    return json.loads(folder.with_name(f"{folder.name}.key.json").read_text())["order"]


def split(table, folder, rows):
    """The table in two: the first rows, and the others."""
    frame = pl.read_csv(table)
    first, rest = folder / "first.csv", folder / "rest.csv"
    frame[:rows].write_csv(first)
    frame[rows:].write_csv(rest)
    return first, rest


def test_drop_assemble_verify_load(capsys, tmp_path):
    net, out, report = tmp_path / "net", tmp_path / "out", tmp_path / "report.html"
    status, _, _ = run(
        capsys, "drop", net, "--blocks", 5, "--width", 12, "--hidden", 20, "--activation", "silu", "--epochs", 3
    )
    assert status == 0
    first, rest = split(net / "data.csv", tmp_path, 1000)
    status, text, _ = run(
        capsys, "assemble", net / "pieces", "--data", first, "--json", "--out", out, "--report", report
    )
    found = json.loads(text)
    assert (status, found["verdict"], found["order"]) == (0, "exact", key(net))
    assert (found["activation"], found["norm"], found["residual"]["rows"]) == ("silu", "none", 1000)
    assert report.read_text().lstrip().lower().startswith("<!doctype html>")
    assert "http://" not in report.read_text().replace("http://www.w3.org", "")

    status, text, _ = run(capsys, "verify", out, "--data", rest, "--json")
    told = json.loads(text)
    assert (status, told["verdict"], told["residual"]["rows"]) == (0, "exact", 797)
    assert told["version"] == reknit.__version__

    model = reknit.load(out)
    frame = pl.read_csv(rest)
    x = torch.from_numpy(frame.select("^input_.*$").to_numpy()).float()
    y = torch.from_numpy(frame.select("^pred_.*$").to_numpy()).float()
    torch.testing.assert_close(model(x), y, rtol=1e-5, atol=1e-5)
    assert isinstance(model, torch.nn.Module)

    status, text, _ = run(capsys, "assemble", net / "pieces", "--data", first, "--json", "--out", out, "--resume")
    assert (status, json.loads(text)) == (0, found)
    status, text, _ = run(capsys, "assemble", net / "pieces", "--data", first, "--json", "--out", out)
    assert (status, set(json.loads(text))) == (2, {"problem", "where", "remedy"})


def test_status_3_when_the_data_cannot_decide(capsys, dropped, tmp_path):
    first, _ = split(dropped / "data.csv", tmp_path, 1)
    status, text, _ = run(
        capsys, "assemble", dropped / "pieces", "--data", first, "--json", "--activation", "relu", "--norm", "none"
    )
    assert status in (3, 4)  # one row is met by many arrangements; it is undecided if one of them was found
    assert json.loads(text)["verdict"] == {3: "ambiguous", 4: "failed"}[status]


def test_status_3_for_two_blocks_that_are_one(capsys, dropped, tmp_path):
    """A net with one block twice: both spellings are right, so neither is claimed."""
    order = key(dropped)
    shutil.copytree(dropped / "pieces", tmp_path / "pieces")
    for source, target in ((2, 6), (3, 7)):
        shutil.copy(dropped / "pieces" / f"{order[source]}.pth", tmp_path / "pieces" / f"{order[target]}.pth")
    layers = [torch.load(tmp_path / "pieces" / f"{name}.pth", weights_only=True) for name in order]
    frame = pl.read_csv(dropped / "data.csv")
    x = torch.from_numpy(frame.select("^input_.*$").to_numpy()).float()
    stream = x
    for inner, outer in zip(layers[:-1:2], layers[1::2], strict=True):
        hidden = torch.relu(stream @ inner["weight"].T + inner["bias"])
        stream = stream + hidden @ outer["weight"].T + outer["bias"]
    answers = (stream @ layers[-1]["weight"].T + layers[-1]["bias"]).numpy()
    inputs = frame.select("^input_.*$")
    inputs.with_columns(**{f"pred_{k}": answers[:, k] for k in range(10)}).write_csv(tmp_path / "data.csv")
    status, text, _ = run(
        capsys, "assemble", tmp_path / "pieces", "--data", tmp_path / "data.csv", "--json", "--activation", "relu"
    )
    found = json.loads(text)
    assert (status, found["verdict"]) == (3, "ambiguous")
    assert found["residual"]["max_abs"] <= found["residual"]["tolerance"]
    listed = [sorted(move["pieces"]) for move in found["undecided"]]
    assert sorted([order[2], order[6]]) in listed
    assert sorted([order[3], order[7]]) in listed


def test_status_4_for_shuffled_records(capsys, dropped, tmp_path):
    frame = pl.read_csv(dropped / "data.csv")
    rng = np.random.default_rng(0)
    shuffled = frame.select("^pred_.*$")[rng.permutation(len(frame))]
    frame.with_columns(**{name: shuffled[name] for name in shuffled.columns}).write_csv(tmp_path / "data.csv")
    known = ("--activation", "relu", "--norm", "none", "--rows", 300)
    status, text, _ = run(
        capsys,
        "assemble",
        dropped / "pieces",
        "--data",
        tmp_path / "data.csv",
        "--json",
        *known,
        "--out",
        tmp_path / "o",
    )
    assert (status, json.loads(text)["verdict"]) == (4, "failed")
    status, text, _ = run(capsys, "verify", tmp_path / "o", "--data", dropped / "data.csv", "--json")
    assert status == 4


def test_status_2_for_a_pile_that_lacks_a_piece(capsys, dropped, tmp_path):
    shutil.copytree(dropped / "pieces", tmp_path / "pieces")
    (tmp_path / "pieces" / f"{key(dropped)[0]}.pth").unlink()
    status, text, err = run(capsys, "assemble", tmp_path / "pieces", "--data", dropped / "data.csv", "--json")
    told = json.loads(text)
    assert status == 2
    assert told["problem"] == "5 in-layers (24 x 16) but 6 out-layers (16 x 24)"
    status, text, err = run(capsys, "assemble", tmp_path / "pieces", "--data", dropped / "data.csv")
    assert (status, text) == (2, "")
    assert "5 in-layers (24 x 16) but 6 out-layers (16 x 24)" in err


# the same bytes, and a real kill


def command(*words, **options):
    return subprocess.Popen(  # the interpreter of these tests
        [sys.executable, "-m", "reknit", *map(str, words)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def without_seconds(path):
    content = json.loads(path.read_text())
    del content["seconds"]
    for step in content["evidence"]["steps"]:
        del step["seconds"]
    return json.dumps(content)


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(dropped, tmp_path):
    words = ("assemble", dropped / "pieces", "--data", dropped / "data.csv", "--start", "random", "--threads", 1)
    for name in ("a", "b"):
        process = command(*words, "--out", tmp_path / name)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert without_seconds(tmp_path / "a" / "assembly.json") == without_seconds(tmp_path / "b" / "assembly.json")


def attempts_made(checkpoint):
    return json.loads(checkpoint.read_text())["candidates"][-1]["next"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_and_resumed_the_answer_is_the_same(tmp_path, how):
    net = tmp_path / "net"
    reknit.drop(net, blocks=12, width=16, hidden=24, epochs=0)
    data = pl.read_csv(net / "data.csv")  # no arrangement gives answers in another order: it takes all attempts
    shuffled = data.select(pl.col("^pred.*$")).sample(fraction=1.0, shuffle=True, seed=1)
    data.with_columns(shuffled).write_csv(net / "data.csv")
    words = ("assemble", net / "pieces", "--data", net / "data.csv", "--activation", "relu", "--norm", "none")
    words = (*words, "--rows", 300, "--threads", 1)
    whole = reknit.assemble(net / "pieces", net / "data.csv", activation="relu", norm="none", rows=300, threads=1)
    process = command(*words, "--out", tmp_path / "out")
    checkpoint, deadline = tmp_path / "out" / "checkpoint.json", time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if checkpoint.exists() and attempts_made(checkpoint) >= 2:
            break
        time.sleep(0.02)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    if how == signal.SIGINT:
        assert "run the same command with --resume to go on" in err
    assert attempts_made(checkpoint) >= 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["checkpoint.json"]
    process = command(*words, "--out", tmp_path / "out", "--resume", "--json")
    out, _ = process.communicate(timeout=120)
    found = json.loads(out)
    expected = whole.as_json()
    for part in ("verdict", "order", "pairs", "undecided", "residual"):
        assert found[part] == json.loads(json.dumps(expected[part]))
    assert not checkpoint.exists()


# the puzzle


def digest(order):
    return hashlib.sha256(",".join(name.removeprefix("piece_") for name in order).encode()).hexdigest()


def solve_puzzle(**options):
    return reknit.assemble(PUZZLE / "pieces", PUZZLE / "historical_data.csv", threads=1, **options)


@needs_puzzle
@pytest.mark.parametrize("start", ["seriation", "norm"])
def test_the_puzzle(start):
    found = solve_puzzle(start=start)
    assert (found.verdict, digest(found.order)) == ("exact", SHA256), found.reason
    assert (found.spec.activation, found.spec.norm, found.spec.final_norm) == ("relu", "none", "none")
    assert found.residual.rows == 10_000
    assert found.undecided == ()


@needs_puzzle
def test_the_puzzle_under_other_names(tmp_path):
    (tmp_path / "pieces").mkdir()
    files = sorted((PUZZLE / "pieces").iterdir())
    numbers = np.random.default_rng(7).permutation(len(files))
    back = {}
    for file, number in zip(files, numbers, strict=True):
        shutil.copy(file, tmp_path / "pieces" / f"layer_{number}{file.suffix}")
        back[f"layer_{number}"] = file.stem
    found = reknit.assemble(tmp_path / "pieces", PUZZLE / "historical_data.csv", threads=1)
    assert (found.verdict, digest(back[name] for name in found.order)) == ("exact", SHA256)


@needs_puzzle
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_puzzle_from_random_orders(seed):
    found = solve_puzzle(start="random", seed=seed)
    assert (found.verdict, digest(found.order)) == ("exact", SHA256)


@needs_puzzle
@pytest.mark.slow
def test_the_puzzle_by_the_published_method():
    found = solve_puzzle(start="norm", method="hill-climb", activation="relu", norm="none")
    assert (found.verdict, digest(found.order)) == ("exact", SHA256)


@needs_puzzle
def test_the_puzzle_with_two_blocks_exchanged_fails_to_verify(tmp_path):
    """What the puzzle's own data say of an arrangement one swap away."""
    found = solve_puzzle(activation="relu", norm="none")
    tensors = dict(found.tensors)
    for part in ("in.weight", "in.bias", "out.weight", "out.bias"):
        a, b = f"blocks.20.{part}", f"blocks.21.{part}"
        tensors[a], tensors[b] = tensors[b], tensors[a]
    order = list(found.order)
    order[40:44] = [*order[42:44], *order[40:42]]
    replace(found, tensors=tensors, order=tuple(order)).save(tmp_path / "wrong")
    assert reknit.verify(tmp_path / "wrong", PUZZLE / "historical_data.csv").verdict == "failed"
