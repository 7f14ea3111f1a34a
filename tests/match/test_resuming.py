"""A training that is killed goes on from its checkpoint to the same bytes, and from nothing else."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from match.matched_nets import computer, largest_difference, random_tensors, samples, save, traced
from reknit import align, merge
from reknit.cli import main
from reknit.errors import InputError, OutputError, UsageError
from reknit.match import checkpoint as checkpoints
from reknit.match.checkpoint import Checkpoint
from reknit.match.samples import Samples
from reknit.match.sinkhorn_matching import SinkhornMatching, match_sinkhorn
from reknit.match.star import StarTraining, train_star
from reknit.match.straight_through import StraightThrough, match_straight_through

MLP = "mlp:sizes=12-14-9-4"
NORMED = "mlp:sizes=12-14-4,batch_norm=true"


class KilledError(Exception):
    """What stands for the end of the process."""


def killed_at(message, time=1):
    """Told what is being done, until a message comes for the first or a later time that holds these words."""
    heard = []

    def told(words):
        heard.append(message in words)
        if sum(heard) == time:
            raise KilledError

    return told


@pytest.fixture
def never_settled(monkeypatch):
    """What trains takes all of its steps: as if the loss of both ends were 0."""
    for module in ("straight_through", "sinkhorn_matching"):
        monkeypatch.setattr(f"reknit.match.{module}.mean_of_ends", lambda *_: 0.0)


@pytest.fixture
def files(tmp_path):
    """Three networks apart, and data that the first answers."""
    _, skeleton = traced(MLP)
    nets = [random_tensors(skeleton, seed) for seed in range(3)]
    asked = samples(MLP, 100)
    np.savez(
        tmp_path / "data.npz",
        inputs=asked.inputs[0].numpy(),
        targets=computer(MLP).answers(nets[0], asked)[0].argmax(1).numpy(),
    )
    return [save(tmp_path / f"{k}.safetensors", each) for k, each in enumerate(nets)]


RUNS = {
    "align by straight-through": lambda files, **more: align(*files[:2], method="straight-through", **more),
    "align by sinkhorn": lambda files, **more: align(*files[:2], method="sinkhorn", **more),
    "merge three": lambda files, **more: merge(files, method="straight-through", anyway=True, **more),
    "merge to a star": lambda files, **more: merge(files, star=100, anyway=True, **more),
}


SLOW = ("align by sinkhorn", "merge three")


@pytest.mark.parametrize("run", [pytest.param(run, marks=[pytest.mark.slow] * (run in SLOW)) for run in RUNS])
def test_killed_in_the_middle_the_answer_has_the_same_bytes(run, files, tmp_path, never_settled):
    asked = {"like": MLP, "data": tmp_path / "data.npz"}
    RUNS[run](files, **asked, out=tmp_path / "whole.safetensors")
    out, several = tmp_path / "out.safetensors", run == "merge three"
    with pytest.raises(KilledError):
        RUNS[run](files, **asked, out=out, progress=killed_at("step 60 ", 2 if several else 1))
    left = sorted(path.name for path in tmp_path.glob("out*"))
    assert left == [f"{out.name}.checkpoint{part}" for part in (("-1", "-2") if several else ("",))]
    said = []
    RUNS[run](files, **asked, out=out, resume=True, progress=said.append)
    steps = [int(number) for words in said for number in re.findall(r"step (\d+) of", words)]
    assert steps[0] == 80  # what was done is not done again
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert [path.name for path in tmp_path.glob("out*")] == [out.name]


def trained(method, like, networks, known, seed, kept=None, told=None):
    """All tensors that a training comes to."""
    left, right = networks[:2]
    if method == "star":
        settings = StarTraining(steps=8, batch=16, realign=3, rate=0.05, seed=seed)
        return train_star(computer(like), networks, known, settings, told, kept).tensors
    if method == "sinkhorn":
        options = SinkhornMatching(steps=8, batch=16, objective="random", seed=seed)
        return match_sinkhorn(computer(like), left, right, known, options, kept, told).symmetry.apply(right)
    options = StraightThrough(steps=8, batch=16, rate=0.02, seed=seed)
    return match_straight_through(computer(like), left, right, known, options, kept, told).symmetry.apply(right)


@settings(max_examples=9)
@given(
    method=st.sampled_from(["star", "sinkhorn", "straight-through"]),
    like=st.sampled_from([MLP, NORMED]),
    seed=st.integers(0, 99),
    last=st.integers(1, 7),
)
def test_killed_at_any_step(tmp_path_factory, method, like, seed, last):
    networks = [random_tensors(traced(like)[1], seed + k) for k in range(3)]
    asked = samples(like, 40, seed)
    known = Samples(asked.inputs, computer(like).answers(networks[0], asked)[0].argmax(1))
    path = tmp_path_factory.mktemp("kept") / "c"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "EVERY", 1)
        whole = trained(method, like, networks, known, seed)
        try:
            trained(method, like, networks, known, seed, Checkpoint(path, "it"), killed_at(f"step {last} of"))
        except KilledError:
            assert path.exists()
        again = trained(method, like, networks, known, seed, Checkpoint(path, "it", resume=True))
    assert largest_difference(whole, again) == 0


@pytest.fixture
def unfinished(files, tmp_path, never_settled):
    """What a killed run has left, and how to go on."""
    out, data = tmp_path / "out.safetensors", tmp_path / "data.npz"
    asked = {"like": MLP, "data": data, "method": "straight-through", "out": out}
    with pytest.raises(KilledError):
        align(*files[:2], **asked, progress=killed_at("step 20 "))
    return asked, tmp_path / "out.safetensors.checkpoint"


def test_it_belongs_to_what_it_was_made_from(unfinished, files, tmp_path):
    asked, left = unfinished
    moved = {
        "inputs": np.load(tmp_path / "data.npz")["inputs"] * 2,
        "targets": np.load(tmp_path / "data.npz")["targets"],
    }
    np.savez(tmp_path / "other.npz", **moved)
    before = left.read_bytes()
    for others, changed in (
        (files[:2], {"seed": 1}),
        (files[:2], {"weighing": "plain"}),
        (files[:2], {"method": "sinkhorn"}),
        (files[:2], {"data": tmp_path / "other.npz"}),
        (files[1:], {}),
    ):
        with pytest.raises(UsageError) as refused:
            align(*others, **{**asked, **changed}, resume=True)
        words = "belongs to other networks, data or options. Repeat the first command, or add --force."
        assert str(refused.value) == f"{left}: {words}"
    assert left.read_bytes() == before


def test_what_is_left_is_neither_lost_nor_taken_up_by_chance(unfinished, files):
    asked, left = unfinished
    with pytest.raises(OutputError) as refused:
        align(*files[:2], **asked)
    words = "is the checkpoint of an unfinished run. Add --resume to go on or --force to start afresh."
    assert str(refused.value) == f"{left}: {words}"
    said = []
    align(*files[:2], **asked, force=True, progress=said.append)
    assert "training, step 20 of 200" in said
    assert not left.exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "another file", "no state", "another size", "no number"])
def test_a_damaged_checkpoint_is_one_sentence(damage, unfinished, files, tmp_path):
    asked, left = unfinished
    raw, tensors = left.read_bytes(), load_file(left)
    state = re.search(rb'"state":"((?:[^"\\]|\\.)*)"', raw).group(1).decode().encode().decode("unicode_escape")
    if damage in ("cut", "empty"):
        left.write_bytes(raw[: len(raw) // 2] if damage == "cut" else b"")
    elif damage == "another file":
        left.write_bytes((tmp_path / "data.npz").read_bytes())
    elif damage == "no state":
        save_file(tensors, left)
    elif damage == "another size":
        save_file({**tensors, "moments/0/exp_avg": np.zeros((3, 3), np.float32)}, left, {"state": state})
    else:
        save_file(tensors, left, {"state": state.replace('"step": 20', '"step": "many"')})
    with pytest.raises(InputError) as refused:
        align(*files[:2], **asked, resume=True)
    assert str(refused.value) == f"{left}: is a damaged checkpoint. Start afresh with --force instead of --resume."


def test_what_cannot_be_gone_on_from_is_said(files, tmp_path):
    asked = {"like": MLP, "data": tmp_path / "data.npz", "resume": True}
    with pytest.raises(UsageError, match=r"--resume: nothing is trained.*Leave it away"):
        align(*files[:2], **asked, out=tmp_path / "o.safetensors")
    with pytest.raises(UsageError, match=r"--resume: nothing is trained"):
        merge(files, **asked, method="none", out=tmp_path / "o.safetensors")
    with pytest.raises(UsageError, match=r"--resume needs --out.*Add --out FILE"):
        align(*files[:2], **asked, method="sinkhorn")


def test_the_command_says_where_to_go_on_from(files, tmp_path, monkeypatch, capsys, never_settled):
    """Ctrl-C while the second checkpoint is written."""
    save_one = Checkpoint.save

    def interrupted(self, descent, reached):
        if reached.step == 40:
            raise KeyboardInterrupt
        return save_one(self, descent, reached)

    out = tmp_path / "out.safetensors"
    command = ["align", *map(str, files[:2]), "--like", MLP, "--data", str(tmp_path / "data.npz")]
    command += ["--method", "straight-through", "--out", str(out)]
    monkeypatch.setattr(Checkpoint, "save", interrupted)
    assert main(command) == 130
    assert f"{out}.checkpoint: interrupted. A usable checkpoint is kept there" in capsys.readouterr().err
    monkeypatch.setattr(Checkpoint, "save", save_one)
    assert main([*command, "--resume", "--json"]) == 0
    assert [path.name for path in tmp_path.glob("out*")] == [out.name]
