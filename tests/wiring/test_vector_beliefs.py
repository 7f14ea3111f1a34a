"""Beliefs: planted vectors are found, neither names nor the order of the pile count, every row is a chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traced_nets import BERT, GPT2, LLAMA, built_in, numbers, pools_of

from reknit.evidence.amplified_directions import amplification
from reknit.wiring.pools import Pool
from reknit.wiring.vector_beliefs import MOST, believe, vector_weights
from reknit.wiring.vector_evidence import vector_scores
from reknit.wiring.vector_slots import find_vectors
from reknit.wiring.weights_placement import CERTAIN


def vectors_of(skeleton):
    return [pool for pool in pools_of(skeleton) if len(skeleton[pool.slots[0]].shape) == 1 and len(pool.slots) > 1]


def said(skeleton, tensors, pool, weights=None):
    held = {f"of {key}": tensor for key, tensor in tensors.items()}
    matrices = {key: f"of {key}" for key in tensors}
    return believe(skeleton, pool, held.__getitem__, matrices, vector_weights() if weights is None else weights)


@given(seed=st.integers(0, 10**6), like=st.sampled_from([BERT, GPT2, LLAMA]))
@settings(max_examples=6, deadline=None)
def test_rows_are_chances_and_the_order_of_the_pile_does_not_count(seed, like):
    skeleton = built_in(like)
    tensors = numbers(skeleton, seed)
    for pool in vectors_of(skeleton):
        plain = said(skeleton, tensors, pool)
        mixed = Pool(pool.slots, tuple(np.random.default_rng(seed).permutation(pool.tensors).tolist()))
        other = said(skeleton, tensors, mixed)
        assert sorted(plain.placement.values()) == sorted(pool.tensors)
        assert max(plain.margins.values()) <= MOST < CERTAIN
        for slot in pool.slots:
            assert sum(plain.beliefs[slot].values()) == pytest.approx(1)
            assert other.beliefs[slot] == pytest.approx(plain.beliefs[slot], abs=1e-6)


@pytest.mark.parametrize(("like", "axis"), [(BERT, 0), (GPT2, 1)])
def test_a_bias_is_held_against_its_own_matrix_along_its_own_axis(like, axis):
    skeleton = built_in(like)
    tensors = numbers(skeleton, 3)
    for vector in find_vectors(skeleton):
        if vector.kind != "in bias":
            continue
        assert vector.own.axis == axis
        (pool,) = [pool for pool in vectors_of(skeleton) if vector.slot in pool.slots]
        rows = np.stack([tensors[slot] for slot in pool.slots])
        found = vector_scores(skeleton, pool.slots, rows, tensors.__getitem__)[vector.slot].scores
        said = amplification(rows, np.moveaxis(tensors[vector.own.slot], axis, 0))
        z = found["amplified own, bias"]
        assert z is found["amplified own, in bias"]
        assert (np.argsort(z) == np.argsort(said)).all() or not z.any()  # zero where it is no more than noise


def test_gains_are_told_from_all_others_by_their_values():
    skeleton = built_in(BERT)
    tensors = numbers(skeleton)
    (pool,) = [pool for pool in vectors_of(skeleton) if "embeddings.LayerNorm.weight" in pool.slots]
    found = said(skeleton, tensors, pool, {})
    for slot, name in found.placement.items():
        assert ("LayerNorm.weight" in slot) == ("LayerNorm.weight" in name)


def test_a_copy_is_no_rival_of_what_is_placed():
    skeleton = built_in(BERT)
    tensors = numbers(skeleton)
    (pool,) = [pool for pool in vectors_of(skeleton) if "embeddings.LayerNorm.weight" in pool.slots]
    tensors |= dict.fromkeys(pool.slots, tensors[pool.slots[0]])  # all the same: nothing is a rival
    assert set(said(skeleton, tensors, pool).margins.values()) == {MOST}


def test_a_pool_that_nothing_is_known_of_is_left_alone():
    skeleton = built_in(BERT)
    counts = {"a": np.array([1, 2]), "b": np.array([3, 4])}
    pool = Pool(("cls.x", "cls.y"), ("a", "b"))
    assert believe(skeleton, pool, counts.__getitem__, {}, {}) is None
