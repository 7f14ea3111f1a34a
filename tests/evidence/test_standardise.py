"""Scores on one scale: mean, spread, bounds, and nothing left where the spread is that of noise."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reknit.evidence.standardise import LEAST, MOST, standardised


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


SEEDS = st.integers(0, 10**6)


@given(seed=SEEDS, shape=st.tuples(st.integers(1, 5), st.integers(2, 5)), share=st.floats(0, 0.95))
def test_mean_zero_and_spread_the_reliability(seed, shape, share):
    scores = drawn(seed, *shape)
    noise = share * scores.std()
    found = standardised(scores, noise)
    assert found.mean() == pytest.approx(0, abs=1e-9)
    assert found.std() == pytest.approx(1 - share**2)
    assert (np.argsort(found, axis=None) == np.argsort(scores, axis=None)).all()


@given(seed=SEEDS, size=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_the_unit_and_the_zero_of_scores_do_not_count(seed, size, shift):
    scores = drawn(seed, 4, 3)
    np.testing.assert_allclose(
        standardised(size * scores + shift, 0.4 * size), standardised(scores, 0.4), rtol=1e-6, atol=1e-6
    )


@given(seed=SEEDS, excess=st.floats(1, 100))
def test_no_spread_beyond_the_noise_leaves_nothing(seed, excess):
    scores = drawn(seed, 4, 3)
    assert not standardised(scores, excess * float(scores.std())).any()


@given(seed=SEEDS, noises=st.tuples(st.floats(0, 2), st.floats(0, 2)))
def test_more_noise_never_makes_a_score_larger(seed, noises):
    scores = drawn(seed, 4, 3)
    less, more = (np.abs(standardised(scores, noise)) for noise in sorted(noises))
    assert (more <= less + 1e-12).all()


@given(seed=SEEDS, size=st.integers(2, 6))
def test_an_item_with_itself_is_no_pair(seed, size):
    scores = drawn(seed, size, size)
    pairs = ~np.eye(size, dtype=bool)
    assume(scores[pairs].std() > 0.1)
    found = standardised(scores, 0.05, same=True)
    assert (found[~pairs] == 0).all()
    assert found[pairs].mean() == pytest.approx(0, abs=1e-9)
    np.fill_diagonal(scores, 1e9)
    np.testing.assert_array_equal(standardised(scores, 0.05, same=True), found)


@pytest.mark.parametrize(("outlier", "bound"), [(1e6, MOST), (-1e6, LEAST)])
def test_far_outliers_are_held_at_the_bounds_then_shrunk(outlier, bound):
    scores = np.zeros((20, 20))
    scores[3, 4] = outlier
    assert standardised(scores, 0.0)[3, 4] == bound
    noise = 0.5 * float(scores.std())
    assert standardised(scores, noise)[3, 4] == pytest.approx(0.75 * bound)


@pytest.mark.parametrize("scores", [np.ones((3, 4)), np.zeros((1, 1)), np.full((1, 1), 7.0), np.zeros((0, 3))])
def test_scores_that_do_not_vary_say_nothing(scores):
    found = standardised(scores, 0.0)
    assert found.shape == scores.shape
    assert not found.any()


def test_of_one_item_there_is_no_pair():
    assert standardised(np.array([[5.0]]), 0.0, same=True).tolist() == [[0.0]]
