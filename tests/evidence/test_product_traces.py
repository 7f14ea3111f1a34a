"""Product traces: the product formed as the oracle; the excess grows with the ratio and chance has none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.evidence.product_traces import CHANCE, HALF_NORMAL_MEDIAN, excess, trace_ratios


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


SEEDS = st.integers(0, 10**6)
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))


@given(seed=SEEDS, size=SIZES, counts=SIZES)
def test_the_ratio_is_that_of_the_product(seed, size, counts):
    first = [drawn([seed, 0, k], *size) for k in range(counts[0])]
    second = [drawn([seed, 1, k], *size) for k in range(counts[1])]
    found = trace_ratios(first, second)
    assert found.shape == counts
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            product = b.T @ a
            expected = abs(np.trace(product)) / np.linalg.norm(product)
            assert found[i, j] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(seed=SEEDS, size=SIZES, scales=st.tuples(st.floats(1e-3, 1e3), st.floats(-1e3, -1e-3)))
def test_neither_size_nor_sign_nor_a_common_order_of_units_counts(seed, size, scales):
    a, b = drawn([seed, 0], *size), drawn([seed, 1], *size)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(size[0]), rng.permutation(size[1])
    before = trace_ratios([a], [b])
    after = trace_ratios([scales[0] * a[rows][:, columns]], [scales[1] * b[rows][:, columns]])
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(trace_ratios([b], [a]), before.T, rtol=1e-6, atol=1e-9)


def test_a_product_that_vanishes_has_no_ratio():
    a = np.array([[1.0, 0.0], [0.0, 0.0]])
    b = np.array([[0.0, 0.0], [0.0, 1.0]])
    assert trace_ratios([a, np.zeros((2, 2))], [b, a]).tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_matrices_that_share_units_stand_out_and_the_others_do_not():
    rng = np.random.default_rng(0)
    first = [rng.normal(size=(30, 20)) for _ in range(6)]
    second = [rng.normal(size=(30, 20)) - 0.5 * matrix for matrix in first]
    scores = excess(trace_ratios(first, second))
    truth = np.eye(6, dtype=bool)
    assert scores[truth].min() > 0.5
    assert scores[~truth].max() < 0.5 * np.log1p(1 / 1)


def test_random_matrices_have_no_excess():
    first = [drawn([0, k], 24, 16) for k in range(40)]
    second = [drawn([1, k], 24, 16) for k in range(40)]
    scores = excess(trace_ratios(first, second))
    assert scores.min() >= 0
    assert np.median(scores) < 0.02
    assert (scores > 0.5 * np.log(2)).mean() < 1e-3  # beyond four deviations


# numbers so small that a unit takes digits from them are no ratios
@given(st.lists(st.just(0.0) | st.floats(1e-9, 1e3), min_size=4, max_size=16), st.floats(1e-3, 1e3))
def test_excess_grows_with_the_ratio_and_not_with_the_unit(values, unit):
    ratios = np.array(values).reshape(1, -1)
    scores = excess(ratios)
    order = np.argsort(ratios[0], kind="stable")
    assert (np.diff(scores[0][order]) >= 0).all()
    assert (scores[ratios == 0] == 0).all()
    np.testing.assert_allclose(excess(unit * ratios), scores, rtol=1e-6, atol=1e-9)


def test_excess_at_the_bound_of_chance_and_far_beyond():
    sigma = 2.0
    ratios = np.full((1, 101), sigma * HALF_NORMAL_MEDIAN)
    ratios[0, 0] = CHANCE * sigma
    ratios[0, 1] = 1e4 * CHANCE * sigma
    scores = excess(ratios)
    assert scores[0, 0] == pytest.approx(0.5 * np.log(2))
    assert scores[0, 1] == pytest.approx(np.log(1e4), rel=1e-6)


def test_a_matrix_with_itself_is_no_pair_and_does_not_count_for_the_median():
    ratios = np.array([[1e6, 1.0, 1.0], [1.0, 1e6, 1.0], [1.0, 1.0, 1e6]])
    scores = excess(ratios, same=True)
    assert (np.diagonal(scores) == 0).all()
    off = ~np.eye(3, dtype=bool)
    assert scores[off] == pytest.approx(0.5 * np.log1p((HALF_NORMAL_MEDIAN / CHANCE) ** 2))


@pytest.mark.parametrize("same", [False, True])
def test_nothing_but_zeros_has_no_excess(same):
    assert not excess(np.zeros((3, 3)), same=same).any()
