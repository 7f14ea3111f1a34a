"""``assemble`` with a skeleton: resumed, interrupted, killed; threads and places."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from runs import hashes
from threadpoolctl import ThreadpoolController

import reknit
from reknit.errors import InputError, OutputError, UsageError
from reknit.wiring import verb
from reknit.wiring.verb import Run
from wired_nets import own_net, write_record, write_wired


@pytest.fixture
def wired(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_wired(tmp_path)


def run(wired, **options):
    return reknit.assemble(wired.pile, wired.record, **{"like": wired.like} | options)


def answer(wiring):
    """The answer, without how long it took."""
    content = wiring.as_json()
    del content["seconds"]
    return json.dumps(content)


def forbid(monkeypatch, *names):
    """Work is an error from here on."""

    def never(*_, **__):
        raise AssertionError("the work was done again")

    for name in names:
        monkeypatch.setattr(name, never)


WEIGHTS, OUTPUTS = "reknit.wiring.verb.place_by_weights", "reknit.wiring.output_placement.place"


def test_a_finished_folder_is_reported_again_without_the_work(wired, tmp_path, monkeypatch):
    first = run(wired, out=tmp_path / "out")
    before = hashes(tmp_path / "out")
    forbid(monkeypatch, WEIGHTS, OUTPUTS)
    again = run(wired, out=tmp_path / "out", resume=True, report=tmp_path / "page.html")
    assert json.dumps(again.as_json()) == json.dumps(first.as_json())
    assert again.evidence == first.evidence
    assert dict(again.run) == json.loads(json.dumps(dict(first.run)))
    assert hashes(tmp_path / "out") == before
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    x = torch.from_numpy(np.load(wired.record)["inputs"])
    torch.testing.assert_close(again.model(x), first.model(x).detach())
    with pytest.raises(AssertionError, match="the work was done again"):
        run(wired)


def test_the_answer_to_another_question_is_not_reported_again(wired, tmp_path, monkeypatch):
    run(wired, out=tmp_path / "out")
    other = write_record(tmp_path / "other.npz", own_net("net", seed=5))
    before = hashes(tmp_path / "out")
    forbid(monkeypatch, WEIGHTS, OUTPUTS)
    for options in ({"seed": 1}, {"link": "identity"}, {"noise": 0.1}, {"input": "1x6"}):
        with pytest.raises(UsageError, match="holds the answer to other pieces, data or options"):
            run(wired, out=tmp_path / "out", resume=True, **options)
    for data in (other, None):
        with pytest.raises(UsageError, match="holds the answer to other pieces, data or options"):
            reknit.assemble(wired.pile, data, like=wired.like, out=tmp_path / "out", resume=True)
    assert hashes(tmp_path / "out") == before
    run(wired, out=tmp_path / "out", resume=True, threads=1, budget=1e6)  # these do not decide the answer


def test_what_the_code_of_the_network_computes_is_part_of_the_question(wired):
    fingerprint = Run(wired.pile, wired.record, verb.WiringOptions(wired.like)).described()["fingerprint"]
    assert fingerprint == Run(wired.pile, wired.record, verb.WiringOptions(wired.like)).described()["fingerprint"]
    file = wired.pile.parent / "nets_to_wire_as_tanh.py"
    code = (wired.pile.parent / "nets_to_wire.py").read_text(encoding="utf-8")
    file.write_text(code.replace(".relu()", ".tanh()"), encoding="utf-8")
    first = Run(wired.pile, wired.record, verb.WiringOptions(wired.like))
    second = Run(wired.pile, wired.record, verb.WiringOptions("nets_to_wire_as_tanh:net"))
    assert first.described()["skeleton"] != second.described()["skeleton"]


@pytest.mark.parametrize("stage", ["placing by weights", "placing by recorded outputs"])
def test_interrupted_and_resumed_the_answer_is_the_same(wired, tmp_path, stage, monkeypatch):
    out = tmp_path / "out"

    def stop(progress):
        if progress.stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(wired, out=out, progress=stop)
    assert {file.name for file in out.iterdir()} == {"checkpoint.json"}
    with pytest.raises(
        OutputError, match=r"holds an unfinished run\. Add --resume to go on or --force to start afresh"
    ):
        run(wired, out=out)
    with pytest.raises(UsageError, match="belongs to other pieces, data or options"):
        run(wired, out=out, resume=True, seed=3)
    whole = answer(run(wired))
    if stage == "placing by recorded outputs":
        forbid(monkeypatch, WEIGHTS)  # what they say is in the checkpoint
    assert answer(run(wired, out=out, resume=True)) == whole
    assert {file.name for file in out.iterdir()} == {"model.safetensors", "config.json", "assembly.json"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: "",
        lambda content: "[]",
        lambda content: json.dumps(content | {"weights": []}),
        lambda content: json.dumps(content | {"weights": content["weights"] | {"placement": {}}}),
        lambda content: json.dumps(content | {"weights": content["weights"] | {"certain": ["no slot"]}}),
        lambda content: json.dumps(content | {"weights": content["weights"] | {"rivals": [{"2.bias": "no slot"}]}}),
        lambda content: json.dumps(content | {"weights": content["weights"] | {"climbs": 3}}),
        lambda content: "[" * 100_000,
    ],
)
def test_a_damaged_checkpoint_is_refused_in_a_sentence(wired, tmp_path, damage):
    path = tmp_path / "out" / "checkpoint.json"
    if not path.exists():
        Run(wired.pile, None, verb.WiringOptions(wired.like)).wiring(out=tmp_path / "out")
    path.write_text(damage(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    with pytest.raises(InputError, match=r"is a damaged checkpoint\. Start afresh with --force instead of --resume"):
        reknit.assemble(wired.pile, like=wired.like, out=tmp_path / "out", resume=True)


def test_places_are_looked_at_before_anything_is_read(wired, tmp_path, monkeypatch):
    forbid(monkeypatch, "reknit.wiring.verb.read_tensors")
    (tmp_path / "page.html").write_text("mine", encoding="utf-8")
    for report, words in (
        (wired.record, "is among the inputs, which are never touched. Write the report elsewhere"),
        (wired.pile, "is among the inputs"),
        (tmp_path / "page.html", "exists already. Choose another name, or replace it with --force"),
    ):
        with pytest.raises(OutputError, match=words):
            run(wired, report=report, force=report != tmp_path / "page.html")
    (tmp_path / "like").mkdir()
    with pytest.raises(OutputError, match="is among the inputs"):
        run(wired, like="like", report=tmp_path / "like" / "config.json", force=True)
    with pytest.raises(UsageError, match=r"--resume needs --out, where the checkpoint lives\. Add --out DIR"):
        run(wired, resume=True)
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "mine"


def test_threads_are_set_for_the_run_and_put_back(wired):
    def blas():
        return {library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()}

    seen = []

    def look(progress):
        seen.append((torch.get_num_threads(), blas()))

    before = torch.get_num_threads(), blas()
    wanted = 3
    wiring = reknit.assemble(wired.pile, like=wired.like, threads=wanted, progress=look)
    assert seen == [(wanted, {wanted})] * 3
    assert (torch.get_num_threads(), blas()) == before
    assert wiring.run["threads"] == wanted
    assert f"--threads {wanted}" in wiring.run["command"]

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reknit.assemble(wired.pile, like=wired.like, threads=wanted, progress=stop)
    assert (torch.get_num_threads(), blas()) == before


SLOW_OUTPUTS = """
import sys, time
from reknit.cli import main
from reknit.wiring import output_placement
place = output_placement.place
def slowly(*arguments, **options):
    time.sleep(60)
    return place(*arguments, **options)
if sys.argv.pop(1) == "slow":
    output_placement.place = slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_while_outputs_are_asked_nothing_half_written_is_left_and_resumed_it_ends_the_same(wired, tmp_path):
    out = tmp_path / "out"
    arguments = [
        "assemble",
        str(wired.pile),
        "--like",
        wired.like,
        "--data",
        str(wired.record),
        "--out",
        str(out),
        "--json",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start(speed, *more):
        command = [sys.executable, "-c", SLOW_OUTPUTS, speed, *arguments, *more]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)

    process, until = start("slow"), time.monotonic() + 120
    checkpoint = out / "checkpoint.json"
    while not (checkpoint.exists() and json.loads(checkpoint.read_text(encoding="utf-8"))["weights"]):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert {file.name for file in out.iterdir()} == {"checkpoint.json"}
    resumed = start("fast", "--resume")
    printed, _ = resumed.communicate(timeout=240)
    assert resumed.returncode == 0
    found, whole = json.loads(printed), json.loads(json.dumps(run(wired).as_json()).replace("Infinity", "null"))
    for content in (found, whole):
        del content["seconds"]
    assert found == whole
    assert {file.name for file in out.iterdir()} == {"model.safetensors", "config.json", "assembly.json"}
