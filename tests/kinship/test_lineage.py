"""The verb: kin found and strangers not, the same whatever files are called or come first, words, refusals."""

import json
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings

from bench import digits_mlp
from match.matched_nets import random_tensors, save, traced
from reknit import lineage
from reknit.cli import main
from reknit.errors import InputError, UsageError
from reknit.kinship.comparing import Kin, evidence, related
from reknit.kinship.direction import direction
from reknit.kinship.named import in_common, in_slots
from reknit.kinship.sweeps import signs_of, sweeps
from reknit.kinship.two_matchings import published_log10_p
from reknit.kinship.units_by_skeleton import planned
from reknit.skeleton.symmetry import Permutation, Symmetry
from strategies import real_file, seeds

LIKE = "mlp:sizes=6-24-16-3"
KIN = Kin(planned(traced(LIKE)[1]))


def net(seed, like=LIKE):
    return random_tensors(traced(like)[1], seed)


def noisy(state, size, seed=0):
    rng = np.random.default_rng(seed)
    return {
        key: (value + size * value.std() * rng.normal(size=value.shape)).astype(value.dtype)
        for key, value in state.items()
    }


@pytest.fixture
def files(tmp_path):
    """A parent, its child, its child with units in another order, and a stranger."""
    parent = net(1)
    child = noisy(parent, 0.5)
    shuffled = Symmetry.random(traced(LIKE)[1], np.random.default_rng(3)).apply(child)
    nets = {"parent": parent, "child": child, "shuffled": shuffled, "stranger": net(2)}
    return {name: save(tmp_path / f"{name}.safetensors", state) for name, state in nets.items()}


@pytest.mark.parametrize("like", [LIKE, None])
def test_a_child_is_kin_and_a_stranger_is_not(files, like):
    kin = lineage([files["parent"], files["child"]], like=like).relations[0]
    assert (kin.label, kin.related) == ("exact", True)
    assert kin.log10_p < -15
    assert kin.claim.startswith("parent.safetensors and child.safetensors share an initialisation or descend one from")
    assert kin.effect > 0.9
    assert kin.inherited
    stranger = lineage([files["parent"], files["stranger"]], like=like).relations[0]
    assert (stranger.label, stranger.log10_p > -2) == ("cannot say", True)
    assert "does not show that there is none" in stranger.claim
    assert stranger.direction.label == "cannot say"


def test_a_child_with_one_layer_in_another_order_is_found_through_the_other_side():
    """The second layer's units are shuffled: the Gram of the first layer by what goes out does not see it."""
    parent = net(1, "mlp:sizes=6-40-40-3")
    skeleton = traced("mlp:sizes=6-40-40-3")[1]
    order = np.random.default_rng(0).permutation(40)
    child = Symmetry(skeleton, (Permutation("layers.1", order),)).apply(noisy(parent, 0.2))
    found = evidence(parent, child, Kin(planned(skeleton)))
    by_test = {(each.test, each.where): each.log10_p for each in found.findings}
    assert by_test["fixed points", "layers.1"] > -3
    assert by_test["outgoing Gram", "layers.0"] < -2.5
    assert by_test["incoming Gram", "layers.1"] > -3


@settings(max_examples=10)
@given(seeds)
def test_p_does_not_depend_on_names_nor_on_which_file_is_first(seed):
    with patch.multiple("reknit.kinship.relating", FEW=19, MANY=39, TRACE_DRAWS=39):
        check_names_and_order(seed)


def check_names_and_order(seed):
    a = net(seed)
    b = noisy(a, 3.0, seed) if seed % 2 else net(seed + 1)
    plain = evidence(a, b, KIN)
    swapped = evidence(b, a, KIN)
    assert [each.as_json() for each in swapped.findings] == [each.as_json() for each in plain.findings]
    free = evidence(a, b, Kin())
    called = {key: f"z{k}.{key}" for k, key in enumerate(reversed(list(a)))}
    other = [{called[key]: state[key] for key in reversed(list(a))} for state in (b, a)]
    renamed = evidence(*other, Kin())
    assert renamed.log10_p == pytest.approx(free.log10_p)
    assert sorted(each.log10_p for each in renamed.findings) == sorted(each.log10_p for each in free.findings)


def test_digits_nets_agree_far_above_chance_and_are_not_called_kin(tmp_path):
    """The counterexample to two-matching agreement as a p-value: two seeds, the same data."""
    paths, states = [], []
    for seed in (0, 1):
        trained = digits_mlp.trained(digits_mlp.made((64, 64, 64, 10), seed), 120, seed)
        states.append({key: value.numpy() for key, value in trained.state_dict().items()})
        paths.append(save(tmp_path / f"{seed}.safetensors", states[-1]))
    skeleton = traced("mlp:sizes=64-64-64-10")[1]
    found = sweeps(planned(skeleton), *states, np.random.default_rng(0))
    claimed = {name: published_log10_p(count, 64) for name, count in found.agreeing.items()}
    assert min(claimed.values()) < -6
    relation = lineage(paths, like="mlp:sizes=64-64-64-10").relations[0]
    assert relation.label == "cannot say"
    assert relation.log10_p > -2


def test_a_panel_finds_what_exact_tests_cannot(files, tmp_path):
    panel = [save(tmp_path / f"panel{seed}.safetensors", net(seed)) for seed in range(10, 29)]
    pair = [files["parent"], files["shuffled"]]
    assert lineage(pair, like=LIKE).relations[0].label == "cannot say"
    found = lineage(pair, like=LIKE, panel=panel).relations[0]
    assert found.label == "calibrated"
    assert 10**found.log10_p == pytest.approx(0.05)
    assert "none of them is as like either as the two are alike" in found.claim
    few = lineage(pair, like=LIKE, panel=panel[:9]).relations[0]
    assert few.label == "cannot say"
    stranger = lineage([files["parent"], files["stranger"]], like=LIKE, panel=panel).relations[0]
    assert stranger.label == "cannot say"


@pytest.mark.parametrize("like", ["gpt2", "llama", "preact-resnet", "bert"])
def test_sweeps_do_not_see_permutations(like):
    from match.matched_nets import LIKES

    skeleton = traced(LIKES[like])[1]
    plan = planned(skeleton)
    a = random_tensors(skeleton, 1)
    plain = sweeps(plan, a, a, np.random.default_rng(0))
    moved = Symmetry.random(skeleton, np.random.default_rng(3)).apply(a)
    found = sweeps(plan, a, moved, np.random.default_rng(0))
    assert found.agreeing == plain.agreeing
    assert found.statistic == sum(found.units.values()) > 0


def test_files_without_names_are_matched_by_content_and_pay_for_the_choice(tmp_path):
    """Anonymous, transposed, in another order: p is that of the named file times the number of pairings."""
    like = "mlp:sizes=6-24-24-24-3"
    parent, stranger = net(1, like), net(2, like)
    files = {"parent": save(tmp_path / "parent.safetensors", parent)}
    for name, state in (("child", noisy(parent, 0.3)), ("stranger", stranger)):
        tensors = list(state.values())[::-1]
        files[name] = save(tmp_path / f"{name}.safetensors", {f"t{k}": x.T.copy() for k, x in enumerate(tensors)})
    kin = lineage([files["parent"], files["child"]]).relations[0]
    assert kin.label == "exact"
    named = save(tmp_path / "named.safetensors", noisy(parent, 0.3))
    plain = lineage([files["parent"], named]).relations[0]
    assert kin.log10_p == pytest.approx(plain.log10_p + np.log10(2 * 2**2))
    turned = lineage([files["child"], files["parent"]]).relations[0]
    assert turned.log10_p == pytest.approx(kin.log10_p)
    assert lineage([files["parent"], files["stranger"]]).relations[0].label == "cannot say"


def test_sweeps_do_not_see_signs_of_gated_units():
    from match.matched_nets import LIKES

    skeleton = traced(LIKES["llama"])[1]
    a = random_tensors(skeleton, 1)
    b, rng = dict(a), np.random.default_rng(0)
    for layer in (0, 1):
        signs = rng.choice([-1, 1], 14).astype(np.float32)
        up, down = (f"model.layers.{layer}.mlp.{each}_proj.weight" for each in ("up", "down"))
        b[up], b[down] = a[up] * signs[:, None], a[down] * signs
    found = sweeps(planned(skeleton), a, b, np.random.default_rng(0))
    assert found.statistic == sum(found.units.values()) > 0


def test_a_unit_takes_the_sign_of_all_its_tensors_or_their_product():
    matched = [np.array([0.9, -0.9, 0.9, -0.9]), np.array([0.8, -0.8, -0.8, 0.8])]
    assert signs_of(matched).tolist() == [1, -1, -1, -1]


def test_many_pairs_are_corrected_for(files):
    found = lineage(list(files.values()), like=LIKE)
    two = lineage([files["parent"], files["child"]], like=LIKE).relations[0]
    assert len(found.relations) == 6
    assert found.relations[0].log10_p == pytest.approx(two.log10_p + np.log10(6))
    kin = {(each.first.stem, each.second.stem) for each in found.related}
    assert kin == {("parent", "child"), ("child", "shuffled")}  # the latter hold the same numbers


def test_units_sorted_by_norm_are_named_and_not_tested():
    def in_order(state):
        order = np.argsort(np.linalg.norm(state["layers.0.weight"], axis=1))
        return Symmetry(KIN.plan.skeleton, (Permutation("layers.0", order),)).apply(state)

    voids = evidence(in_order(net(1)), in_order(net(2)), KIN).voids
    assert ("layers.0", "units sorted by norm of the incoming weights") in {(v.where, v.reason) for v in voids}


def test_names_meet_though_a_word_stands_before_them():
    state = net(1)
    longer = {f"module.{key}": value for key, value in state.items()}
    for first, second in ((state, longer), (longer, state)):
        a, b = in_common(first, second)
        assert list(a) == list(b) == list(first)
    assert list(in_slots(longer, KIN.plan.skeleton, "x")) == list(state)
    with pytest.raises(InputError, match="x: no tensor has the name and shape of a slot of the skeleton"):
        in_slots({"w": np.zeros((2, 2))}, KIN.plan.skeleton, "x")


def halved(state):
    return {key: value.astype(np.float16).astype(np.float32) for key, value in state.items()}


def gridded(state):
    step = {key: np.abs(value).max() / 7 for key, value in state.items()}
    return {key: (np.round(value / step[key]) * step[key]).astype(np.float32) for key, value in state.items()}


def pruned(state):
    return {key: np.where(np.abs(value) < np.median(np.abs(value)), 0, value) for key, value in state.items()}


@pytest.mark.parametrize("change", [halved, gridded, pruned])
def test_what_lost_information_is_the_child(tmp_path, change):
    parent, child = tmp_path / "parent", tmp_path / "child"
    a = net(1)
    b = change(a)
    for found in (direction(parent, child, a, b), direction(child, parent, b, a)):
        assert (found.label, found.parent) == ("decided", parent)
        assert "every number of child is that of parent" in found.reason
        assert "unless someone added digits on purpose" in found.reason


@pytest.mark.parametrize("drift", [0.02, 0.1])
def test_what_was_trained_on_from_a_coarse_grid_is_not_called_its_parent(tmp_path, drift):
    """Every number of A still rounds to B's, and A was made from B."""
    coarse, tuned = tmp_path / "coarse", tmp_path / "tuned"
    b = gridded(random_tensors(traced("mlp:sizes=30-60-60-5")[1], 1))
    rng = np.random.default_rng(0)
    a = {key: (v + drift * np.abs(v).max() / 7 * rng.normal(size=v.shape)).astype(np.float32) for key, v in b.items()}
    found = direction(coarse, tuned, b, a)
    assert (found.label, found.parent) == ("cannot say", None)
    whole = random_tensors(traced("mlp:sizes=30-60-60-5")[1], 1)
    assert direction(coarse, tuned, gridded(whole), whole).parent == tuned


def test_direction_is_not_guessed(tmp_path):
    parent, child = tmp_path / "parent", tmp_path / "child"
    a = net(1)
    assert direction(parent, child, a, noisy(a, 0.1)).label == "cannot say"
    mixed = {**halved(a), "layers.0.weight": a["layers.0.weight"]}
    other = {**a, "layers.0.weight": halved(a)["layers.0.weight"]}
    assert "neither is the parent" in direction(parent, child, mixed, other).reason
    counted = [{**a, "bn.num_batches_tracked": np.array(steps)} for steps in (10, 30)]
    found = direction(child, parent, counted[1], counted[0])
    assert (found.label, found.parent, found.error_rate) == ("suggested", parent, None)


def test_the_command_speaks_and_says_when_it_cannot(files, capsys):
    assert main(["lineage", str(files["parent"]), str(files["child"]), "--like", LIKE]) == 0
    out, _ = capsys.readouterr()
    lines = out.splitlines()
    assert any(line.split() == ["evidence", "exact"] for line in lines)
    assert any(line.startswith("assumed") for line in lines)
    assert main(["lineage", str(files["parent"]), str(files["stranger"]), "--like", LIKE, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    (relation,) = told["relations"]
    assert relation["label"] == "cannot say"
    assert relation["assumptions"]
    assert {each["tier"] for each in relation["findings"]} == {"exact"}


def test_unused_tokens_are_read_off_a_vocabulary(tmp_path, capsys):
    rng = np.random.default_rng(0)
    words = ["[PAD]", *(f"[unused{k}]" for k in range(6)), *(f"w{k}" for k in range(33))]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    table = rng.normal(size=(40, 8)).astype(np.float32)
    turned = (table @ np.linalg.qr(rng.normal(size=(8, 8)))[0]).astype(np.float32)
    paths = [save(tmp_path / f"{k}.safetensors", {"embed.weight": x}) for k, x in enumerate((table, turned))]
    for option in (["--vocab", str(tmp_path / "vocab.txt")], ["--unused", "embed.weight:1-6"]):
        main(["lineage", *map(str, paths), *option, "--json"])
        (relation,) = json.loads(capsys.readouterr().out)["relations"]
        found = {each["test"]: each for each in relation["findings"]}
        assert (found["unused rows"]["statistic"], found["unused rows"]["units"]) == (6, 6)
        assert 10 ** found["unused rows"]["log10_p"] == pytest.approx(1 / 720)


def test_the_page_does_not_overwrite_the_database(files, tmp_path):
    known = tmp_path / "kin.duckdb"
    both = [files["parent"], files["child"]]
    lineage(both, db=known)
    before = known.read_bytes()
    with pytest.raises(UsageError, match="one of the inputs"):
        lineage(both, db=known, report=known, force=True)
    assert known.read_bytes() == before


def test_refusals_are_one_sentence(files, tmp_path):
    parent, child = files["parent"], files["child"]
    with pytest.raises(UsageError, match=r"FILES: one file has no relations\. Name two or more\."):
        lineage([parent])
    with pytest.raises(UsageError, match=r"it is named twice\. Name every file once"):
        lineage([parent, parent])
    with pytest.raises(UsageError, match=r"--panel: a panel is compared unit by unit\. Name the skeleton"):
        lineage([parent, child], panel=[files["stranger"]])
    with pytest.raises(UsageError, match=r"--alpha: 2 is no level of a test\. Choose one between 0 and 1\."):
        lineage([parent, child], alpha=2)
    with pytest.raises(UsageError, match=r"--unused: 'w' names no rows of a table\. Write TENSOR:ROW"):
        lineage([parent, child], unused=["w"])
    with pytest.raises(InputError, match=r"nowhere: is not in both files, in one shape"):
        lineage([parent, child], unused=["nowhere:1-3"])
    (tmp_path / "vocab.txt").write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"names no two unused tokens"):
        lineage([parent, child], vocab=tmp_path / "vocab.txt")
    bad = save(tmp_path / "bad.safetensors", {"w": np.full((3, 3), np.nan, dtype=np.float32)})
    with pytest.raises(InputError, match=r"w holds numbers that are infinite or undefined\. Mend it first\."):
        lineage([parent, bad])
    flat = save(tmp_path / "flat.safetensors", {"w": np.zeros(3, dtype=np.float32)})
    with pytest.raises(InputError, match=r"holds no matrix or kernel\. Name a checkpoint\."):
        lineage([parent, flat])


def test_files_without_a_common_tensor_cannot_be_compared(files, tmp_path):
    other = save(tmp_path / "other.safetensors", {"elsewhere": np.ones((3, 4), dtype=np.float32)})
    relation = lineage([files["parent"], other]).relations[0]
    assert relation.label == "cannot say"
    assert relation.claim.endswith("nothing in them could be tested")
    assert related((files["parent"], other), (net(1), {"elsewhere": np.ones((3, 4))}), Kin()).findings == ()


@pytest.mark.slow
def test_a_published_root_and_its_child_are_kin_and_nobody_guesses_which_came_first():
    folder = "rxnfp/rxnfp/models/transformers"
    paths = [real_file(f"{folder}/{name}/pytorch_model.bin") for name in ("bert_pretrained", "bert_ft")]
    relation = lineage(paths).relations[0]
    assert (relation.label, relation.direction.label) == ("exact", "cannot say")
    assert relation.log10_p < -900
    assert relation.claim.startswith("bert_pretrained/pytorch_model.bin and bert_ft/pytorch_model.bin share")


def test_a_shared_frozen_table_is_not_told_as_a_whole_network(tmp_path):
    table = np.random.default_rng(0).normal(size=(200, 32))
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        shapes = {"a.weight": (64, 32), "b.weight": (64, 64), "c.weight": (10, 64)}
        layers = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        save(tmp_path / f"{seed}.safetensors", {"embed.weight": table, **layers})
    (relation,) = lineage([tmp_path / "1.safetensors", tmp_path / "2.safetensors"]).relations
    assert relation.inherited == ("columns of embed.weight",)
    assert "columns of embed.weight alone" in relation.claim
    assert "nothing is claimed of the rest" in relation.claim


def test_a_child_whole_is_told_as_one(files):
    (relation,) = lineage([files["parent"], files["child"]], like=LIKE).relations
    assert relation.related
    assert "alone" not in relation.claim
