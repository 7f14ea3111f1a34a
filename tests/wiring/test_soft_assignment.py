import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reknit.wiring.soft_assignment import TEMPER, sinkhorn_log, sweep
from strategies import seeds


def model(rng, sizes, rows, noise):
    """Effects of every tensor in every slot, a hidden placement of each pool, and the numbers it makes."""
    effects = [rng.standard_normal((rows, size, size)) for size in sizes]
    truths = [rng.permutation(size) for size in sizes]
    target = noise * rng.standard_normal(rows)
    for part, truth in zip(effects, truths, strict=True):
        target = target + part[:, np.arange(len(truth)), truth].sum(1)
    return effects, truths, target


@settings(max_examples=15)
@given(seeds, st.lists(st.integers(2, 6), min_size=1, max_size=2))
def test_a_linear_model_with_enough_rows_is_solved(seed, sizes):
    rng = np.random.default_rng(seed)
    effects, truths, target = model(rng, sizes, 10 * sum(sizes), 0.01)
    beliefs = [np.full((size, size), 1 / size) for size in sizes]
    priors = [np.zeros((size, size)) for size in sizes]
    for _ in range(12):
        beliefs = sweep(effects, target, beliefs, priors, 1e-2).beliefs
    for truth, belief in zip(truths, beliefs, strict=True):
        assert belief.argmax(1).tolist() == truth.tolist()
        assert belief.max(1).min() > 0.99


def test_far_fewer_rows_than_entries_are_enough():
    # 2 x 12 x 12 entries, 100 numbers: that every row is a unit vector makes up for the rest
    rng = np.random.default_rng(0)
    effects, truths, target = model(rng, [12, 12], 100, 1e-3)
    beliefs = [np.full((12, 12), 1 / 12) for _ in truths]
    for _ in range(30):
        beliefs = sweep(effects, target, beliefs, [np.zeros((12, 12))] * 2, 1e-2).beliefs
    assert [belief.argmax(1).tolist() for belief in beliefs] == [truth.tolist() for truth in truths]


@given(seeds)
def test_the_evidence_is_the_likelihood_with_all_other_slots_gaussian(seed):
    rng = np.random.default_rng(seed)
    size, rows, noise = 4, 9, 0.3
    effects, _, target = model(rng, [size], rows, 0.3)
    belief = sinkhorn_log(rng.standard_normal((size, size)))
    said = sweep(effects, target, [belief], [np.zeros((size, size))], noise).evidence[0]
    A = effects[0]
    for s in range(size):
        others = [k for k in range(size) if k != s]
        spread = noise * np.eye(rows)
        for k in others:
            spread += A[:, k] @ (np.diag(belief[k]) - np.outer(belief[k], belief[k])) @ A[:, k].T
        left = target - sum(A[:, k] @ belief[k] for k in others)
        logs = [-(left - A[:, s, a]) @ np.linalg.solve(spread, left - A[:, s, a]) / 2 for a in range(size)]
        np.testing.assert_allclose(said[s], TEMPER * (np.array(logs) - max(logs)), rtol=1e-6, atol=1e-8)


@given(seeds, st.integers(2, 6))
def test_the_order_of_slots_and_tensors_does_not_matter(seed, size):
    rng = np.random.default_rng(seed)
    effects, _, target = model(rng, [size], 3 * size, 0.1)
    belief, prior = sinkhorn_log(rng.standard_normal((size, size))), rng.standard_normal((size, size))
    rows, columns = rng.permutation(size), rng.permutation(size)
    plain = sweep(effects, target, [belief], [prior], 0.1)
    shuffled = [effects[0][:, rows][:, :, columns]]
    moved = sweep(shuffled, target, [belief[rows][:, columns]], [prior[rows][:, columns]], 0.1)
    np.testing.assert_allclose(moved.beliefs[0], plain.beliefs[0][rows][:, columns], atol=1e-9)
    np.testing.assert_allclose(moved.means[0], plain.means[0][rows][:, columns], atol=1e-9)
    assert moved.misfit == pytest.approx(plain.misfit)


def test_what_is_sure_stays():
    rng = np.random.default_rng(1)
    effects, _, target = model(rng, [3], 20, 0.1)
    sure = np.eye(3)[[2, 0, 1]]
    said = sweep(effects, target, [sure], [np.zeros((3, 3))], 0.1)
    np.testing.assert_allclose(said.beliefs[0], sure, atol=1e-6)
    np.testing.assert_array_equal(said.means[0], sure)


def test_a_prior_decides_where_the_numbers_say_nothing():
    prior = np.array([[0.0, 3.0], [3.0, 0.0]])
    said = sweep([np.zeros((5, 2, 2))], np.zeros(5), [np.full((2, 2), 0.5)], [prior], 1.0)
    assert said.beliefs[0].argmax(1).tolist() == [1, 0]


@given(seeds, st.integers(1, 6))
def test_sinkhorn_makes_rows_and_columns_sum_to_one(seed, size):
    plan = sinkhorn_log(2 * np.random.default_rng(seed).standard_normal((size, size)), rounds=200)
    np.testing.assert_allclose(plan.sum(1), 1)
    np.testing.assert_allclose(plan.sum(0), 1, atol=1e-6)


def test_effects_whose_means_dwarf_what_varies_are_no_trouble():
    # gains near one: every tensor does nearly the same, and beliefs are nearly sure
    rng = np.random.default_rng(0)
    effects = [1e4 * rng.standard_normal((40, 3, 1)) + 1e-3 * rng.standard_normal((40, 3, 3))]
    beliefs = [sinkhorn_log(8 * np.eye(3))]
    said = sweep(effects, effects[0][:, np.arange(3), np.arange(3)].sum(1), beliefs, [np.zeros((3, 3))], 1e-12)
    assert np.isfinite(said.means[0]).all()
    assert said.beliefs[0].argmax(1).tolist() == [0, 1, 2]
