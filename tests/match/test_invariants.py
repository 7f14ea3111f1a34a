"""What holds whatever the networks: copies come back, twice is once, a copy changes nothing, nothing is guessed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from architectures.random_configs import CONFIGS
from match.matched_nets import LIKES, computer, largest_difference, random_tensors, samples, save, traced
from reknit import align, merge, path
from reknit.architectures.spelling import spell_config
from reknit.errors import InputError, TableError
from reknit.match.activation_matching import match_activations
from reknit.match.all_symmetries import match_all
from reknit.match.computing import same_function
from reknit.match.rotation_matching import match_rotations
from reknit.match.samples import Samples
from reknit.match.sinkhorn_matching import SinkhornMatching, match_sinkhorn
from reknit.match.straight_through import StraightThrough, match_straight_through
from reknit.match.weight_matching import match_weights
from reknit.skeleton.symmetry import Symmetry
from strategies import seeds

SHORT = {"steps": 4, "batch": 32}
TINY = {
    "a layer of one unit": "mlp:sizes=3-1-2",
    "all of one": "mlp:sizes=1-1-1",
    "nothing hidden": "mlp:sizes=3-2",
    "one block of one unit": "residual-mlp:blocks=1,width=1,hidden=1,outputs=1",
    "one head": "gpt2:layers=1,width=4,heads=1,hidden=1,vocab=3,positions=4",
    "one head of two": "llama:layers=1,width=2,heads=1,kv_heads=1,hidden=1,vocab=3",
    "one channel": "preact-resnet:inputs=1,stem=1,stages=1x1,outputs=2",
}
RAGGED = {
    "layers of other sizes": "mlp:sizes=5-9-2-7-3",
    "stages of other sizes": "bottleneck-resnet:inputs=2,stem=3,stages=1x2-2x3s2,outputs=4",
    "queries in groups": "llama:layers=1,width=10,heads=6,kv_heads=2,head_size=4,hidden=7,vocab=5",
    "one key for all": "llama:layers=1,width=6,heads=3,kv_heads=1,head_size=2,hidden=5,vocab=4",
    "heads of odd size": "bert:layers=1,width=9,heads=3,hidden=5,vocab=4,positions=6",
}


def basis(method, like, left, right):
    """What the method finds to bring the right network into the left one's basis."""
    runner = computer(like)
    if method == "weights":
        return match_weights(runner.skeleton, left, right).symmetry
    if method == "scales":
        return match_all(runner, left, right).symmetry
    if method == "rotation":
        return match_rotations(runner, left, right).basis
    asked = samples(like, 48)
    if method == "activations":
        return match_activations(runner, left, right, asked).symmetry
    known = Samples(asked.inputs, runner.answers(left, asked)[0].argmax(-1))
    if method == "straight-through":
        return match_straight_through(runner, left, right, known, StraightThrough(**SHORT)).symmetry
    return match_sinkhorn(runner, left, right, known, SinkhornMatching(**SHORT)).symmetry


def same_bits(first, second):
    return all(first[key].dtype == second[key].dtype and np.array_equal(first[key], second[key]) for key in first)


def shuffled(skeleton, tensors, seed):
    return Symmetry.random(skeleton, np.random.default_rng(seed)).apply(tensors)


@settings(max_examples=10)
@given(name=st.sampled_from(sorted(LIKES)), method=st.sampled_from(["weights", "activations"]), seed=seeds)
def test_a_permuted_copy_comes_back_bit_by_bit(name, method, seed):
    _, skeleton = traced(LIKES[name])
    tensors = random_tensors(skeleton, seed)
    right = shuffled(skeleton, tensors, seed)
    assert same_bits(tensors, basis(method, LIKES[name], tensors, right).apply(right))


BY_ASSIGNMENTS_ALONE = ("mlp", "conv-chain", "preact-resnet", "bottleneck-resnet", "residual-mlp")
"""Of each group one assignment, and no tensor with the group on two axes: how units came in cannot matter."""


def check_twice(method, like, seed, near=0.0, *, in_any_basis=False):
    """Two unrelated networks: the second in the first one's basis, brought there again."""
    _, skeleton = traced(like)
    left, right = random_tensors(skeleton, seed), random_tensors(skeleton, seed + 1)
    once = basis(method, like, left, right).apply(right)
    others = [once, *([shuffled(skeleton, right, seed)] if in_any_basis else [])]
    for other in others:
        assert largest_difference(once, basis(method, like, left, other).apply(other)) <= near


@settings(max_examples=10)
@given(name=st.sampled_from(sorted(LIKES)), method=st.sampled_from(["weights", "activations"]), seed=seeds)
def test_twice_is_once(name, method, seed):
    check_twice(method, LIKES[name], seed)


@settings(max_examples=8)
@given(name=st.sampled_from(BY_ASSIGNMENTS_ALONE), seed=seeds)
def test_the_basis_it_came_in_does_not_matter(name, seed):
    check_twice("weights", LIKES[name], seed, in_any_basis=True)


@pytest.mark.parametrize("method", ["straight-through", "sinkhorn"])
def test_twice_is_once_for_what_trains(method):
    check_twice(method, "mlp:sizes=8-9-7-4", 0, in_any_basis=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["scales", "rotation"])
def test_twice_is_once_to_rounding_for_what_multiplies(method, seed):
    check_twice(method, "llama:layers=1,width=8,heads=2,kv_heads=1,hidden=6,vocab=5", seed, 1e-5)


@pytest.mark.slow
@settings(max_examples=40)
@given(config=st.sampled_from(sorted(CONFIGS)).flatmap(CONFIGS.get), seed=seeds)
def test_twice_is_once_whatever_the_config(config, seed):
    check_twice("weights", spell_config(config), seed)


@settings(max_examples=20)
@given(name=st.sampled_from(sorted(LIKES)), seed=seeds)
def test_the_inverse_undoes_a_symmetry_of_every_architecture(name, seed):
    _, skeleton = traced(LIKES[name])
    tensors = random_tensors(skeleton, seed)
    symmetry = Symmetry.random(skeleton, np.random.default_rng(seed))
    moved = symmetry.apply(tensors)
    assert same_bits(tensors, symmetry.inverse().apply(moved))
    assert same_function(computer(LIKES[name]), tensors, moved, samples(LIKES[name], 4)).holds


@pytest.mark.parametrize("like", [*TINY.values(), *RAGGED.values()], ids=[*TINY, *RAGGED])
def test_sizes_of_one_and_of_all_kinds(like, tmp_path):
    """A shuffled copy comes back, and of three of them one is made."""
    _, skeleton = traced(like)
    tensors = random_tensors(skeleton, 3)
    copies = [tensors, shuffled(skeleton, tensors, 1), shuffled(skeleton, tensors, 2)]
    files = [save(tmp_path / f"{k}.safetensors", each) for k, each in enumerate(copies)]
    found = align(*files[:2], like=like, out=tmp_path / "b.safetensors")
    assert (found.verdict, found.distance[1]) == ("exact", 0)
    merge(files, like=like, out=tmp_path / "m.safetensors")
    for name in ("b", "m"):
        written = {key: value.numpy() for key, value in load_file(tmp_path / f"{name}.safetensors").items()}
        assert same_bits(tensors, written)


class TestMergedWithItself:
    """merge(A, A) = A, by every method, with data and with shares by layer."""

    LLAMA = "llama:layers=1,width=8,heads=4,kv_heads=2,hidden=6,vocab=5"

    @pytest.fixture(params=[LLAMA, "preact-resnet:inputs=2,stem=3,stages=1x3,outputs=4"], ids=["llama", "resnet"])
    def given(self, request, tmp_path):
        like = request.param
        tensors = random_tensors(traced(like)[1], 0)
        asked = samples(like, 40)
        classes = computer(like).answers(tensors, asked)[0].argmax(-1)
        np.savez(tmp_path / "d.npz", inputs=asked.inputs[0].numpy(), targets=classes.numpy())
        return like, tensors, save(tmp_path / "a.safetensors", tensors)

    @pytest.mark.parametrize("data", [False, True], ids=["without data", "with data"])
    @pytest.mark.parametrize("method", ["none", "weights", "activations", "rotation", "straight-through", "sinkhorn"])
    def test_it_is_itself(self, given, tmp_path, method, data):
        like, tensors, file = given
        if method == "rotation" and like != self.LLAMA:
            pytest.skip("nothing may be turned there")
        if not data and method not in ("none", "weights", "rotation"):
            pytest.skip("needs data")
        shares = {"weights": [0.2, 0.3, 0.5], "by_slot": {"*weight": [0.1, 0.1, 0.8]}}
        more = {"data": tmp_path / "d.npz"} if data else {}
        found = merge([file] * 3, like=like, method=method, out=tmp_path / "m.safetensors", **shares, **more)
        written = {key: value.numpy() for key, value in load_file(tmp_path / "m.safetensors").items()}
        assert same_bits(tensors, written)
        assert found.verdict == ("consistent" if data else "ambiguous")


VERBS = {
    "align": lambda good, bad, data: align(good, bad, like=LIKES["mlp"]),
    "align, the first": lambda good, bad, data: align(bad, good, like=LIKES["mlp"]),
    "merge": lambda good, bad, data: merge([good, good, bad], like=LIKES["mlp"]),
    "merge, not aligned": lambda good, bad, data: merge([good, bad], like=LIKES["mlp"], method="none"),
    "merge, a decay": lambda good, bad, data: merge([good, bad], like=LIKES["mlp"], decay="linear"),
    "path": lambda good, bad, data: path(good, bad, like=LIKES["mlp"], data=data),
}
FAULTS = {
    "undefined": "layers.1.weight holds numbers that are infinite or undefined. Mend it first.",
    "infinite": "layers.1.weight holds numbers that are infinite or undefined. Mend it first.",
    "shape": "layers.1.weight has the shape (20, 29), its slot (20, 30). Name the skeleton that has exactly these",
    "axes": "layers.1.weight has the shape (20, 30, 1), its slot (20, 30). Name the skeleton that has exactly these",
    "missing": "layers.1.weight is missing. Name the skeleton that has exactly these tensors with --like.",
    "left over": "one.more is in no slot of the skeleton. Name the skeleton that has exactly these tensors with --like",
}


def spoilt(tensors, fault):
    """The network with one thing wrong."""
    weight = tensors["layers.1.weight"].copy()
    if fault in ("undefined", "infinite"):
        weight[3, 4] = np.nan if fault == "undefined" else -np.inf
    if fault in ("shape", "axes"):
        weight = weight[:, 1:] if fault == "shape" else weight[..., None]
    if fault == "missing":
        return {key: value for key, value in tensors.items() if key != "layers.1.weight"}
    more = {"one.more": np.zeros(2, np.float32)} if fault == "left over" else {}
    return {**tensors, "layers.1.weight": weight, **more}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_network_of_this_skeleton_is_refused_in_words(verb, fault, tmp_path):
    tensors = random_tensors(traced(LIKES["mlp"])[1], 0)
    good = save(tmp_path / "good.safetensors", tensors)
    bad = save(tmp_path / "bad.safetensors", spoilt(tensors, fault))
    np.savez(tmp_path / "d.npz", inputs=np.zeros((4, 12), np.float32), targets=np.zeros(4, np.int64))
    with pytest.raises(InputError) as refused:
        VERBS[verb](good, bad, tmp_path / "d.npz")
    assert str(refused.value).startswith(f"{bad}: {FAULTS[fault]}")


@pytest.mark.parametrize("verb", ["align", "merge", "path"])
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"inputs": np.zeros((0, 12), np.float32), "targets": np.zeros(0, np.int64)}, "holds no rows"),
        ({"inputs": np.full((4, 12), np.nan, np.float32), "targets": np.zeros(4, np.int64)}, "infinite or undefined"),
        ({"inputs": np.zeros((4, 11), np.float32), "targets": np.zeros(4, np.int64)}, "does not take the inputs"),
        ({"outputs": np.zeros((4, 12), np.float32)}, "has no array inputs"),
    ],
)
def test_inputs_that_are_none_are_refused_in_words(verb, arrays, words, tmp_path):
    file = save(tmp_path / "a.safetensors", random_tensors(traced(LIKES["mlp"])[1], 0))
    np.savez(tmp_path / "d.npz", **arrays)
    verbs = {"align": align, "merge": lambda *files, **more: merge(files, **more), "path": path}
    with pytest.raises(TableError, match=words):
        verbs[verb](file, file, like=LIKES["mlp"], data=tmp_path / "d.npz")


def test_a_tensor_of_no_numbers_is_handed_on(tmp_path):
    like = "match.odd_modules:hollow"
    module, _ = traced(like)
    state = {key: value.numpy() for key, value in module.module.to_empty(device="cpu").state_dict().items()}
    rng = np.random.default_rng(0)
    tensors = [{key: rng.normal(size=value.shape).astype(np.float32) for key, value in state.items()} for _ in range(2)]
    files = [save(tmp_path / f"{k}.safetensors", each) for k, each in enumerate(tensors)]
    assert align(*files, like=like, out=tmp_path / "b.safetensors").verdict == "exact"
    merge(files, like=like, out=tmp_path / "m.safetensors")
    for name in ("b", "m"):
        assert load_file(tmp_path / f"{name}.safetensors")["nothing"].shape == torch.Size([0, 16])
