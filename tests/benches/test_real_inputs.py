"""Inputs of the kind that networks were trained on: of the right shape, drawn by a seed, in a vocabulary."""

import re

import pytest
import torch

from bench.real_inputs import REACTIONS, SMILES, lacking_inputs, real_inputs, stacked, word_pieces

TABLE = {
    token: k for k, token in enumerate(("[UNK]", "[CLS]", "[SEP]", "the", "un", "##like", "##ly", ",", "unlikely"))
}


@pytest.mark.parametrize(
    ("name", "shapes", "rows"),
    [
        ("preact-8-0", [(2, 1, 32, 32)], (64, 1, 8, 8)),
        ("spliceai-1", [(2, 4, 500)], (2, 4, 500)),
        ("gpt2-6-0", [(2, 20)], (64, 64)),
    ],
)
def test_shapes_and_seeds(name, shapes, rows):
    (first,), (again,), (other,) = (real_inputs(name, shapes, seed) for seed in (0, 0, 1))
    assert first.shape == rows
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_letters_are_one_hot():
    (letters,) = real_inputs("spliceai-1", [(2, 4, 300)], 0)
    assert torch.equal(letters.sum(1), torch.ones(2, 300))


def test_the_longest_piece_is_taken_first():
    assert word_pieces("Unlikely, the unlike xyz", TABLE) == [8, 7, 3, 4, 5, 0]


def test_rows_of_tokens_are_cut_to_the_shortest():
    assert stacked([[3, 4, 5], [3, 4]], TABLE).tolist() == [[1, 3, 4, 2], [1, 3, 4, 2]]


def test_reactions_are_split_without_loss():
    for reaction in REACTIONS:
        assert "".join(re.findall(SMILES, reaction)) == reaction


def test_networks_without_inputs_at_hand_say_so():
    assert lacking_inputs("preact-8-0") == ""
    assert lacking_inputs("other") == "other: no inputs of its kind are at hand"
