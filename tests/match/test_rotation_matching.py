"""Matching by rotations: what is planted is undone, and the verb proves it."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from match.matched_nets import LIKES, computer, largest_difference, random_tensors, samples, save
from reknit import align, merge
from reknit.cli import main
from reknit.errors import OutputError, UsageError
from reknit.match.asking import answers_to_noise
from reknit.match.computing import same_function
from reknit.match.rotation_matching import match_rotations
from reknit.match.turned_basis import TurnedBasis
from reknit.match.turned_network import RotationOptions, nearest
from reknit.skeleton.rotation import Rotation
from reknit.skeleton.rotation_classes import find_rotation_classes
from reknit.skeleton.stream_gauge import StreamGauge
from reknit.skeleton.symmetry import Symmetry
from reknit.solvers.procrustes import procrustes

UNTIED = LIKES["gpt2"] + ",tied=false"
NETS = {
    "llama": LIKES["llama"],
    "gpt2": UNTIED,
    "apart": LIKES["gpt2-apart"] + ",tied=false",
    "bert": LIKES["bert"],
    "residual-mlp": "residual-mlp:blocks=3,width=9,hidden=13,outputs=2,inputs=4",
    "without norms": "residual-mlp:blocks=3,width=9,hidden=13,outputs=2,inputs=4,norm=none",
}


def planted(like, tensors, seed):
    """The same function: everything turned that may be, everything else permuted, other gains."""
    runner, rng = computer(like), np.random.default_rng(seed)
    skeleton, answer = runner.skeleton, answers_to_noise(computer(like))
    classes, _ = find_rotation_classes(skeleton, answer)
    within = {group.name: group.within for group in skeleton.groups}
    turned = [Rotation.random(skeleton, each.group, rng, keeps_ones=each.keeps_ones) for each in classes]
    names = {each.group for each in classes}
    moved = tuple(each for each in Symmetry.random(skeleton, rng).permutations if each.group not in names)
    gauges = tuple(StreamGauge.of(skeleton, each, answer) for each in classes if within[each.group] is None)
    other = random_tensors(skeleton, seed)
    return TurnedBasis(skeleton, gauges, (*turned, Symmetry(skeleton, moved)), other).apply(tensors)


@pytest.mark.parametrize(("dtype", "near"), [(np.float32, 1e-5), (np.float64, 1e-10)])
@pytest.mark.parametrize("name", NETS)
def test_what_is_planted_is_undone(name, dtype, near):
    runner, asked_of = computer(NETS[name]), samples(NETS[name])
    left = random_tensors(runner.skeleton, 0, dtype)
    right = planted(NETS[name], left, 1)
    assert largest_difference(left, right) > 1
    assert same_function(runner, left, right, asked_of).holds
    found = match_rotations(runner, left, right)
    back = found.basis.apply(right)
    assert largest_difference(left, back) < near
    assert same_function(runner, right, back, asked_of).holds
    assert found.settled


def test_a_network_matched_with_itself_stays_and_others_come_nearer():
    runner = computer(LIKES["llama"])
    left, right = (random_tensors(runner.skeleton, seed) for seed in (0, 1))
    assert largest_difference(left, match_rotations(runner, left, left).basis.apply(left)) < 1e-6
    found = match_rotations(runner, left, right)
    again = match_rotations(runner, left, found.basis.apply(right))
    assert again.objective >= found.objective - 1e-6 * found.objective
    permuted = match_rotations(runner, left, right, options=RotationOptions(heads=False))
    assert found.objective > permuted.objective > 0
    assert same_function(runner, right, found.basis.apply(right), samples(LIKES["llama"])).holds


@pytest.mark.parametrize("keeps_ones", [False, True])
def test_the_nearest_rotation_is_that_of_procrustes(keeps_ones):
    cross = np.random.default_rng(0).normal(size=(2, 7, 7))
    found = nearest(cross, RotationOptions(), keeps_ones=keeps_ones)
    fixed = np.ones((7, 1)) if keeps_ones else None
    for each, matrix in zip(cross, found, strict=True):
        assert np.allclose(procrustes(np.eye(7), each, fixed=fixed).matrix, matrix)


def test_networks_of_which_nothing_may_be_turned_are_refused(tmp_path):
    like = LIKES["preact-resnet"]
    path = save(tmp_path / "a.safetensors", random_tensors(computer(like).skeleton, 0))
    with pytest.raises(UsageError, match=r"as it is: stream: a BatchNorm norms each of its units. Take the method we"):
        align(path, path, like=like, method="rotation")


@pytest.fixture
def files(tmp_path):
    tensors = random_tensors(computer(UNTIED).skeleton, 0)
    right = planted(UNTIED, tensors, 1)
    return save(tmp_path / "a.safetensors", tensors), save(tmp_path / "b.safetensors", right)


def test_the_verb_writes_what_was_turned(files, tmp_path, capsys):
    out = tmp_path / "c.safetensors"
    arguments = ["align", *map(str, files), "--like", UNTIED, "--method", "rotation", "-o", str(out), "--json"]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "exact"
    assert told["rotation"]["said"] == "5 groups"
    assert told["rotation"]["defect"] < 1e-12
    assert told["distance"]["after"] < 1e-5 < 1 < told["distance"]["before"]
    assert largest_difference(load_file(files[0]), load_file(out)) < 1e-5
    merged = merge(files, like=UNTIED, method="rotation")
    assert largest_difference(load_file(files[0]), merged.tensors) < 1e-5


def test_an_inexact_polar_factor_is_found_out_by_the_proof(files, tmp_path):
    found = align(*files, like=UNTIED, method="rotation", polar="cubic", polar_steps=3)
    assert found.verdict == "failed"
    assert found.run["rotation"]["defect"] > 1e-3
    out = tmp_path / "c.safetensors"
    with pytest.raises(OutputError, match="would compute something else"):
        align(*files, like=UNTIED, method="rotation", polar="muon", polar_steps=5, out=out)
    enough = align(*files, like=UNTIED, method="rotation", polar="quintic", polar_steps=40)
    assert enough.verdict == "exact"


def test_a_head_tied_to_the_embedding_keeps_its_stream_and_says_so(tmp_path):
    like = LIKES["gpt2"]
    left, other = (random_tensors(computer(like).skeleton, seed) for seed in (0, 1))
    paths = save(tmp_path / "a.safetensors", left), save(tmp_path / "b.safetensors", other)
    found = align(*paths, like=like, method="rotation")
    assert found.verdict == "exact"
    reason = "the gain transformer.ln_f.weight cannot be folded: transformer.wte.weight, which reads it, is tied"
    assert found.run["rotation"]["said"].startswith(f"4 groups; stream is not: {reason}")
    left["transformer.ln_f.weight"] = np.full(12, 0.7, dtype=np.float32)  # the same for all units: nothing to fold
    right = planted(like, left, 1) | {"transformer.ln_f.weight": left["transformer.ln_f.weight"]}
    found = match_rotations(computer(like), left, right)
    assert "stream" in found.basis.turned
    assert largest_difference(left, found.basis.apply(right)) < 1e-5


def test_half_precision_is_written_in_single(tmp_path):
    tensors = random_tensors(computer(LIKES["llama"]).skeleton, 0, np.float16)
    turned = {key: value.astype(np.float16) for key, value in planted(LIKES["llama"], tensors, 1).items()}
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path, each in zip(paths, (tensors, turned), strict=True):
        save_file({key: np.ascontiguousarray(value) for key, value in each.items()}, path)
    found = align(*paths, like=LIKES["llama"], method="rotation", out=tmp_path / "c.safetensors")
    assert found.verdict == "exact"
    written = load_file(tmp_path / "c.safetensors")
    assert {value.dtype for value in written.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"polar": "round"}, "there is no polar factor 'round'. Choose one of svd, cubic"),
        ({"polar_steps": 0}, "there are 0 steps"),
        ({"polar": "muon", "method": "weights"}, "the method weights has no polar factors"),
    ],
)
def test_options_that_cannot_be_are_refused(files, options, words):
    with pytest.raises(UsageError, match=words):
        align(*files, like=UNTIED, **{"method": "rotation", **options})
