"""From the command line with a skeleton: assemble, verify on fresh rows, resume, report; statuses and JSON of each."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from reknit.cli import main
from wired_nets import own_net, write_record, write_wired


@pytest.fixture
def wired(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_wired(tmp_path)


def run(capsys, *words):
    """Exit status, stdout and stderr of a command, run in this process."""
    status = main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def rows(out):
    """What stands behind each label of a summary."""
    return {line[:11].strip(): line[11:].strip() for line in out.splitlines() if line[:11].strip()}


def test_assemble_verify_and_resume(wired, capsys, tmp_path):
    command = ("assemble", wired.pile, "--like", wired.like, "--data", wired.record, "--out", "made")
    status, out, _ = run(capsys, *command, "--report", "page.html", "--threads", 1, "--json")
    answer = json.loads(out)
    assert (status, answer["verdict"], answer["undecided"], answer["notes"]) == (0, "exact", [], [])
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<!doctype html>") == 1
    stored = {file.name: file.read_bytes() for file in (tmp_path / "made").iterdir()}
    assert stored.keys() == {"model.safetensors", "config.json", "assembly.json"}

    fresh = write_record(tmp_path / "fresh.npz", wired.module, seed=8, rows=25)
    status, out, err = run(capsys, "verify", "made", "--data", fresh, "--json")
    said = json.loads(out)
    assert (status, err) == (0, "")
    assert said.keys() == {"verdict", "reason", "residual", "undecided", "version"}
    assert (said["verdict"], said["undecided"], said["residual"]["numbers"]) == ("exact", [], 50)

    status, out, _ = run(capsys, *command, "--resume", "--report", "page.html", "--force", "--json")
    assert (status, json.loads(out)) == (0, answer)
    assert {file.name: file.read_bytes() for file in (tmp_path / "made").iterdir()} == stored
    status, out, err = run(capsys, *command)
    assert (status, out) == (2, "")
    assert "holds a finished assembly. Add --resume to report it again or --force to replace it" in err
    status, out, _ = run(capsys, *command, "--resume", "--seed", 1, "--json")
    assert (status, json.loads(out)["problem"]) == (2, "holds the answer to other pieces, data or options")


def test_a_record_that_speaks_against_it_has_status_4_and_one_that_leaves_something_open_3(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    wired = write_wired(tmp_path, change=lambda state: state["1.out.bias"].copy_(state["0.out.bias"]))
    run(capsys, "assemble", wired.pile, "--like", wired.like, "--out", "made")
    tensors = {slot: wired.module.state_dict()[slot].numpy() for slot in wired.truth.values()}
    save_file(tensors, tmp_path / "made" / "model.safetensors")
    other = write_record(tmp_path / "other.npz", own_net("net", seed=5))
    status, out, _ = run(capsys, "verify", "made", "--data", other)
    assert (status, rows(out)["verdict"], rows(out)["undecided"]) == (4, "failed", "nothing")
    status, out, _ = run(capsys, "verify", "made", "--data", wired.record)
    assert (status, rows(out)["verdict"], rows(out)["undecided"]) == (3, "ambiguous", "0.out.bias, 1.out.bias")
    assert " off where " in rows(out)["residual"]


def test_what_does_not_go_with_a_wired_folder_is_refused(wired, capsys, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "config.json").write_text('{"architecture": "wired", "like": "mlp:sizes=2-3-1"}')
    for option, value in (("--target", "y"), ("--inputs", "x")):
        status, out, _ = run(capsys, "verify", "made", "--data", wired.record, option, value, "--json")
        assert (status, json.loads(out)["where"]) == (2, option)
    status, out, _ = run(capsys, "verify", "made", "--data", "none.npz", "--json")
    assert status == 2


def test_the_summary_names_copies_notes_and_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wired = write_wired(tmp_path, "tied", change=lambda state: state["block.out.bias"].zero_())
    status, out, _ = run(capsys, "assemble", wired.pile, "--like", wired.like, "--data", wired.record)
    assert (status, rows(out)["verdict"]) == (0, "exact")
    assert "holds the same bits as" in rows(out)["note"]
    assert rows(out)["report"] == "not written; --report FILE.html writes it"
    wired = write_wired(tmp_path, change=lambda state: state["1.out.bias"].copy_(state["0.out.bias"]))
    status, out, _ = run(capsys, "assemble", wired.pile, "--like", wired.like)
    assert (status, rows(out)["identical"]) == (3, "0.out.bias, 1.out.bias")


def test_a_failed_answer_with_undefined_errors_is_reported_again(wired, capsys, tmp_path):
    command = ("assemble", wired.pile, "--like", wired.like, "--data", wired.record, "--out", "made")
    run(capsys, *command)
    path = tmp_path / "made" / "assembly.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= {"verdict": "failed", "residual": content["residual"] | {"max_abs": [None], "mse": [None]}}
    path.write_text(json.dumps(content), encoding="utf-8")
    status, out, _ = run(capsys, *command, "--resume")
    assert (status, rows(out)["residual"].partition(" off")[0]) == (4, "at most inf")
    assert np.isfinite(float(rows(out)["residual"].split()[-3]))
