"""Unit norms: numpy as the oracle, what leaves them as they are, rows of zeros."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.evidence.unit_norms import strength_correlations, unit_strengths


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


SEEDS = st.integers(0, 10**6)


@given(seed=SEEDS, units=st.integers(2, 9), rest=st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_the_correlation_is_numpys_of_log_norms(seed, units, rest):
    first, second = drawn([seed, 0], units, rest[0]), drawn([seed, 1], units, rest[1])
    logs = [np.log(np.linalg.norm(matrix, axis=1)) for matrix in (first, second)]
    found = strength_correlations([unit_strengths(first)], [unit_strengths(second)])
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(np.corrcoef(*logs)[0, 1], abs=1e-6)


@given(seed=SEEDS, units=st.integers(2, 9), size=st.floats(1e-6, 1e6))
def test_neither_the_size_nor_the_basis_of_the_other_axis_counts(seed, units, size):
    matrix = drawn(seed, units, 4)
    turn = np.linalg.qr(drawn(seed + 1, 4, 4))[0]
    np.testing.assert_allclose(unit_strengths(-size * matrix @ turn), unit_strengths(matrix), atol=1e-6)


@given(seed=SEEDS, units=st.integers(2, 9))
def test_units_in_another_order_have_their_strengths_in_that_order(seed, units):
    matrix = drawn(seed, units, 4)
    order = np.random.default_rng(seed).permutation(units)
    np.testing.assert_allclose(unit_strengths(matrix[order]), unit_strengths(matrix)[order], atol=1e-12)


@pytest.mark.parametrize("matrix", [np.zeros((4, 3)), np.ones((4, 3)), np.eye(5), np.ones((1, 3))])
def test_units_that_are_alike_say_nothing(matrix):
    assert unit_strengths(matrix).tolist() == [0.0] * len(matrix)


def test_a_dead_unit_is_weak_and_finite():
    strengths = unit_strengths(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
    assert np.isfinite(strengths).all()
    assert strengths.argmin() == 0
    assert np.linalg.norm(strengths) == pytest.approx(1)


def test_units_that_are_shared_correlate_and_others_do_not():
    rng = np.random.default_rng(0)
    strong = np.exp(rng.normal(size=(5, 60, 1)))
    first = [unit_strengths(size * rng.normal(size=(60, 30))) for size in strong]
    second = [unit_strengths(size * rng.normal(size=(60, 20))) for size in strong]
    found = strength_correlations(first, second)
    truth = np.eye(5, dtype=bool)
    assert found[truth].min() > 0.9
    assert np.abs(found[~truth]).max() < 0.5
