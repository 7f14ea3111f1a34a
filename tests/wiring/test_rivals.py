"""Rival placements: what moves, what goes along, which come first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_nets import HAND
from traced_nets import BERT, GPT2, LLAMA, built_in, numbers

from reknit.wiring.joint import Joint
from reknit.wiring.rivals import LOSS, MOST, moved, rival_moves


def scene(like, seed=0):
    """An untrained pile: its slots and the objective."""
    skeleton = built_in(like)
    tensors = numbers(skeleton, seed)
    shapes = [slot.shape for slot in skeleton.slots]
    slots = [slot.key for slot in skeleton.slots if len(slot.shape) > 1 and shapes.count(slot.shape) > 1]
    return skeleton, slots, Joint(skeleton, slots, [tensors[key] for key in slots]).problem(HAND)


@pytest.mark.parametrize("like", [BERT, GPT2, LLAMA])
def test_moves_are_one_to_one_within_a_shape_and_start_with_the_likeliest(like):
    skeleton, slots, problem = scene(like)
    here = np.arange(len(slots))
    moves = rival_moves(skeleton, slots, problem, here, [])
    assert 0 < len(moves) <= MOST
    losses = []
    for move in moves:
        assert sorted(move) == sorted(move.values())
        assert all(skeleton[slot].shape == skeleton[other].shape for slot, other in move.items())
        drawn = np.array([slots.index(move.get(slot, slot)) for slot in slots])
        losses.append(problem.value(here) - problem.value(drawn))
    assert losses == sorted(losses)
    assert losses[-1] <= LOSS


def test_biases_and_norms_go_along():
    skeleton, slots, problem = scene(BERT)
    moves = rival_moves(skeleton, slots, problem, np.arange(len(slots)), [])
    pair = [f"encoder.layer.{k}.intermediate.dense.weight" for k in (0, 1)]
    (move,) = [move for move in moves if {slot for slot in move if len(skeleton[slot].shape) > 1} == set(pair)]
    for part in ("intermediate.dense.bias", "attention.output.LayerNorm.weight", "attention.output.LayerNorm.bias"):
        assert move[f"encoder.layer.0.{part}"] == f"encoder.layer.1.{part}"
    assert not any("query" in slot for slot in move)


def test_another_end_of_the_climbs_is_one_move():
    skeleton, slots, problem = scene(GPT2)
    rng = np.random.default_rng(0)
    placement, end = (np.arange(len(slots)) for _ in range(2))
    for members in problem.members:
        placement[members], end[members] = rng.permutation(members), rng.permutation(members)
    held = {slot: int(k) for slot, k in zip(slots, placement, strict=True)}
    moves = rival_moves(skeleton, slots, problem, placement, [end])
    reached = [[moved(held, {s: o for s, o in move.items() if s in held})[slot] for slot in slots] for move in moves]
    assert problem.value(placement) - problem.value(end) > LOSS or end.tolist() in reached


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_a_move_and_its_inverse(seed):
    names = [f"s{k}" for k in range(6)]
    drawn = dict(zip(names, np.random.default_rng(seed).permutation(names).tolist(), strict=True))
    held = {name: k for k, name in enumerate(names)}
    assert moved(moved(held, drawn), {other: name for name, other in drawn.items()}) == held
