"""``reknit drop``: what it prints and where it writes."""

import json

import pytest
from test_app import run, strict

SMALL = ["--blocks", 2, "--width", 5, "--hidden", 6, "--data", "diabetes", "--epochs", 1]


def test_people_are_told_where_everything_is(tmp_path, capsys):
    status, out, err = run(capsys, "drop", tmp_path / "net", *SMALL)
    assert status == 0
    assert str(tmp_path / "net" / "pieces") in out
    assert str(tmp_path / "net" / "data.csv") in out
    assert str(tmp_path / "net.key.json") in out
    assert err.startswith("train ")


def test_json_is_one_object_and_keeps_the_answer_to_itself(tmp_path, capsys):
    status, out, _ = run(capsys, "drop", tmp_path / "net", *SMALL, "--seed", 3, "--json")
    answer = strict(out)
    assert status == 0
    assert answer["seed"] == 3
    assert answer["spec"]["blocks"] == 2
    assert answer["rows"] == 442
    key = json.loads((tmp_path / "net.key.json").read_text())
    assert answer["key"] == str(tmp_path / "net.key.json")
    assert "order" not in answer
    assert key["order"][0] not in out


def test_every_option_reaches_the_network(tmp_path, capsys):
    options = ["--activation", "tanh", "--norm", "rms", "--seed", 7]
    run(capsys, "drop", tmp_path / "net", *SMALL, *options)
    key = json.loads((tmp_path / "net.key.json").read_text())
    spec = key["spec"]
    assert (spec["blocks"], spec["width"], spec["hidden"]) == (2, 5, 6)
    assert (spec["activation"], spec["norm"], key["seed"], key["epochs"]) == ("tanh", "rms", 7, 1)
    assert key["data"] == "diabetes"


@pytest.mark.parametrize(
    ("options", "where", "choice"),
    [
        (["--activation", "swish"], "--activation", "gelu"),
        (["--norm", "batch"], "--norm", "rms"),
        (["--data", "mnist"], "--data", "friedman"),
        (["--blocks", "0"], "--blocks", "1 or more"),
    ],
)
def test_a_bad_value_is_status_2_and_lists_the_choices(tmp_path, capsys, options, where, choice):
    status, out, err = run(capsys, "drop", tmp_path / "net", *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"reknit: {where}: ")
    assert choice in err
    status, out, err = run(capsys, "drop", tmp_path / "net", *options, "--json")
    assert (status, err) == (2, "")
    assert strict(out)["where"] == where
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_without_force(tmp_path, capsys):
    assert run(capsys, "drop", tmp_path / "net", *SMALL)[0] == 0
    before = (tmp_path / "net.key.json").read_bytes()
    status, out, err = run(capsys, "drop", tmp_path / "net", *SMALL, "--seed", 1)
    assert (status, out) == (2, "")
    assert err == f"reknit: {tmp_path / 'net'}: exists already. Choose another name, or replace it with --force.\n"
    assert (tmp_path / "net.key.json").read_bytes() == before
    assert run(capsys, "drop", tmp_path / "net", *SMALL, "--seed", 1, "--force")[0] == 0
    assert (tmp_path / "net.key.json").read_bytes() != before
