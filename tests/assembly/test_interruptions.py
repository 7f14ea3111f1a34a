"""``assemble`` stopped, resumed, started again: the same answer, and nothing of anybody's is replaced."""

import json
import re
import sys

import numpy as np
import pytest
from runs import Stop, answer, calls_of, hashes, run, told

from nets import random_net, trained_net, write_net
from reknit.assembly import attempts
from reknit.assembly.checkpoint import CHECKPOINT_FILE
from reknit.errors import InputError, OutputError, UsageError


@pytest.mark.parametrize("start", ["seriation", "random"])
def test_stopped_anywhere_and_resumed_the_answer_is_the_same(dropped, tmp_path, start):
    folder, _ = dropped
    whole = answer(run(folder, start=start))
    total = calls_of(folder, start=start)
    for at in sorted({1, 2, 3, 4, total // 3, total // 2, total - 1, total}):
        out = tmp_path / str(at)
        with pytest.raises(KeyboardInterrupt):
            run(folder, start=start, out=out, progress=Stop(at))
        assert not (out / "assembly.json").exists()
        assert answer(run(folder, start=start, out=out, resume=True)) == whole
        assert not (out / CHECKPOINT_FILE).exists()


def test_stopped_again_and_again_the_answer_is_the_same(hard, tmp_path, monkeypatch):
    folder, _ = hard
    monkeypatch.setattr(attempts, "MOST_ATTEMPTS", 4)
    whole = answer(run(folder, rows=300))
    out, stops, total = tmp_path / "out", 0, calls_of(folder, rows=300)
    while True:
        try:  # a little longer every time, so that it comes to an end
            found = run(folder, rows=300, out=out, resume=True, progress=Stop(int(0.2 * total * 1.3**stops)))
            break
        except KeyboardInterrupt:
            stops += 1
            assert stops < 20
    assert stops >= 2
    assert answer(found) == whole


def test_stopped_while_activation_and_norm_are_sought_the_answer_is_the_same(tmp_path, monkeypatch):
    write_net(tmp_path, trained_net(epochs=6, activation="gelu", norm="layer"))
    monkeypatch.setattr(attempts, "MOST_ATTEMPTS", 3)
    unknown = {"activation": None, "norm": None, "rows": 200}
    whole, total = answer(run(tmp_path, **unknown)), calls_of(tmp_path, **unknown)
    for share in (0.3, 0.6, 0.9, 1.0):
        out = tmp_path / str(share)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, out=out, progress=Stop(int(share * total)), **unknown)
        assert answer(run(tmp_path, out=out, resume=True, **unknown)) == whole


def test_stopped_while_nothing_is_known_the_answer_is_the_same(hard, tmp_path, monkeypatch):
    folder, _ = hard
    monkeypatch.setattr(attempts, "MOST_ATTEMPTS", 3)
    unknown = {"activation": None, "rows": 200}
    whole, total = answer(run(folder, **unknown)), calls_of(folder, **unknown)
    for share in (0.3, 0.5, 0.7, 0.9, 1.0):
        out = tmp_path / str(share)
        with pytest.raises(KeyboardInterrupt):
            run(folder, out=out, progress=Stop(int(share * total)), **unknown)
        assert answer(run(folder, out=out, resume=True, **unknown)) == whole


def test_stopped_while_it_is_open_which_piece_is_the_head_the_answer_is_the_same(tmp_path, monkeypatch):
    """In-layers shaped like the head: each is supposed to be the head in turn, and the checkpoint says which is."""
    net = random_net(3, blocks=3, width=6, hidden=9, outputs=9, rows=200)
    write_net(tmp_path, net, seed=1)
    monkeypatch.setattr(attempts, "MOST_ATTEMPTS", 2)
    total = calls_of(tmp_path)
    whole, searched = answer(run(tmp_path)), set()
    for share in np.linspace(0.1, 1.0, 10):
        out = tmp_path / f"out{share:.1f}"
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, out=out, progress=Stop(int(share * total)))
        searched.add(len(json.loads((out / CHECKPOINT_FILE).read_text())["candidates"]))
        assert answer(run(tmp_path, out=out, resume=True)) == whole
    assert len(searched) > 1


def test_a_checkpoint_is_gone_on_from_not_started_afresh(hard, tmp_path, monkeypatch):
    folder, _ = hard
    monkeypatch.setattr(attempts, "MOST_ATTEMPTS", 2)
    total = calls_of(folder, rows=300)
    with pytest.raises(KeyboardInterrupt):
        run(folder, rows=300, out=tmp_path / "out", progress=Stop(total))
    (state,) = json.loads((tmp_path / "out" / CHECKPOINT_FILE).read_text())["candidates"]
    assert state["next"] == 2
    assert calls_of(folder, rows=300, out=tmp_path / "out", resume=True) < total / 2


@pytest.fixture
def unfinished(dropped, tmp_path):
    folder, _ = dropped
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(folder, out=out, progress=Stop(5))
    return folder, out


@pytest.mark.parametrize(
    "options",
    [{"seed": 1}, {"rows": 100}, {"start": "norm"}, {"noise": 0.1}, {"activation": "gelu"}, {"target": "pred_*"}],
)
def test_a_checkpoint_of_another_question_is_refused(unfinished, options):
    folder, out = unfinished
    before = hashes(out)
    with pytest.raises(UsageError, match="belongs to other pieces, data or options") as caught:
        run(folder, out=out, resume=True, **options)
    assert "Repeat the first command, or add --force" in str(caught.value)
    assert hashes(out) == before


@pytest.mark.parametrize("options", [{"seed": 1}, {"activation": "tanh"}])
def test_a_finished_answer_to_another_question_is_not_reported_again(dropped, tmp_path, options):
    folder, _ = dropped
    out = tmp_path / "out"
    run(folder, out=out)
    with pytest.raises(UsageError, match="holds the answer to other pieces, data or options"):
        run(folder, out=out, resume=True, **options)
    assert run(folder, out=out, resume=True).order == run(folder).order


def test_a_report_is_never_written_over_an_input(dropped):
    folder, _ = dropped
    before = hashes(folder)
    piece = next((folder / "pieces").iterdir())
    for place in (folder / "data.csv", piece, folder / "pieces" / "report.html"):
        with pytest.raises(OutputError, match="is among the inputs"):
            run(folder, report=place, force=True)
    assert hashes(folder) == before


def test_a_checkpoint_of_other_pieces_is_refused(unfinished, tmp_path):
    _, out = unfinished
    write_net(tmp_path / "other", trained_net(epochs=4, seed=1))
    with pytest.raises(UsageError, match="belongs to other pieces"):
        run(tmp_path / "other", out=out, resume=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: text.replace('"next"', '"text"'),
        lambda text: re.sub(r'"held": ?null', '"held": {"mse": 1}', text),
        lambda text: re.sub(r'"held": ?null', '"held": {"mse": 1, "setting": ["relu"], "ins": [0], "outs": [0]}', text),
        lambda text: re.sub(
            r'"held": ?null',
            '"held": {"mse": 1, "setting": ["x", "y", "z"], "ins": [0,1,2,3,4,5], "outs": [0,1,2,3,4,5]}',
            text,
        ),
        lambda text: re.sub(
            r'"held": ?null',
            '"held": {"mse": 1, "setting": ["relu", "none", "none"], "ins": [0,1,2,3,4,99], "outs": [0,1,2,3,4,5]}',
            text,
        ),
        lambda text: re.sub(r'"next": ?0', '"next": -1', text),
        lambda text: re.sub(r'"next": ?0', '"next": 1e400', text),
        lambda text: re.sub(r'"next": ?0', '"next": 5000', text),
        lambda text: "[" * 100_000,
    ],
)
def test_a_damaged_checkpoint_is_refused_in_a_sentence(unfinished, damage):
    folder, out = unfinished
    path = out / CHECKPOINT_FILE
    changed = damage(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(InputError, match="is a damaged checkpoint") as caught:
        run(folder, out=out, resume=True)
    assert "Start afresh with --force instead of --resume" in str(caught.value)
    assert run(folder, out=out, force=True).verdict == "exact"


def forbid_work(monkeypatch):
    """Reading a file is an error from here on, in whichever module it is done."""

    def never(*_, **__):
        raise AssertionError("the files were read")

    readers = [
        (module, reader)
        for name, module in sys.modules.items()
        for reader in ("read_pile", "read_table")
        if name.startswith("reknit.assembly.") and hasattr(module, reader)
    ]
    assert {reader for _, reader in readers} == {"read_pile", "read_table"}
    for module, reader in readers:
        monkeypatch.setattr(module, reader, never)


def test_a_file_is_read_where_there_is_work_to_do(dropped, monkeypatch):
    forbid_work(monkeypatch)
    with pytest.raises(AssertionError, match="the files were read"):
        run(dropped[0])


def test_what_is_there_is_refused_before_any_work(unfinished, monkeypatch, tmp_path):
    folder, out = unfinished
    foreign, file = tmp_path / "foreign", tmp_path / "file"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    file.write_text("")
    done = tmp_path / "done"
    run(folder, out=done)
    report = tmp_path / "r.html"
    report.write_text("")
    forbid_work(monkeypatch)
    for options, sentence in (
        ({"out": out}, "holds an unfinished run. Add --resume to go on or --force to start afresh"),
        ({"out": done}, "holds a finished assembly. Add --resume to report it again or --force to replace it"),
        ({"out": foreign}, "is not empty and holds no assembly of ours. Choose another --out"),
        ({"out": foreign, "force": True}, "is not empty and holds no assembly of ours. Choose another --out"),
        ({"out": file, "force": True}, "is a file, not a folder. Choose another --out"),
        ({"report": report}, "exists already. Choose another name, or replace it with --force"),
    ):
        with pytest.raises(OutputError, match=re.escape(sentence)):
            run(folder, **options)
    with pytest.raises(UsageError, match=re.escape("--resume needs --out, where the checkpoint lives. Add --out DIR")):
        run(folder, resume=True)
    assert (foreign / "thesis.tex").read_text() == "years of work"


def test_a_finished_folder_reports_again_without_work(dropped, tmp_path, monkeypatch):
    folder, _ = dropped
    out = tmp_path / "out"
    first = run(folder, out=out)
    before = hashes(out)

    def never(*_, **__):
        raise AssertionError("the search was run")

    # pieces and data are read, to see that they are those of the answer; nothing is searched
    monkeypatch.setattr(attempts.Plan, "run", never)
    again = run(folder, out=out, resume=True, report=tmp_path / "report.html")
    assert again.as_json() == first.as_json()
    assert hashes(out) == before
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_force_replaces_a_finished_folder(dropped, tmp_path):
    folder, _ = dropped
    out = tmp_path / "out"
    run(folder, out=out, seed=5)
    assert run(folder, out=out, force=True).verdict == "exact"
    assert json.loads((out / "assembly.json").read_text())["seed"] == 0


def test_resume_without_a_checkpoint_starts_afresh(dropped, tmp_path):
    folder, names = dropped
    found = run(folder, out=tmp_path / "out", resume=True)
    assert (found.verdict, list(found.order)) == ("exact", names)


def test_a_budget_ends_the_search_and_what_is_undone_is_said(hard):
    folder, _ = hard
    found = run(folder, budget=1e-6)
    assert found.verdict == "failed"
    assert "the budget of 1e-06 s ended the search before its" in found.reason
    assert found.run["unfinished"]


def test_a_budget_that_suffices_changes_nothing(dropped):
    folder, _ = dropped
    assert answer(run(folder, budget=600)) == answer(run(folder))


def test_the_same_seed_says_the_same(dropped):
    folder, _ = dropped
    assert told(run(folder, seed=3, start="random")) == told(run(folder, seed=3, start="random"))
