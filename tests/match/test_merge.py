"""Averages, statistics, REPAIR, many networks at once, ``merge`` and ``path``."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from match.matched_nets import LIKES, computer, largest_difference, random_tensors, samples, save, traced
from reknit import merge, path
from reknit.cli import main
from reknit.errors import OutputError, TableError, UsageError
from reknit.match.activations import Place, activations
from reknit.match.averages import average
from reknit.match.judging import bootstrapped, judged
from reknit.match.losses import row_losses
from reknit.match.many import match_many
from reknit.match.preflight import foreseen_excess
from reknit.match.repair import repairable, repaired
from reknit.match.samples import Samples
from reknit.match.statistics import estimated_again, has_statistics
from reknit.skeleton.symmetry import Symmetry
from strategies import seeds

MLP = "mlp:sizes=12-30-20-4"


def sure(skeleton, seed):
    """A random network with large logits."""
    tensors = random_tensors(skeleton, seed)
    return {key: value * 6 if key.startswith("layers.2") else value for key, value in tensors.items()}


@pytest.fixture
def files(tmp_path):
    """A network that is sure of its answers, a permuted copy, changed a little, and data as the first sees it."""
    _, skeleton = traced(MLP)
    one = sure(skeleton, 0)
    rng = np.random.default_rng(1)
    near = {key: value + 0.02 * rng.normal(size=value.shape).astype(np.float32) for key, value in one.items()}
    near = Symmetry.random(skeleton, rng).apply(near)
    asked = samples(MLP, 400)
    classes = computer(MLP).answers(one, asked)[0].argmax(1)
    np.savez(tmp_path / "data.npz", inputs=asked.inputs[0].numpy(), targets=classes.numpy())
    return [save(tmp_path / f"{k}.safetensors", each) for k, each in enumerate((one, near))]


def test_a_permuted_neighbour_merges_in_one_basis_and_not_as_it_is(files, tmp_path):
    data = tmp_path / "data.npz"
    found = merge(files, like=MLP, data=data, out=tmp_path / "m.safetensors")
    assert found.verdict == "consistent"
    assert found.preflight.barrier.high < 0.1
    right = row_losses(
        computer(MLP).answers(
            {k: v.numpy() for k, v in load_file(tmp_path / "m.safetensors").items()}, samples(MLP, 400)
        )[0],
        torch.from_numpy(np.load(data)["targets"]),
    ).right
    assert right.mean() > 0.9
    with pytest.raises(OutputError, match=r"is not written.*--anyway"):
        merge(files, like=MLP, data=data, method="none", out=tmp_path / "n.safetensors")
    assert not (tmp_path / "n.safetensors").exists()
    merge(files, like=MLP, data=data, method="none", out=tmp_path / "n.safetensors", anyway=True)
    assert (tmp_path / "n.safetensors").exists()


def test_without_inputs_nothing_is_foreseen(files, tmp_path):
    found = merge(files, like=MLP, out=tmp_path / "m.safetensors")
    assert found.verdict == "ambiguous"
    assert found.preflight.barrier is None
    assert found.preflight.conflicts
    assert (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("name", ["mlp", "gpt2", "preact-resnet"])
def test_a_network_merged_with_itself_is_itself(tmp_path, name):
    like = LIKES[name]
    _, skeleton = traced(like)
    tensors = random_tensors(skeleton, 0)
    first = save(tmp_path / "a.safetensors", tensors)
    merge([first, first, first], like=like, out=tmp_path / "m.safetensors")
    merged = load_file(tmp_path / "m.safetensors")
    assert all(np.array_equal(tensors[key], merged[key].numpy()) for key in tensors)


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_copies_in_any_basis_come_together_and_matchings_are_cycle_consistent(seed):
    _, skeleton = traced(MLP)
    one = random_tensors(skeleton, seed)
    rng = np.random.default_rng(seed)
    copies = [one, *(Symmetry.random(skeleton, rng).apply(one) for _ in range(3))]
    found = match_many(skeleton, copies, seed=seed % 1000)
    for symmetry, copy in zip(found, copies, strict=True):
        assert largest_difference(one, symmetry.apply(copy)) == 0
    others = [random_tensors(skeleton, seed + k) for k in range(3)]
    into = match_many(skeleton, others)
    first_to_second = into[0].then(into[1].inverse())
    second_to_third = into[1].then(into[2].inverse())
    around = first_to_second.then(second_to_third).then(into[2].then(into[0].inverse()))
    assert all((each.order == np.arange(each.order.shape[1])).all() for each in around.permutations)
    assert largest_difference(others[0], into[0].apply(others[0])) == 0


def test_statistics_estimated_again_are_those_of_training():
    """Against torch's own layers in training mode with a cumulative mean."""
    like = LIKES["preact-resnet"]
    runner = computer(like)
    assert has_statistics(runner)
    tensors = random_tensors(runner.skeleton, 0)
    asked = samples(like, 64)
    found = estimated_again(runner, tensors, asked, batch=32)
    module = runner.like.fillable()
    module.load_state_dict(runner.state(tensors), strict=False, assign=True)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
            layer.train()
    with torch.no_grad():
        module(asked.inputs[0][:32])
        module(asked.inputs[0][32:])
    for key, value in module.state_dict().items():
        if "running" in key:
            np.testing.assert_allclose(found[key], value.numpy(), rtol=1e-4, atol=1e-5)
    assert not has_statistics(computer(MLP))


def test_repair_gives_channels_the_moments_of_their_parents():
    runner = computer(MLP)
    one, other = random_tensors(runner.skeleton, 0), random_tensors(runner.skeleton, 1)
    asked = samples(MLP, 500)
    merged = average([one, other], [0.3, 0.7])
    found = repaired(runner, merged, [one, other], [0.3, 0.7], asked)
    uses = repairable(runner.skeleton)
    assert [use.slots["weight"] for use in uses] == ["layers.0.weight", "layers.1.weight"]
    for use in uses:
        place = Place(use.slots["weight"], 0, written=True)
        a, b, m = (activations(runner, each, asked)[place] for each in (one, other, found))
        np.testing.assert_allclose(m.mean(1), 0.3 * a.mean(1) + 0.7 * b.mean(1), atol=2e-3)
        np.testing.assert_allclose(m.std(1), 0.3 * a.std(1) + 0.7 * b.std(1), rtol=2e-2)
    assert largest_difference({"last": found["layers.2.weight"]}, {"last": merged["layers.2.weight"]}) == 0


def test_averages_by_slot():
    one = {"a.w": np.zeros(2, np.float32), "b.w": np.zeros(2, np.float32), "n": np.array(3)}
    other = {"a.w": np.ones(2, np.float32), "b.w": np.ones(2, np.float32), "n": np.array(5)}
    found = average([one, other], [0.5, 0.5], {"a.*": [0.25, 0.75]})
    assert found["a.w"].tolist() == [0.75, 0.75]
    assert found["b.w"].tolist() == [0.5, 0.5]
    assert found["n"] == 3
    with pytest.raises(UsageError, match="it fits no slot"):
        average([one, other], [0.5, 0.5], {"c.*": [0.5, 0.5]})
    with pytest.raises(UsageError, match="3 shares for 2 networks"):
        average([one, other], [0.2, 0.3, 0.5])
    with pytest.raises(UsageError, match="sum to 1"):
        average([one, other], [0.2, 0.3])


@settings(max_examples=30, deadline=None)
@given(seed=seeds, classes=st.integers(2, 5), positions=st.integers(1, 4))
def test_losses_are_torchs(seed, classes, positions):
    generator = torch.Generator().manual_seed(seed)
    answer = torch.randn(6, positions, classes, generator=generator)
    targets = torch.randint(classes, (6, positions), generator=generator)
    targets[0, 0] = -100
    found = row_losses(answer, targets)
    own = nn.functional.cross_entropy(answer.movedim(-1, 1), targets, reduction="none", ignore_index=-100)
    counted = (targets != -100).sum(1).clamp(min=1)
    torch.testing.assert_close(found.loss, own.sum(1) / counted)
    shares = row_losses(answer.softmax(-1), targets)
    torch.testing.assert_close(shares.loss, found.loss, rtol=1e-4, atol=1e-4)
    if positions != classes:
        turned = row_losses(answer.movedim(-1, 1), targets)
        torch.testing.assert_close(turned.loss, found.loss)
    numbers = row_losses(answer, answer + 2.0)
    torch.testing.assert_close(numbers.loss, torch.full((6,), 4.0))
    with pytest.raises(TableError, match="is not among"):
        row_losses(answer, torch.full((6, positions), classes))


def test_what_is_foreseen_is_what_happens_to_labels_drawn_from_the_ends():
    """The expectation, against losses on labels drawn from the ends' own answers."""
    runner = computer(MLP)
    one = sure(runner.skeleton, 0)
    other = Symmetry.random(runner.skeleton, np.random.default_rng(0)).apply(one)
    asked = samples(MLP, 4000)
    middle = average([one, other], [0.5, 0.5])
    excess, reading = foreseen_excess(runner, middle, [one, other], [0.5, 0.5], asked)
    foreseen = excess.mean()
    assert reading == "classes"
    shares = sum(0.5 * runner.answers(each, asked)[0].softmax(1) for each in (one, other))
    drawn = torch.multinomial(shares, 1, generator=torch.Generator().manual_seed(0))[:, 0]
    curve = judged(runner, [one, middle, other], [0, 0.5, 1], Samples(asked.inputs, drawn))
    measured = curve.losses[1] - curve.losses[[0, 2]].mean()
    assert foreseen > 0.05
    assert measured == pytest.approx(foreseen, rel=0.1)


def test_checkpoints_are_averaged_as_a_decay(tmp_path):
    _, skeleton = traced(MLP)
    states = [random_tensors(skeleton, seed) for seed in range(3)]
    paths = [save(tmp_path / f"{k}.safetensors", each) for k, each in enumerate(states)]
    found = merge(paths, like=MLP, decay="linear", steps=[100, 102, 104], out=tmp_path / "m.safetensors")
    assert found.run["weights"] == [0.25, 0.5, 0.25]
    merged = load_file(tmp_path / "m.safetensors")
    for key in states[0]:
        expected = 0.25 * states[0][key] + 0.5 * states[1][key] + 0.25 * states[2][key]
        np.testing.assert_allclose(merged[key].numpy(), expected, atol=1e-6)
    for wrong, words in (
        ({"steps": [1, 2, 3]}, "Name it with --decay"),
        ({"decay": "linear", "steps": [1, 2]}, "2 steps for 3 networks"),
        ({"decay": "inverse-sqrt"}, "Give them with --steps"),
        ({"decay": "linear", "weights": [0.2, 0.3, 0.5]}, "Leave --weights and --star away"),
        ({"decay": "step"}, "Choose one of linear, cosine"),
    ):
        with pytest.raises(UsageError, match=words):
            merge(paths, like=MLP, **wrong)


def test_intervals_cover():
    """Of a mean, in 19 of 20 cases."""
    rng = np.random.default_rng(0)
    inside = [found.low <= 0 <= found.high for found in (bootstrapped(rng.normal(size=(1, 60)), k) for k in range(300))]
    assert 0.89 < np.mean(inside) < 0.99


def test_the_line_between_two_networks(files, tmp_path):
    data = tmp_path / "data.npz"
    found = path(files[0], files[1], like=MLP, data=data, layers=True, report=tmp_path / "p.html", places=5)
    naive, aligned = found.curves["naive"].barrier(), found.curves["aligned"].barrier()
    assert aligned.high < naive.low
    assert found.curves["aligned"].accuracies[2] > 0.9 > found.curves["naive"].accuracies[2]
    assert [each.layer for each in found.layers] == ["layers.0", "layers.1", "layers.2"]
    assert all(each.aligned.value < each.naive.value for each in found.layers)
    assert "Layer by layer" in (tmp_path / "p.html").read_text()
    np.savez(tmp_path / "bare.npz", inputs=np.zeros((4, 12), np.float32))
    with pytest.raises(TableError, match="no array targets"):
        path(files[0], files[1], like=MLP, data=tmp_path / "bare.npz")


def test_the_commands(files, tmp_path, capsys):
    first, second = map(str, files)
    data, out = str(tmp_path / "data.npz"), str(tmp_path / "m.safetensors")
    assert main(["merge", first, second, "--like", MLP, "--data", data, "--plan", "-o", out]) == 0
    assert not (tmp_path / "m.safetensors").exists()
    capsys.readouterr()
    assert (
        main(["merge", first, second, "--like", MLP, "--data", data, "-o", out, "--weights", "0.4,0.6", "--json"]) == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["preflight"]["outlook"] == "should work"
    assert answer["weights"] == [0.4, 0.6]
    assert main(["merge", first, second, "--like", MLP, "--data", data, "--method", "none", "--json"]) == 4
    assert main(["merge", first, second, "--like", MLP, "--layer", "layers.0.*"]) == 2
    capsys.readouterr()
    assert main(["path", first, second, "--like", MLP, "--data", data, "--places", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer["curves"]) == {"naive", "naive, mended", "aligned", "aligned, mended"}
    assert main(["path", first, second, "--like", MLP, "--data", data, "--places", "3"]) == 0
    assert "barrier" in capsys.readouterr().out


def test_a_path_is_judged_by_labelled_rows_and_equal_rows_are_one(files, tmp_path):
    stored = np.load(tmp_path / "data.npz")
    inputs, targets = stored["inputs"], stored["targets"]
    np.savez(tmp_path / "some.npz", inputs=inputs, targets=np.where(np.arange(400) % 2, targets, -100))
    found = path(files[0], files[0], like=MLP, data=tmp_path / "some.npz", places=2)
    assert found.curves["naive"].accuracies[0] == 1
    assert 70 < found.rows < 130
    np.savez(tmp_path / "none.npz", inputs=inputs, targets=np.full(400, -100))
    with pytest.raises(UsageError, match="no row to judge by has a label"):
        path(files[0], files[0], like=MLP, data=tmp_path / "none.npz", places=2)
    np.savez(tmp_path / "often.npz", inputs=np.repeat(inputs[:40], 9, 0), targets=np.repeat(targets[:40], 9))
    np.savez(tmp_path / "once.npz", inputs=inputs[:40], targets=targets[:40])
    once, often = (
        path(*files, like=MLP, data=tmp_path / f"{name}.npz", places=3, mend=False).curves["naive"].barrier()
        for name in ("once", "often")
    )
    assert often.as_json() == pytest.approx(once.as_json())
