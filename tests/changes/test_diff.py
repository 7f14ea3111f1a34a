"""diff: what was done is named, nothing else is; names, order and containers do not matter."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import reknit
from reknit.changes.diff import diff
from reknit.changes.launder import launder
from reknit.cli import main
from reknit.errors import ContainerError, OutputError

LIKE = "mlp:sizes=24-32-32-10"


def drawn(seed=0, sizes=(24, 32, 32, 10)):
    """The tensors of an MLP, in the names of the built-in one."""
    rng = np.random.default_rng(seed)
    found = {}
    for k, (n, m) in enumerate(itertools.pairwise(sizes)):
        found[f"layers.{k}.weight"] = (rng.standard_normal((m, n)) / n**0.5).astype(np.float32)
        found[f"layers.{k}.bias"] = (0.1 * rng.standard_normal(m)).astype(np.float32)
    return found


def saved(folder, name, tensors):
    path = folder / f"{name}.safetensors"
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, path)
    return path


@pytest.fixture
def a(tmp_path):
    return saved(tmp_path, "a", drawn())


def kinds(found):
    return set(found.kinds) - {"identical"}


@settings(max_examples=12)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_a_file_is_identical_to_itself_under_any_names_in_any_order(tmp_path_factory, seed, layers):
    folder = tmp_path_factory.mktemp("same")
    sizes = tuple(np.random.default_rng(seed).integers(2, 20, layers + 1).tolist())
    tensors = drawn(seed, sizes)
    a = saved(folder, "a", tensors)
    same = diff(a, a)
    assert (same.verdict, set(same.kinds)) == ("exact", {"identical"})
    order = np.random.default_rng(seed).permutation(len(tensors))
    keys = list(tensors)
    renamed = diff(a, saved(folder, "b", {f"t_{n}": tensors[keys[k]] for n, k in enumerate(order)}))
    assert (renamed.verdict, set(renamed.kinds)) == ("exact", {"identical"})
    assert {each.second: each.first for each in renamed.tensors} == {f"t_{n}": keys[k] for n, k in enumerate(order)}


CHAINS = [
    ("permute", {"permutation"}),
    ("scale", {"scale"}),
    ("cast:bf16", {"cast"}),
    ("cast:fp16:kept", {"cast"}),
    ("round:4:row", {"grid"}),
    ("round:8:column", {"grid"}),
    ("round:8:row:codes", {"grid"}),
    ("prune:0.5", {"mask"}),
    ("prune:2:4", {"mask"}),
    ("low-rank:2:0.1", {"low rank"}),
    ("noise:0.05", {"drift"}),
    ("shuffle,rename,transpose", set()),
    ("permute,cast:bf16", {"permutation", "cast"}),
    ("permute,round:4:row", {"permutation", "grid"}),
    ("scale,low-rank:2:0.1", {"scale", "low rank"}),
    ("prune:0.5,cast:bf16", {"mask", "cast"}),
    ("permute,scale,rename", {"permutation", "scale"}),
]


@pytest.mark.parametrize(("chain", "wanted"), CHAINS)
def test_what_was_laundered_is_named_and_nothing_else(a, tmp_path, chain, wanted):
    b = tmp_path / "b.safetensors"
    launder(a, chain, like=LIKE, seed=3, out=b)
    found = diff(a, b)
    assert kinds(found) == wanted, found.sentence
    assert found.verdict in ("exact", "consistent")
    assert all(each.second and each.first for each in found.tensors)


@pytest.mark.parametrize("chain", ["permute", "cast:bf16", "scale", "noise:0.05"])
def test_what_can_be_undone_is_named_alike_both_ways(a, tmp_path, chain):
    b = tmp_path / "b.safetensors"
    launder(a, chain, like=LIKE, seed=1, out=b)
    there, back = diff(a, b), diff(b, a)
    if chain == "cast:bf16":  # what loses information is named one way alone
        assert kinds(there) == {"cast"}
        assert "cast" not in kinds(back)
    else:
        assert kinds(there) == kinds(back)


@given(st.integers(0, 1000))
@settings(max_examples=6)
def test_networks_that_were_drawn_apart_are_unrelated(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("apart")
    found = diff(saved(folder, "a", drawn(seed)), saved(folder, "b", drawn(seed + 1)))
    assert kinds(found) == {"unrelated"}
    assert "unrelated" in found.sentence


def test_columns_of_one_size_in_both_make_no_drift(tmp_path):
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.standard_normal(48))  # as inputs of different strength leave them in every network
    one, other = ((rng.standard_normal((32, 48)) * sizes).astype(np.float32) for _ in range(2))
    assert kinds(diff(saved(tmp_path, "a", {"w": one}), saved(tmp_path, "b", {"w": other}))) == {"unrelated"}


def test_of_one_layer_replaced_nothing_is_said_and_the_others_are_identical(tmp_path):
    tensors = drawn()
    a = saved(tmp_path, "a", tensors)
    b = saved(tmp_path, "b", tensors | {"layers.1.weight": drawn(7)["layers.1.weight"]})
    found = diff(a, b)
    assert {each.second for each in found.tensors if "cannot say" in each.kinds} == {"layers.1.weight"}
    assert found.verdict == "cannot say"  # it may be new, or changed in a way that hides every unit
    assert found.kinds["identical"] == 5


def test_exchanged_names_are_seen_by_content(tmp_path):
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((16, 16)).astype(np.float32) for _ in range(2))
    a = saved(tmp_path, "a", {"one": one, "other": other})
    b = saved(tmp_path, "b", {"one": other, "other": one})
    found = diff(a, b)
    assert {each.second: each.first for each in found.tensors} == {"one": "other", "other": "one"}
    assert found.verdict == "exact"


def test_fused_and_cut_tensors_are_put_together(tmp_path):
    rng = np.random.default_rng(0)
    three = {name: rng.standard_normal((16, 24)).astype(np.float32) for name in ("q", "k", "v")}
    apart = saved(tmp_path, "apart", three)
    fused = saved(tmp_path, "fused", {"qkv": np.concatenate(list(three.values()))})
    there, back = diff(apart, fused), diff(fused, apart)
    assert kinds(there) == kinds(back) == set()
    assert there.tensors[0].first == "q + k + v"
    assert {each.second: each.view for each in back.tensors}["k"] == "rows 16 to 31 of it"


def test_shapes_that_changed_are_said_with_what_both_have(tmp_path):
    tensors = drawn()
    a = saved(tmp_path, "a", tensors)
    wider = np.concatenate([tensors["layers.2.weight"], np.ones((2, 32), np.float32)])
    found = diff(a, saved(tmp_path, "b", tensors | {"layers.2.weight": wider}))
    (changed,) = [each for each in found.tensors if each.second == "layers.2.weight"]
    assert changed.words == "shape changed from 10 x 32 to 12 x 32; in what both have, identical"


def test_what_only_one_file_has_is_said(tmp_path):
    tensors = drawn()
    a = saved(tmp_path, "a", tensors | {"head.weight": np.ones((3, 5), np.float32)})
    b = saved(tmp_path, "b", tensors | {"adapter.weight": np.ones((7, 5), np.float32)})
    found = diff(a, b)
    assert {each.words: each.first + each.second for each in found.tensors if not each.first or not each.second} == {
        "only in A": "head.weight",
        "only in B": "adapter.weight",
    }


@pytest.mark.slow
def test_a_rotation_is_found_with_a_skeleton(tmp_path):
    from changes.laundered_nets import LIKE as LIKES
    from changes.laundered_nets import checkpoint

    path = checkpoint(tmp_path, "llama")
    b = tmp_path / "b.safetensors"
    launder(path, "rotate", like=LIKES["llama"], seed=0, out=b)
    found = diff(path, b, like=LIKES["llama"])
    assert "rotation" in found.kinds
    assert "rotations" in found.sentence


def test_the_command_prints_a_line_a_layer_and_json_and_draws_a_page(a, tmp_path, capsys):
    b, page = tmp_path / "b.safetensors", tmp_path / "page.html"
    launder(a, "permute,round:4:row", like=LIKE, seed=3, out=b)
    assert main(["diff", str(a), str(b), "--report", str(page)]) == 0
    out = capsys.readouterr().out
    assert "B is A with units permuted in 2 groups, then rounded to 4 bits per row" in out
    assert "layers.1" in out
    assert "rounded to 4 bits per row" in page.read_text(encoding="utf-8")
    assert main(["diff", str(a), str(b), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["groups_permuted"] == 2
    assert {each["b"] for each in found["tensors"]} == set(drawn())
    with pytest.raises(OutputError, match="exists already"):
        diff(a, b, report=page)


def test_what_cannot_be_said_ends_in_status_3(tmp_path, capsys):
    broken = drawn()
    broken["layers.1.weight"][0, 0] = np.nan
    a, b = saved(tmp_path, "a", drawn()), saved(tmp_path, "b", broken)
    assert main(["diff", str(a), str(b)]) == 3
    assert "cannot say" in capsys.readouterr().out


def test_a_file_that_lies_about_its_shapes_is_refused(a, tmp_path, capsys):
    content = a.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["layers.0.weight"]["shape"] = [32, 25]
    text = json.dumps(header).encode()
    lying = tmp_path / "lying.safetensors"
    lying.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    with pytest.raises(ContainerError, match="lying"):
        diff(a, lying)
    assert main(["diff", str(a), str(lying)]) == 2
    assert "lying" in capsys.readouterr().err


def test_containers_do_not_matter(tmp_path):
    tensors = drawn()
    a = saved(tmp_path, "a", tensors)
    torch.save({key: torch.from_numpy(value) for key, value in tensors.items()}, tmp_path / "b.pt")
    np.savez(tmp_path / "c.npz", **tensors)
    for other in ("b.pt", "c.npz"):
        found = diff(a, tmp_path / other)
        assert (found.verdict, set(found.kinds)) == ("exact", {"identical"})


def test_it_is_public():
    assert reknit.diff is diff
    assert "diff" in reknit.__all__


def test_vectors_that_changed_are_in_the_sentence(tmp_path):
    gains = {"norm.gain": np.ones(32, dtype=np.float32)}
    moved = {"norm.gain": 1 + 0.3 * np.random.default_rng(1).standard_normal(32).astype(np.float32)}
    found = diff(saved(tmp_path, "a", {**drawn(), **gains}), saved(tmp_path, "b", {**drawn(), **moved}))
    assert "norm.gain: dense drift" in found.sentence


@pytest.mark.parametrize(("size", "verdict"), [(1, "exact"), (40, "cannot say")])
def test_whole_numbers_that_changed_are_not_passed_over(tmp_path, size, verdict):
    codes = np.arange(size, dtype=np.int64)
    files = [saved(tmp_path, name, {**drawn(), "codes": codes + k}) for k, name in enumerate("ab")]
    found = diff(*files)
    assert found.sentence.endswith("of what is no weight by its numbers codes differs")
    assert found.verdict == verdict
    assert "no weight" not in diff(files[0], files[0]).sentence
