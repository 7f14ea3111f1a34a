"""The objective: planted piles are told from others, names and the order of the pile do not count, ladders."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_nets import HAND, PLANTED, place_of, planted
from traced_nets import BERT, GPT2, LLAMA, RESIDUAL_MLP, built_in, kernels, numbers

from reknit.solvers.quadratic_assignment import solve
from reknit.wiring.joint import LAGS, Joint


def joint_of(skeleton, tensors, order=None):
    """The objective over all slots with two axes or more of which there are several of one shape; tensor k is that of
    the slot ``order[k]``."""
    shapes = [slot.shape for slot in skeleton.slots]
    keys = [slot.key for slot in skeleton.slots if len(slot.shape) > 1 and shapes.count(slot.shape) > 1]
    held = [tensors[key] for key in keys]
    return Joint(skeleton, keys, held if order is None else [held[k] for k in order])


def shuffled(joint, seed):
    """A random placement within the pools."""
    rng = np.random.default_rng(seed)
    placement = np.arange(len(joint.keys))
    for number in set(joint.pool):
        members = np.flatnonzero(joint.pool == number)
        placement[members] = rng.permutation(members)
    return placement


@pytest.mark.parametrize("like", PLANTED)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_truth_of_a_planted_pile_stands_above_every_random_placement(like, seed):
    skeleton = built_in(like)
    joint = joint_of(skeleton, planted(skeleton, seed))
    problem = joint.problem(HAND)
    truth = problem.value(np.arange(len(problem)))
    others = problem.values(np.stack([shuffled(joint, k) for k in range(100)]))
    assert truth > others.max() + others.std()


@pytest.mark.parametrize("like", PLANTED)
def test_a_planted_pile_is_solved_whatever_order_it_comes_in(like):
    skeleton = built_in(like)
    tensors = planted(skeleton, 3)
    order = shuffled(joint_of(skeleton, tensors), 7)
    joint = joint_of(skeleton, tensors, order)
    found = solve(joint.problem(HAND), starts=3, seed=0).placement
    for key, k in zip(joint.keys, order[found], strict=True):
        assert place_of(joint.keys[k]) == place_of(key)


@pytest.mark.parametrize("like", [BERT, GPT2, RESIDUAL_MLP])
def test_a_placement_is_worth_the_sum_over_all_relations_also_where_two_speak_of_one_pair(like):
    skeleton = built_in(like)
    joint = joint_of(skeleton, numbers(skeleton))
    # a slot has one face a layout, so nothing is said twice of a pair with the same scores; here everything is
    joint.relations = (*joint.relations, *(replace(each, key=f"again {each.key}") for each in joint.relations))
    rng = np.random.default_rng(0)
    weights = {relation.key: rng.normal() for relation in joint.relations}
    number = {item: k for pool in set(joint.pool) for k, item in enumerate(np.flatnonzero(joint.pool == pool))}
    placement = shuffled(joint, 1)
    held = [number[item] for item in placement]
    worth = sum(weights[each.key] * each.scores[held[s], held[t]] for each in joint.relations for s, t in each.pairs)
    assert joint.problem(weights).value(placement) == pytest.approx(worth, rel=1e-6)


@given(seed=st.integers(0, 10**6), like=st.sampled_from([BERT, LLAMA, *PLANTED]))
@settings(max_examples=6)
def test_the_order_of_the_pile_does_not_change_what_a_placement_is_worth(seed, like):
    skeleton = built_in(like)
    tensors = planted(skeleton, seed) if like in PLANTED else numbers(skeleton, seed)
    plain = joint_of(skeleton, tensors)
    order = shuffled(plain, seed)
    other = joint_of(skeleton, tensors, order)
    weights = {relation.key: 0.1 + k % 7 for k, relation in enumerate(plain.relations)}
    placements = np.stack([shuffled(plain, seed + k) for k in range(5)])
    values = plain.problem(weights).values(placements)
    renamed = np.argsort(order)[placements]  # the same tensors by their new numbers
    np.testing.assert_allclose(other.problem(weights).values(renamed), values, rtol=1e-4, atol=1e-3)


@given(seed=st.integers(0, 10**6), sizes=st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4))
@settings(max_examples=5)
def test_the_sizes_of_tensors_do_not_count(seed, sizes):
    skeleton = built_in(RESIDUAL_MLP)
    tensors = numbers(skeleton, seed)
    scaled = {key: tensor * np.float32(sizes[k % 4]) for k, (key, tensor) in enumerate(tensors.items())}
    before, after = joint_of(skeleton, tensors).relations, joint_of(skeleton, scaled).relations
    for one, other in zip(before, after, strict=True):
        assert (one.key, one.pairs) == (other.key, other.pairs)
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-3)


@pytest.mark.parametrize("like", [BERT, LLAMA])
def test_relations_join_faces_on_the_stream_or_of_one_sub_block(like):
    skeleton = built_in(like)
    joint = joint_of(skeleton, numbers(skeleton))
    depth = {face.slot: face.depth for face in joint.faces}
    kinds = {face.slot: face.kind for face in joint.faces}
    for relation in joint.relations:
        for s, t in relation.pairs:
            first, second = joint.keys[s], joint.keys[t]
            assert first != second
            assert relation.scores.shape == (sum(joint.pool == joint.pool[s]), sum(joint.pool == joint.pool[t]))
            assert kinds[first] in relation.key
            assert kinds[second] in relation.key
            gap = abs(depth[first] - depth[second])
            assert gap <= LAGS
            if relation.key.startswith("gram"):
                assert abs(int(relation.key.rsplit(" ", 1)[1])) == gap
            else:
                assert gap == 0


def test_two_kinds_read_in_either_order_have_one_key():
    joint = joint_of(built_in(BERT), numbers(built_in(BERT)))
    keys = {relation.key for relation in joint.relations if relation.key.startswith("gram")}
    for key in keys:
        first, second = key.removeprefix("gram ").rsplit(" ", 1)[0].split(">")
        assert first <= second
    assert "gram attention out>in +1" in keys  # what attention writes, the MLP after it reads
    assert "gram out>query +1" in keys
    assert "gram in>query -1" in keys


def test_kernels_have_traces_by_the_middle_tap_and_no_weight_means_no_term():
    skeleton = kernels()
    joint = joint_of(skeleton, numbers(skeleton))
    assert {"trace in>out", "norms in>out"} <= {relation.key for relation in joint.relations}
    assert joint.problem({}).terms == ()
    assert joint.problem({"trace in>out": 0.0, "foreign": 3.0}).terms == ()
    assert len(joint.problem({"trace in>out": 1.0}).terms) == 1


def test_blocks_sub_blocks_and_partners_may_move_as_a_whole():
    skeleton = built_in(BERT)
    joint = joint_of(skeleton, numbers(skeleton))
    layer = "encoder.layer.{}."
    attention = [f"{layer}attention.self.{name}.weight" for name in ("query", "key", "value")]
    attention.append(f"{layer}attention.output.dense.weight")
    dense = [f"{layer}intermediate.dense.weight", f"{layer}output.dense.weight"]
    sets = [attention[:2], attention[2:], attention, dense, attention + dense]
    wanted = {frozenset(frozenset(key.format(k) for key in keys) for k in range(2)) for keys in sets}
    found = {frozenset(frozenset(joint.keys[p] for p in rung) for rung in ladder.places) for ladder in joint.ladders}
    assert found == wanted
    for ladder in joint.ladders:
        assert (joint.pool[ladder.places[0]] == joint.pool[ladder.places[1]]).all()
