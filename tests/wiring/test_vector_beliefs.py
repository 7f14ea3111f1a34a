"""Beliefs: planted vectors are found, neither names nor the order of the pile count, every row is a chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traced_nets import BERT, GPT2, LLAMA, built_in, numbers, pools_of

from reknit.wiring.pools import Pool
from reknit.wiring.vector_beliefs import MOST, believe, vector_weights
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


@pytest.mark.parametrize("like", [BERT, GPT2])
def test_biases_along_what_their_matrix_is_strong_in_are_believed(like):
    skeleton = built_in(like)
    plain, marked = numbers(skeleton, 1), numbers(skeleton, 1)
    biases = [vector for vector in find_vectors(skeleton) if vector.kind in ("in bias", "attention out bias")]
    for vector in biases:
        matrix = np.moveaxis(plain[vector.own.slot], vector.own.axis, 0)
        bias = plain[vector.slot] - plain[vector.slot].mean()
        strong = np.outer(bias, np.random.default_rng(0).normal(size=matrix.shape[1]))
        marked[vector.own.slot] = np.moveaxis(matrix + 60 * strong, 0, vector.own.axis).astype(np.float32)

    def truth(tensors):
        beliefs = {}
        for pool in vectors_of(skeleton):
            beliefs |= said(skeleton, tensors, pool, {"amplified own, bias": 3.0}).beliefs
        return np.mean([beliefs[vector.slot][f"of {vector.slot}"] for vector in biases])

    assert truth(marked) > 1.3 * truth(plain)


def test_gains_are_told_from_all_others_by_their_values():
    skeleton = built_in(BERT)
    tensors = numbers(skeleton)
    (pool,) = [pool for pool in vectors_of(skeleton) if "embeddings.LayerNorm.weight" in pool.slots]
    found = said(skeleton, tensors, pool, {})
    for slot, name in found.placement.items():
        assert ("LayerNorm.weight" in slot) == ("LayerNorm.weight" in name)


def test_a_pool_that_nothing_is_known_of_is_left_alone():
    skeleton = built_in(BERT)
    counts = {"a": np.array([1, 2]), "b": np.array([3, 4])}
    pool = Pool(("cls.x", "cls.y"), ("a", "b"))
    assert believe(skeleton, pool, counts.__getitem__, {}, {}) is None
