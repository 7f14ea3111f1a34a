"""``assemble`` as a Python function: answers and refusals."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import KNOWN, hashes, run
from safetensors.torch import save_file
from threadpoolctl import threadpool_info, threadpool_limits

import reknit
from nets import answers, random_net, trained_net, write_net, write_pieces, write_table
from reknit.assembly import attempts
from reknit.errors import OutputError, PileError, TableError, UsageError

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


@pytest.mark.parametrize("choose", ["leverage", "whitened"])
def test_rows_chosen_by_their_inputs_are_other_rows_and_the_answer_is_right(dropped, choose, monkeypatch):
    folder, names = dropped
    searched = {}

    def watched(problem, *rest):
        searched[len(searched)] = problem.x
        return attempts.Plan(problem, *rest)

    monkeypatch.setattr("reknit.assembly.run.Plan", watched)
    found = run(folder, rows=60, choose=choose)
    drawn = run(folder, rows=60, choose="uniform")
    assert (found.run["search_rows"], found.run["choose"], drawn.run["choose"]) == (60, choose, "uniform")
    assert (found.verdict, list(found.order)) == ("exact", names)
    assert not np.array_equal(searched[0], searched[1])
    assert found.run["fingerprint"] != drawn.run["fingerprint"]


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


# bad input


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "luck"}, "--method: there is no method 'luck'. Choose one of commutator, hill-climb."),
        ({"start": "end"}, "--start: there is no start 'end'. Choose one of seriation, norm, delta-norm, random."),
        ({"rows": 0}, "--rows: 0 is too small. Give a whole number of at least 1."),
        ({"choose": "uniform"}, "--choose: it says which rows the search gets, not how many. Add --rows N."),
        (
            {"rows": 9, "choose": "best"},
            "--choose: there is no way 'best' to choose rows. Choose one of uniform, leverage, whitened.",
        ),
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


def test_nothing_in_the_tests_is_left_in_the_working_folder():
    assert not [path for path in Path.cwd().iterdir() if path.name.endswith(".tmp")]
