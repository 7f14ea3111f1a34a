"""``reknit assemble`` and ``reknit verify``: they pass on what was asked and say what was found; no network is run."""

import os
import signal
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_app import run, strict

from assembly import sample_assemblies
from reknit.errors import PileError

STATUS = {"exact": 0, "consistent": 0, "ambiguous": 3, "failed": 4}


@dataclass(frozen=True)
class Progress:
    stage: str
    message: str
    mse: float | None
    seconds: float


@pytest.fixture
def verbs(monkeypatch):
    """Put functions in the place of the two verbs; what they were called with is kept."""
    calls = []

    def install(behaviour):
        def verb(*positional, **named):
            calls.append((positional, named))
            return behaviour(named)

        for name in ("verb", "verify"):
            module = types.ModuleType(f"reknit.assembly.{name}")
            module.assemble = module.verify = verb
            monkeypatch.setitem(sys.modules, module.__name__, module)
        return calls

    return install


@pytest.mark.parametrize("sample", ["exact", "many_outputs", "ambiguous", "failed", "single", "not_finite"])
def test_status_and_json_tell_the_verdict(verbs, capsys, sample):
    assembly = getattr(sample_assemblies, sample)()
    verbs(lambda _: assembly)
    status, out, err = run(capsys, "assemble", "pieces", "--data", "data.csv", "--json")
    answer = strict(out)
    assert (status, err) == (STATUS[assembly.verdict], "")
    assert answer["verdict"] == assembly.verdict
    assert answer["order"] == list(assembly.order)
    assert set(answer["pairs"][0]) == {"in", "out", "margin"}
    assert {"mse", "max_abs", "rows", "tolerance"} <= set(answer["residual"])
    expected = "verdict order pairs undecided residual seconds method start seed activation norm version"
    assert set(expected.split()) <= set(answer)


@pytest.mark.parametrize("sample", ["exact", "ambiguous", "failed", "single", "not_finite"])
def test_people_get_a_summary(verbs, capsys, sample):
    assembly = getattr(sample_assemblies, sample)()
    verbs(lambda _: assembly)
    status, out, err = run(capsys, "assemble", "pieces", "--data", "data.csv", "--out", "there", "--report", "r.html")
    assert (status, err) == (STATUS[assembly.verdict], "")
    rows = {line[:11].strip(): line[11:] for line in out.splitlines() if line[:11].strip()}
    assert rows["verdict"] == assembly.verdict
    assert rows["why"] == assembly.reason
    assert rows["model"] == "there"
    assert rows["report"] == "r.html"
    assert f"{assembly.residual.rows} rows" in rows["residual"]
    assert rows["pairs"].startswith(f"{len(assembly.pairs)}, smallest margin")
    for move in assembly.undecided:
        assert " ".join(move.pieces) in out
    assert (rows["undecided"] == "nothing") == (not assembly.undecided)


def test_every_option_reaches_the_verb(verbs, capsys):
    calls = verbs(lambda _: sample_assemblies.exact())
    text = (
        "assemble p --data d.csv --target y --inputs x_* --activation gelu --norm rms --method hill-climb --start norm "
        "--rows 9 --choose leverage --seed 8 --noise 0.5 --threads 2 --budget 1.5 --out o --resume --force "
        "--report r.html --like m:f --input 1x3 --link softmax"
    )
    run(capsys, *text.split())
    ((positional, named),) = calls
    assert positional == (Path("p"), Path("d.csv"))
    del named["progress"]
    assert named == {
        "like": "m:f",
        "input": "1x3",
        "link": "softmax",
        "target": "y",
        "inputs": "x_*",
        "activation": "gelu",
        "norm": "rms",
        "method": "hill-climb",
        "start": "norm",
        "rows": 9,
        "choose": "leverage",
        "seed": 8,
        "noise": 0.5,
        "threads": 2,
        "budget": 1.5,
        "out": Path("o"),
        "resume": True,
        "force": True,
        "report": Path("r.html"),
    }


def test_defaults_are_those_of_the_issue(verbs, capsys):
    calls = verbs(lambda _: sample_assemblies.exact())
    run(capsys, "assemble", "p", "--data", "d.csv")
    named = calls[0][1]
    assert (named["method"], named["start"], named["seed"]) == ("commutator", "seriation", 0)
    assert not named["resume"]
    assert not named["force"]
    assert all(
        named[key] is None for key in ("target", "inputs", "rows", "noise", "threads", "budget", "out", "report")
    )


def test_progress_goes_to_stderr_once_per_stage(verbs, capsys):
    def behaviour(named):
        for stage, mse in (("read", None), ("order", 0.5), ("order", 0.25), ("verify", 0.3)):
            named["progress"](Progress(stage, "working", mse, 1.25))
        return sample_assemblies.exact()

    verbs(behaviour)
    status, out, err = run(capsys, "assemble", "p", "--data", "d.csv", "--json")
    assert status == 0
    assert strict(out)["verdict"] == "exact"
    lines = err.splitlines()
    assert [line.split()[0] for line in lines] == ["read", "order", "verify"]
    assert lines[2].endswith("best mse 2.50e-01  1.2 s")


def test_bad_input_is_status_2(verbs, capsys):
    def behaviour(_):
        raise PileError("3 in-pieces but 2 out-pieces", "pieces", "Look for the missing file")

    verbs(behaviour)
    status, out, err = run(capsys, "assemble", "p", "--data", "d.csv")
    assert (status, out) == (2, "")
    assert err == "reknit: pieces: 3 in-pieces but 2 out-pieces. Look for the missing file.\n"
    status, out, err = run(capsys, "assemble", "p", "--data", "d.csv", "--json")
    assert (status, err) == (2, "")
    assert strict(out) == {
        "problem": "3 in-pieces but 2 out-pieces",
        "where": "pieces",
        "remedy": "Look for the missing file",
    }


def _interrupt(_):
    # a shell that starts the tests in the background has them ignore the signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("the signal did not arrive")


def test_interrupted_says_where_the_checkpoint_is(verbs, capsys):
    verbs(_interrupt)
    status, out, err = run(capsys, "assemble", "p", "--data", "d.csv", "--out", "there")
    assert (status, out) == (130, "")
    assert err.startswith("reknit: there: interrupted. ")
    assert "checkpoint" in err
    assert "--resume" in err
    assert err.count("\n") == 1


def test_interrupted_without_out_says_that_nothing_was_written(verbs, capsys):
    verbs(_interrupt)
    status, out, err = run(capsys, "assemble", "p", "--data", "d.csv", "--json")
    assert (status, err) == (130, "")
    assert strict(out)["problem"] == "interrupted"
    assert "Nothing was written" in strict(out)["remedy"]


def test_interrupted_verb_without_checkpoints(verbs, capsys):
    verbs(_interrupt)
    status, out, err = run(capsys, "verify", "there", "--data", "d.csv")
    assert (status, out, err) == (130, "", "reknit: interrupted.\n")


def test_an_error_of_ours_is_not_hidden(verbs):
    def behaviour(_):
        raise ZeroDivisionError

    verbs(behaviour)
    with pytest.raises(ZeroDivisionError):
        run(None, "assemble", "p", "--data", "d.csv")


@pytest.mark.parametrize("verdict", STATUS)
def test_verify_tells_verdict_and_residual(verbs, capsys, verdict):
    content = {
        "verdict": verdict,
        "residual": {"mse": 1e-9, "max_abs": float("nan"), "rows": 12, "tolerance": 1e-5},
        "version": "0.1.0",
    }
    calls = verbs(
        lambda _: types.SimpleNamespace(verdict=verdict, reason="so it is", undecided=(), as_json=lambda: content)
    )
    status, out, err = run(capsys, "verify", "there", "--data", "d.csv", "--target", "y", "--json")
    assert (status, err) == (STATUS[verdict], "")
    assert strict(out) == content | {"residual": content["residual"] | {"max_abs": None}}
    assert calls == [((Path("there"), Path("d.csv")), {"target": "y", "inputs": None, "link": None, "noise": None})]
    status, out, _ = run(capsys, "verify", "there", "--data", "d.csv")
    assert status == STATUS[verdict]
    assert out.startswith(f"verdict    {verdict}\nwhy        so it is\nresidual   ")
    assert "12 rows" in out
