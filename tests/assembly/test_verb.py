"""``assemble`` and ``verify`` as Python functions: answers, refusals, interruptions and what is written."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from threadpoolctl import threadpool_info, threadpool_limits

import reknit
from nets import answers, random_net, trained_net, write_net, write_pieces, write_table
from reknit.assembly import attempts
from reknit.assembly.checkpoint import CHECKPOINT_FILE
from reknit.errors import InputError, OutputError, PileError, TableError, UsageError

KNOWN = {"activation": "relu", "norm": "none"}


@pytest.fixture(scope="module")
def dropped(tmp_path_factory):
    """A small trained network in a folder, and its names in the true order."""
    folder = tmp_path_factory.mktemp("net")
    return folder, write_net(folder, trained_net(epochs=4))


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    """An untrained network whose pairs the weights do not tell: it takes several attempts."""
    folder = tmp_path_factory.mktemp("hard")
    return folder, write_net(folder, trained_net(epochs=0))


def run(folder, **options):
    return reknit.assemble(folder / "pieces", folder / "data.csv", **(KNOWN | options))


def told(assembly):
    """Everything an assembly says but the seconds."""
    content = assembly.as_json() | {"run": dict(assembly.run)}
    del content["seconds"]
    return json.dumps(content, default=str)


def answer(assembly):
    """The answer, without how it was reached."""
    content = assembly.as_json()
    return json.dumps({key: content[key] for key in ("verdict", "order", "pairs", "undecided", "residual")})


def hashes(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


# the answer


def test_a_dropped_network_comes_back(dropped):
    folder, names = dropped
    before = hashes(folder)
    found = run(folder)
    assert (found.verdict, list(found.order)) == ("exact", names)
    assert [(p.in_piece, p.out_piece) for p in found.pairs] == list(zip(names[:-1:2], names[1::2], strict=True))
    assert hashes(folder) == before


def test_the_model_answers_as_recorded(dropped, tmp_path):
    folder, _ = dropped
    net = trained_net(epochs=4)
    found = run(folder, out=tmp_path / "out")
    loaded = reknit.load(tmp_path / "out")
    for model in (found.model, loaded):
        np.testing.assert_allclose(answers(model, net.x), net.y, rtol=1e-5, atol=1e-5)
    assert loaded.state_dict().keys() == net.model.state_dict().keys()
    for key, tensor in net.model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "assembly.json",
        "config.json",
        "model.safetensors",
    ]


def test_renamed_pieces_give_the_answer_through_the_renaming(dropped, tmp_path):
    folder, names = dropped
    (tmp_path / "pieces").mkdir()
    shutil.copy(folder / "data.csv", tmp_path)
    renamed = {name: f"x{hashlib.sha256(name.encode()).hexdigest()[:6]}" for name in names}
    for old, new in renamed.items():
        shutil.copy(folder / "pieces" / f"{old}.pth", tmp_path / "pieces" / f"{new}.pth")
    found = run(tmp_path)
    assert found.verdict == "exact"
    assert list(found.order) == [renamed[name] for name in names]


def test_one_file_of_all_layers_will_do(dropped, tmp_path):
    folder, names = dropped
    tensors = {}
    for name in names:
        parts = torch.load(folder / "pieces" / f"{name}.pth", weights_only=True)
        tensors |= {f"{name}.{part}": tensor for part, tensor in parts.items()}
    save_file(tensors, tmp_path / "all.safetensors")
    found = reknit.assemble(tmp_path / "all.safetensors", folder / "data.csv", **KNOWN)
    assert (found.verdict, list(found.order)) == ("exact", names)


@pytest.mark.parametrize("start", ["seriation", "norm", "delta-norm", "random"])
def test_every_start_leads_there(dropped, start):
    folder, names = dropped
    found = run(folder, start=start)
    assert (found.verdict, list(found.order), found.run["start"]) == ("exact", names, start)


@pytest.mark.parametrize("options", [{"activation": "gelu", "norm": "layer"}, {"activation": "tanh", "norm": "rms"}])
def test_activation_and_norm_need_not_be_told(tmp_path, options):
    names = write_net(tmp_path, trained_net(epochs=6, **options))
    found = reknit.assemble(tmp_path / "pieces", tmp_path / "data.csv")
    assert (found.verdict, list(found.order)) == ("exact", names)
    assert (found.spec.activation, found.spec.norm) == (options["activation"], options["norm"])
    assert found.spec.final_norm == options["norm"]
    assert len(found.evidence.tried) > 1


def test_square_layers_are_told_apart_by_evidence(tmp_path):
    names = write_net(tmp_path, trained_net(width=16, hidden=16, epochs=8))
    found = run(tmp_path)
    assert found.run["roles"] == "by evidence"
    assert (found.verdict, list(found.order)) == ("exact", names)


def test_layers_without_biases(tmp_path):
    net = random_net(3, blocks=5)
    for part in ("in", "out"):
        for block in net.model.blocks:
            block.get_submodule(part).bias.zero_()
    net.model.head.bias.zero_()
    tensors = {key: value for key, value in net.model.state_dict().items() if not key.endswith(".bias")}
    names = write_pieces(tmp_path / "pieces", tensors, net.model.spec)
    write_table(tmp_path / "data.csv", net.x, answers(net.model, net.x))
    found = run(tmp_path, out=tmp_path / "out")
    assert (found.verdict, list(found.order)) == ("exact", names)
    assert not any(key.endswith(".bias") for key in reknit.load(tmp_path / "out").state_dict())
    loaded = reknit.load(tmp_path / "out")
    np.testing.assert_allclose(answers(loaded, net.x), answers(net.model, net.x), rtol=1.3e-6, atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 2])
def test_very_few_blocks(tmp_path, blocks):
    names = write_net(tmp_path, random_net(5, blocks=blocks))
    found = run(tmp_path)
    assert (found.verdict, list(found.order)) == ("exact", names)


def test_half_precision_pieces_are_consistent_or_ambiguous(tmp_path):
    net = trained_net(epochs=4)
    tensors = {key: value.half() for key, value in net.model.state_dict().items()}
    names = write_pieces(tmp_path / "pieces", tensors, net.model.spec)
    write_table(tmp_path / "data.csv", net.x, net.y)
    found = run(tmp_path)
    assert found.verdict in ("consistent", "ambiguous")
    assert found.verdict == "ambiguous" or list(found.order) == names


def test_a_table_of_three_decimals_is_consistent(tmp_path):
    net = trained_net(epochs=4)
    names = write_pieces(tmp_path / "pieces", net.model.state_dict(), net.model.spec)
    write_table(tmp_path / "data.csv", net.x, net.y, decimals=3)
    found = run(tmp_path)
    assert (found.verdict, list(found.order)) == ("consistent", names), found.reason


def test_shuffled_records_fail(dropped, tmp_path):
    folder, _ = dropped
    net = trained_net(epochs=4)
    shuffled = net.y[np.random.default_rng(1).permutation(len(net.y))]
    write_table(tmp_path / "data.csv", net.x, shuffled)
    found = reknit.assemble(folder / "pieces", tmp_path / "data.csv", **KNOWN)
    assert found.verdict == "failed"
    assert found.reason.startswith("the best arrangement leaves a mean squared error of ")


def test_a_random_start_never_looks_at_a_norm(dropped, hard, monkeypatch):
    """Neither the first attempt nor a later one asks for an order that a trend gives."""
    asked = []
    real = attempts.start_order

    def watched(problem, pairs, start, *rest, **named):
        asked.append(start)
        return real(problem, pairs, start, *rest, **named)

    def forbidden(*_, **__):
        raise AssertionError("a norm was used")

    monkeypatch.setattr(attempts, "start_order", watched)
    for name in ("norm_order", "delta_norm_order"):
        monkeypatch.setattr(attempts, name, forbidden)
    run(dropped[0], start="random")
    run(hard[0], start="random", budget=8)
    run(dropped[0], start="random", method="hill-climb")
    assert set(asked) == {"random"}


def test_the_norm_start_does_look_at_the_norm(dropped, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("a norm was used")

    monkeypatch.setattr(attempts, "norm_order", forbidden)
    with pytest.raises(AssertionError, match="a norm was used"):
        run(dropped[0], start="norm", method="hill-climb")


def test_searching_on_a_few_rows_still_judges_on_all(dropped):
    folder, names = dropped
    found = run(folder, rows=200)
    assert found.run["search_rows"] == 200
    assert found.residual.rows == 1797
    assert (found.verdict, list(found.order)) == ("exact", names)


def test_threads_are_given_back(dropped):
    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    seen = []
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        run(dropped[0], threads=1, progress=lambda _: seen.append(threads()))
        assert threads() == before
    assert [1] * len(before) in seen


def test_neither_assemble_nor_verify_loads_torch(dropped, tmp_path):
    """The command's time would be mostly that; a model is made of the answer when it is asked for."""
    folder, out = dropped[0], tmp_path / "out"
    code = f"""
import sys
from reknit import assemble, verify
found = assemble({str(folder / "pieces")!r}, {str(folder / "data.csv")!r}, out={str(out)!r})
assert verify({str(out)!r}, {str(folder / "data.csv")!r}).verdict == found.verdict == "exact"
heavy = [name for name in ("torch", "sklearn", "networkx") if name in sys.modules]
assert not heavy, heavy
assert set(found.run["software"]) == {{"python", "numpy", "scipy"}}
assert type(found.model).__mro__[1] is sys.modules["torch"].nn.Module
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_number_that_overflows_float32_is_refused_by_its_column(tmp_path):
    net = random_net(1, rows=50)
    write_net(tmp_path, net)
    x = net.x.copy()
    x[7, 3] = 1e30
    write_table(tmp_path / "data.csv", x, net.y)
    sentence = "column 'input_3' holds a number of size 1e+30; more than 1e+15 overflows float32. Take that row out"
    with pytest.raises(TableError, match=re.escape(sentence)):
        run(tmp_path)


@pytest.mark.parametrize("sizes", [{"blocks": 3, "width": 1, "hidden": 1}, {"blocks": 4, "width": 2, "hidden": 3}])
def test_a_pile_of_few_arrangements_is_looked_at_whole(tmp_path, sizes, monkeypatch):
    """Branches as large as the stream, which no regression orders: the attempts find nothing, the count does."""
    net = random_net(5, rows=60, size=3.0, **sizes)
    names = write_net(tmp_path, net)
    monkeypatch.setattr(attempts, "MOST_ATTEMPTS", 0)
    found = run(tmp_path)
    assert found.verdict in {"exact", "ambiguous"}
    assert list(found.order) == names or found.verdict == "ambiguous"


def test_one_hidden_unit_and_one_row_raise_no_warnings(tmp_path):
    for name, net in (("hidden", random_net(2, blocks=3, hidden=1, rows=40)), ("row", random_net(2, blocks=3, rows=1))):
        write_net(tmp_path / name, net)
        assert run(tmp_path / name, budget=2.0).verdict in {"exact", "ambiguous", "failed"}


def test_a_bias_that_came_alone_is_named(tmp_path):
    net = random_net(2, blocks=3)
    names = write_net(tmp_path, net)
    head = tmp_path / "pieces" / f"{names[-1]}.pth"
    parts = torch.load(head)
    torch.save({"weight": parts["weight"]}, head)
    torch.save({"bias": parts["bias"]}, tmp_path / "pieces" / "alone.pth")
    found = run(tmp_path)
    assert (found.verdict, list(found.order)) == ("exact", names)
    assert found.run["placed_biases"] == [[names[-1], "alone"]]
    assert f"the bias alone was given to {names[-1]}" in found.reason


# interruptions


class Stop:
    """Raises KeyboardInterrupt at the k-th report of progress."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self, _):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt


def calls_of(folder, **options):
    counter = Stop(-1)
    run(folder, progress=counter, **options)
    return counter.calls


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


# bad input


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "luck"}, "--method: there is no method 'luck'. Choose one of commutator, hill-climb."),
        ({"start": "end"}, "--start: there is no start 'end'. Choose one of seriation, norm, delta-norm, random."),
        ({"rows": 0}, "--rows: 0 is too small. Give a whole number of at least 1."),
        ({"threads": 0}, "--threads: 0 is too small. Give a whole number of at least 1."),
        ({"seed": -1}, "--seed: -1 is too small. Give a whole number of at least 0."),
        ({"budget": 0.0}, "--budget: 0.0 is no time. Give a positive number of seconds."),
        ({"budget": float("nan")}, "--budget: nan is no time. Give a positive number of seconds."),
        (
            {"noise": -1.0},
            "--noise: -1.0 is no standard deviation. Give a number from 0 to 1e+15, in units of the outputs.",
        ),
        (
            {"noise": 1e200},
            "--noise: 1e+200 is no standard deviation. Give a number from 0 to 1e+15, in units of the outputs.",
        ),
        (
            {"noise": float("inf")},
            "--noise: inf is no standard deviation. Give a number from 0 to 1e+15, in units of the outputs.",
        ),
        ({"activation": "swoosh"}, "--activation: there is no activation 'swoosh'"),
        ({"norm": "batch"}, "--norm: there is no norm 'batch'. Choose one of none, layer, rms."),
    ],
)
def test_options_without_sense_are_refused_before_any_file_is_read(options, sentence):
    with pytest.raises(UsageError) as caught:
        reknit.assemble("nowhere", "nowhere.csv", **options)
    assert str(caught.value).startswith(sentence)


def test_a_missing_piece_is_bad_input_and_leaves_no_folder(dropped, tmp_path):
    folder, names = dropped
    shutil.copytree(folder, tmp_path / "net")
    (tmp_path / "net" / "pieces" / f"{names[0]}.pth").unlink()
    with pytest.raises(PileError, match=re.escape("5 in-layers (20 x 12) but 6 out-layers (12 x 20)")):
        run(tmp_path / "net", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unwritable_place_is_found_out_before_the_search(dropped, tmp_path, monkeypatch):
    folder, _ = dropped
    (tmp_path / "file").write_text("")

    def never(*_, **__):
        raise AssertionError("the search began")

    monkeypatch.setattr(attempts.Plan, "run", never)
    with pytest.raises(OutputError):
        run(folder, out=tmp_path / "file" / "out")


# verify


@pytest.fixture(scope="module")
def assembled(dropped, tmp_path_factory):
    out = tmp_path_factory.mktemp("assembled") / "out"
    run(dropped[0], out=out)
    return out


def fresh(seed=0, rows=200):
    net = trained_net(epochs=4)
    x = np.random.default_rng(seed).standard_normal((rows, 12), np.float32)
    return x, answers(net.model, x)


def test_verify_on_rows_it_has_not_seen(assembled, tmp_path):
    x, y = fresh()
    found = reknit.verify(assembled, write_table(tmp_path / "t.csv", x, y))
    assert (found.verdict, found.residual.rows) == ("exact", 200)
    assert found.version == reknit.__version__
    assert set(found.as_json()) >= {"verdict", "residual", "version"}


def test_verify_on_records_of_another_network_fails(assembled, tmp_path):
    x, _ = fresh()
    other = answers(trained_net(epochs=4, seed=1).model, x)
    assert reknit.verify(assembled, write_table(tmp_path / "t.csv", x, other)).verdict == "failed"


def test_verify_on_one_wrong_row_fails(assembled, tmp_path):
    x, y = fresh()
    y[7, 3] += 0.01
    assert reknit.verify(assembled, write_table(tmp_path / "t.csv", x, y)).verdict == "failed"


def test_verify_on_one_row_is_undecided(assembled, tmp_path):
    x, y = fresh(rows=1)
    assert reknit.verify(assembled, write_table(tmp_path / "t.csv", x, y)).verdict == "ambiguous"


def test_verify_refuses_a_table_that_does_not_fit(assembled, tmp_path):
    x, y = fresh()
    table = write_table(tmp_path / "t.csv", x[:, :5], y)
    with pytest.raises(TableError, match=r"has 5 inputs, but the network has 12\. Choose the columns with --inputs"):
        reknit.verify(assembled, table)
    table = write_table(tmp_path / "u.csv", x, y[:, :3])
    with pytest.raises(TableError, match=r"has 3 outputs, but the network has 10\. Choose the columns with --target"):
        reknit.verify(assembled, table)


def test_verify_tells_layers_apart_by_their_biases(tmp_path):
    net = random_net(8, blocks=4)
    net.model.blocks[3].get_submodule("in").weight.copy_(net.model.blocks[1].get_submodule("in").weight)
    names = write_pieces(tmp_path / "pieces", net.model.state_dict(), net.model.spec)
    table = write_table(tmp_path / "data.csv", net.x, answers(net.model, net.x))
    found = run(tmp_path, out=tmp_path / "out")
    assert (found.verdict, list(found.order)) == ("exact", names)
    assert reknit.verify(tmp_path / "out", table).verdict == "exact"


def test_verify_refuses_a_folder_of_anything_else(tmp_path):
    with pytest.raises(InputError):
        reknit.verify(tmp_path, tmp_path / "t.csv")


def test_nothing_in_the_tests_is_left_in_the_working_folder():
    assert not [path for path in Path.cwd().iterdir() if path.name.endswith(".tmp")]
