"""Inner products of units: what an order gains, and tensors so large that they are compared in float32."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from match.matched_nets import largest_difference, random_tensors, traced
from reknit.match import unit_similarity
from reknit.match.families import find_families
from reknit.match.unit_similarity import gain, inner, reordered, unit_rows, weighed
from reknit.match.weight_matching import match_weights
from reknit.skeleton.symmetry import Symmetry
from strategies import seeds


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_a_gain_is_the_difference_of_the_inner_products(seed):
    _, skeleton = traced("mlp:sizes=5-7-4-3")
    left, right = ({k: weighed(v, "plain") for k, v in random_tensors(skeleton, s).items()} for s in (seed, seed + 1))
    rng = np.random.default_rng(seed)
    for family in find_families(skeleton):
        assert family.once
        orders = [rng.permutation(family.outer.size) for _ in range(2)]
        values = [
            sum(inner(left[side.slot], reordered(right[side.slot], side, order)) for side in family.sides)
            for order in orders
        ]
        assert np.isclose(gain(left, right, family.sides, *orders), values[0] - values[1])
        assert gain(left, right, family.sides, orders[0], orders[0]) == 0


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(0, 4), max_size=3), seed=seeds)
def test_inner_products_are_summed_in_double(shape, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    wanted = float((a.astype(np.float64) * b).sum())
    assert np.isclose(inner(a, b), wanted, rtol=1e-12, atol=1e-12)


def test_chunks_lose_nothing(monkeypatch):
    monkeypatch.setattr(unit_similarity, "CHUNK", 7)
    a = np.full((50, 3), 1 / 3, dtype=np.float32)
    assert np.isclose(inner(a, a), 150 * float(np.float32(1 / 3)) ** 2, rtol=1e-14)


@pytest.mark.parametrize("weighing", ["plain", "standardised"])
def test_large_tensors_in_single_come_back_exactly_too(monkeypatch, weighing):
    monkeypatch.setattr(unit_similarity, "LARGE", 1)
    for like in ("gpt2:layers=1,width=12,heads=3,hidden=20,vocab=15,positions=16", "mlp:sizes=12-30-20-4"):
        _, skeleton = traced(like)
        left = random_tensors(skeleton, 0)
        assert all(weighed(each, weighing).dtype == np.float32 for each in left.values())
        right = Symmetry.random(skeleton, np.random.default_rng(1)).apply(left)
        found = match_weights(skeleton, left, right, weighing=weighing)
        assert largest_difference(left, found.symmetry.apply(right)) == 0
        assert found.settled


def test_rows_of_a_whole_axis_are_not_copied():
    _, skeleton = traced("mlp:sizes=5-7-4-3")
    tensors = random_tensors(skeleton, 0)
    for side in (side for family in find_families(skeleton) for side in family.sides):
        rows = unit_rows(tensors[side.slot], side)
        assert np.shares_memory(rows, tensors[side.slot])
        assert np.array_equal(rows, np.moveaxis(tensors[side.slot], side.axis, 0).reshape(len(rows), -1))
