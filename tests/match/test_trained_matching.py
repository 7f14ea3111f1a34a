"""Straight-through, Sinkhorn and star: planted permutations come back, gradients are right, nothing gets worse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import load_file

from match.matched_nets import LIKES, computer, largest_difference, random_tensors, samples, save, traced
from reknit import align, merge
from reknit.cli import main
from reknit.errors import InputError, TableError, UsageError
from reknit.match.families import find_families
from reknit.match.many import match_many
from reknit.match.samples import Samples
from reknit.match.sinkhorn_matching import SinkhornMatching, blended, match_sinkhorn, plan_of
from reknit.match.star import StarTraining, train_star
from reknit.match.statistics import estimated_again
from reknit.match.straight_through import StraightThrough, match_straight_through, midpoint
from reknit.match.training import PointLoss, Training, as_torch, between
from reknit.match.weight_matching import match_weights
from reknit.skeleton.symmetry import Permutation, Symmetry
from strategies import seeds

MLP = "mlp:sizes=12-14-9-4"
SHORT = {"steps": 12, "batch": 32}
MATCHINGS = {
    "straight-through": lambda *given, **more: match_straight_through(*given, StraightThrough(**SHORT | more)),
    "sinkhorn": lambda *given, **more: match_sinkhorn(*given, SinkhornMatching(**SHORT | more)),
}
trained = pytest.mark.parametrize("name", MATCHINGS)


def taught(like, tensors, rows=96):
    """Noise, and what a network answers to it: classes for the last axis."""
    asked = samples(like, rows)
    return Samples(asked.inputs, computer(like).answers(tensors, asked)[0].argmax(-1))


def told(like, tensors, rows=32):
    """Noise, and the very answers of a network: no loss is lower than its own."""
    asked = samples(like, rows)
    return Samples(asked.inputs, computer(like).answers(tensors, asked)[0])


def half_way(like, left, moved, given):
    return PointLoss(computer(like), given).judged(between(as_torch(left), as_torch(moved), 0.5))


@trained
@pytest.mark.parametrize("like", [MLP, LIKES["gpt2"], LIKES["preact-resnet"]])
def test_a_planted_permutation_comes_back(name, like):
    _, skeleton = traced(like)
    left = random_tensors(skeleton, 0)
    right = Symmetry.random(skeleton, np.random.default_rng(1)).apply(left)
    found = MATCHINGS[name](computer(like), left, right, told(like, left), steps=3)
    assert largest_difference(left, found.symmetry.apply(right)) == 0
    assert found.objective == found.before
    assert found.found_at == 0


@trained
def test_a_permutation_that_weight_matching_misses_is_found_by_its_loss(name, monkeypatch):
    """The start is spoilt: two units stand exchanged, and nothing but the gradient can tell."""
    _, skeleton = traced(MLP)
    left = random_tensors(skeleton, 0)
    group = find_families(skeleton)[0].outer
    order = np.arange(group.size)
    order[[2, 5]] = order[[5, 2]]
    spoilt = Symmetry(skeleton, (Permutation(group.name, order),))
    module = f"reknit.match.{'straight_through' if name == 'straight-through' else 'sinkhorn_matching'}.match_weights"

    def wrongly(skeleton, a, b, *, start=None, **more):
        return match_weights(skeleton, a, b, start=start, **more) if start else Spoilt()

    class Spoilt:
        symmetry = spoilt

    monkeypatch.setattr(module, wrongly)
    found = MATCHINGS[name](computer(MLP), left, left, told(MLP, left, 96), steps=60)
    assert found.found_at > 0
    assert found.objective < found.before
    assert largest_difference(left, found.symmetry.apply(left)) == 0


@trained
@settings(max_examples=4)
@given(seed=seeds)
def test_half_way_is_never_worse_than_by_weights_and_the_seed_decides(name, seed):
    _, skeleton = traced(MLP)
    left, right = random_tensors(skeleton, seed), random_tensors(skeleton, seed + 1)
    given_rows = taught(MLP, left)
    once, again = (MATCHINGS[name](computer(MLP), left, right, given_rows, seed=seed) for _ in range(2))
    start = match_weights(skeleton, left, right, seed=seed).symmetry
    assert once.before == pytest.approx(half_way(MLP, left, start.apply(right), given_rows))
    assert once.objective == pytest.approx(half_way(MLP, left, once.symmetry.apply(right), given_rows))
    assert once.objective <= once.before
    assert (once.objective, once.found_at) == (again.objective, again.found_at)
    assert largest_difference(once.symmetry.apply(right), again.symmetry.apply(right)) == 0


def test_the_distance_needs_no_targets_and_does_not_grow():
    _, skeleton = traced(MLP)
    left, right = random_tensors(skeleton, 0), random_tensors(skeleton, 1)
    found = match_sinkhorn(computer(MLP), left, right, samples(MLP), SinkhornMatching(**SHORT, objective="distance"))
    assert found.objective <= found.before


def test_straight_through_has_the_gradient_of_the_midpoint():
    """Against finite differences of the loss by the right network's weights."""
    _, skeleton = traced(MLP)
    left, moved = (as_torch(random_tensors(skeleton, seed), torch.float64) for seed in (0, 1))
    loss = PointLoss(computer(MLP), taught(MLP, random_tensors(skeleton, 2)), torch.float64)
    auxiliary = {key: torch.zeros_like(value).requires_grad_() for key, value in left.items()}
    torch.autograd.backward(loss.at(midpoint(left, moved, auxiliary)))
    for key, place in (("layers.0.weight", (3, 4)), ("layers.2.bias", (1,))):
        ends = []
        for step in (1e-5, -1e-5):
            other = {**moved, key: moved[key].clone()}
            other[key][place] += step
            ends.append(loss.judged(between(left, other, 0.5)))
        assert auxiliary[key].grad[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("like", [MLP, "gpt2:layers=1,width=6,heads=3,hidden=4,vocab=5,positions=4"])
def test_the_loss_of_a_soft_permutation_has_a_gradient_by_its_scores(like):
    _, skeleton = traced(like)
    left, right = (as_torch(random_tensors(skeleton, seed), torch.float64) for seed in (0, 1))
    loss = PointLoss(computer(like), taught(like, random_tensors(skeleton, 2), 8), torch.float64)
    families = [each for each in find_families(skeleton) if not each.outer.fixed]
    generator = torch.Generator().manual_seed(0)
    scores = [torch.eye(each.outer.size).double() for each in families]
    scores = [(each + 0.1 * torch.rand(each.shape, generator=generator)).requires_grad_() for each in scores]

    def value(*given_scores):
        plans = {each.outer.name: plan_of(one, 1.0) for each, one in zip(families, given_scores, strict=True)}
        return loss.at(between(left, blended(right, families, plans), 0.5))

    found = torch.autograd.grad(value(*scores), scores)
    direction = [torch.randn(each.shape, generator=generator).double() for each in scores]
    ends = [value(*(s.detach() + step * d for s, d in zip(scores, direction, strict=True))) for step in (1e-4, -1e-4)]
    slope = sum(float((g * d).sum()) for g, d in zip(found, direction, strict=True))
    assert slope == pytest.approx(float(ends[0] - ends[1]) / 2e-4, rel=1e-2)


@pytest.mark.parametrize("name", LIKES)
def test_a_hard_plan_is_the_permutation(name):
    """Heads move with what is inside them."""
    _, skeleton = traced(LIKES[name])
    families = [each for each in find_families(skeleton) if not each.outer.fixed]
    outer = {each.outer.name for each in families}
    drawn = Symmetry.random(skeleton, np.random.default_rng(0))
    symmetry = Symmetry(skeleton, tuple(each for each in drawn.permutations if each.group in outer))
    tensors = as_torch(random_tensors(skeleton, 0))
    plans = {each.group: torch.eye(each.order.shape[1])[each.order[0].tolist()] for each in symmetry.permutations}
    mixed, moved = blended(tensors, families, plans), symmetry.apply(tensors)
    assert all(torch.equal(mixed[key], moved[key]) for key in tensors)


def test_statistics_of_an_average_do_not_count():
    """By batch: the loss is that of the network whose statistics are estimated on these rows."""
    like = LIKES["preact-resnet"]
    _, skeleton = traced(like)
    tensors = random_tensors(skeleton, 0)
    given_rows = taught(like, tensors, 64)
    wild = {key: value * 50 if "running" in key else value for key, value in tensors.items()}
    loss = PointLoss(computer(like), given_rows)
    assert loss.judged(as_torch(wild)) == pytest.approx(loss.judged(as_torch(tensors)))
    right = estimated_again(computer(like), tensors, given_rows)
    answers = computer(like).answers(right, given_rows)[0]
    assert loss.judged(as_torch(tensors)) == pytest.approx(
        float(torch.nn.functional.cross_entropy(answers, given_rows.targets)), rel=0.05
    )


@pytest.mark.parametrize(("like", "count"), [(MLP, 3), ("preact-resnet:inputs=3,stem=4,stages=1x4,outputs=3", 2)])
def test_a_star_is_nearer_to_all_and_leaves_functions_as_they_are(like, count):
    _, skeleton = traced(like)
    networks = [random_tensors(skeleton, seed) for seed in range(count)]
    given_rows = taught(like, networks[0], 64)
    short = StarTraining(steps=12, batch=32, realign=6, rate=3e-3)
    star, again = (train_star(computer(like), networks, given_rows, short) for _ in range(2))
    assert star.after < star.before
    assert largest_difference(star.tensors, again.tensors) == 0
    halves = [half_way(like, star.tensors, moved, given_rows) for moved in star.networks]
    assert star.after == pytest.approx(np.mean(halves), rel=1e-4)
    for symmetry, network, moved in zip(star.symmetries, networks, star.networks, strict=True):
        assert largest_difference(symmetry.apply(network), moved) == 0
        same = [computer(like).answers(each, given_rows)[0] for each in (network, moved)]
        assert torch.allclose(*same, atol=1e-4)


def test_networks_are_matched_again_to_a_star_that_moves():
    _, skeleton = traced(MLP)
    networks = [random_tensors(skeleton, seed) for seed in range(3)]
    given_rows = taught(MLP, networks[0], 64)
    wild = StarTraining(steps=12, batch=32, realign=4, rate=0.1)
    star = train_star(computer(MLP), networks, given_rows, wild)
    at_first = match_many(skeleton, networks)
    assert any(a.permutations != b.permutations for a, b in zip(star.symmetries, at_first, strict=True))
    halves = [half_way(MLP, star.tensors, moved, given_rows) for moved in star.networks]
    assert star.after == pytest.approx(np.mean(halves), rel=1e-4)
    never = train_star(computer(MLP), networks, given_rows, replace(wild, realign=0))
    assert [each.permutations for each in never.symmetries] == [each.permutations for each in at_first]


def test_what_cannot_be_trained_is_said():
    _, skeleton = traced(MLP)
    left = random_tensors(skeleton, 0)
    with pytest.raises(UsageError, match="there are -1 steps"):
        Training(steps=-1)
    with pytest.raises(UsageError, match="a batch has 1 rows"):
        StraightThrough(batch=1)
    with pytest.raises(UsageError, match="the learning rate is 0"):
        Training(rate=0)
    with pytest.raises(UsageError, match=r"no objective 'luck'.*Choose one of distance, midpoint, random"):
        SinkhornMatching(objective="luck")
    with pytest.raises(UsageError, match="the sharpness is 0"):
        SinkhornMatching(sharpness=0)
    with pytest.raises(UsageError, match="matched every -1 steps"):
        StarTraining(realign=-1)
    for method in MATCHINGS.values():
        with pytest.raises(TableError, match="has no array targets"):
            method(computer(MLP), left, left, samples(MLP))
    with pytest.raises(TableError, match="has no array targets"):
        train_star(computer(MLP), [left, left], samples(MLP))
    with pytest.raises(UsageError, match="needs two networks"):
        train_star(computer(MLP), [left], taught(MLP, left))
    wild = {key: value * np.float32(1e30) for key, value in left.items()}
    with pytest.raises(InputError, match=r"the loss is (nan|inf) at step 1"):
        match_straight_through(computer(MLP), wild, wild, taught(MLP, left))


def test_nothing_to_permute_and_no_step():
    like = "mlp:sizes=3-2"
    _, skeleton = traced(like)
    left, right = random_tensors(skeleton, 0), random_tensors(skeleton, 1)
    for name, method in MATCHINGS.items():
        found = method(computer(like), left, right, taught(like, left))
        assert found.symmetry.permutations == (), name
    left = random_tensors(traced(MLP)[1], 0)
    assert match_sinkhorn(computer(MLP), left, left, taught(MLP, left), SinkhornMatching(steps=0)).found_at == 0


@pytest.fixture
def files(tmp_path):
    """A network, a permuted copy, and data that the first answers right."""
    _, skeleton = traced(MLP)
    left = random_tensors(skeleton, 0)
    right = Symmetry.random(skeleton, np.random.default_rng(1)).apply(left)
    known = taught(MLP, left, 200)
    np.savez(tmp_path / "data.npz", inputs=known.inputs[0].numpy(), targets=known.targets.numpy())
    np.savez(tmp_path / "bare.npz", inputs=known.inputs[0].numpy())
    return [save(tmp_path / f"{k}.safetensors", each) for k, each in enumerate((left, right))]


@trained
def test_align_by_name(name, files, tmp_path):
    with pytest.raises(UsageError, match="Give inputs and targets with --data"):
        align(*files, like=MLP, method=name)
    with pytest.raises(TableError, match="has no array targets"):
        align(*files, like=MLP, method=name, data=tmp_path / "bare.npz")
    found = align(*files, like=MLP, method=name, data=tmp_path / "data.npz")
    assert found.verdict == "exact"
    assert found.distance[1] == 0


def test_merge_to_a_star(files, tmp_path, capsys):
    data, out = tmp_path / "data.npz", tmp_path / "star.safetensors"
    found = merge(files, like=MLP, data=data, star=20)
    assert len(found.same) == 2
    assert all(each.holds for each in found.same)
    assert found.run["star"] == 20
    with pytest.raises(UsageError, match=r"--star: it trains.*Give inputs and targets with --data"):
        merge(files, like=MLP, star=20)
    with pytest.raises(UsageError, match="aligned by weights, not by activations"):
        merge(files, like=MLP, data=data, star=20, method="activations")
    with pytest.raises(UsageError, match="a star has no shares"):
        merge(files, like=MLP, data=data, star=20, weights=[0.3, 0.7])
    command = ["merge", *map(str, files), "--like", MLP, "--data", str(data), "--star", "20", "-o", str(out)]
    assert main(command) == 0, capsys.readouterr().out
    written = load_file(out)
    assert max(float((written[key] - torch.from_numpy(found.tensors[key])).abs().max()) for key in written) == 0
