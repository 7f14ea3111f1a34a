"""What vectors are measured by: oracles by numpy, what leaves the measures as they are, the degenerate cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.evidence.amplified_directions import amplification
from reknit.evidence.vector_strengths import signed_strengths, strengths
from reknit.evidence.vector_sums import sum_correlations
from reknit.evidence.vector_values import leans, sizes

SEEDS = st.integers(0, 10**6)
BESIDE = [amplification, strengths, signed_strengths, sum_correlations]


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@given(seed=SEEDS)
def test_amplification_is_a_rayleigh_quotient_of_the_gram(seed):
    vector, matrix = drawn(seed, 6), drawn(seed + 1, 6, 4)
    v = vector - vector.mean()
    quotient = (v @ matrix @ matrix.T @ v) / (v @ v) / (np.trace(matrix @ matrix.T) / 6)
    assert amplification(vector[None], matrix)[0] == pytest.approx(np.log(quotient))


@given(seed=SEEDS)
def test_correlations_are_numpys(seed):
    vector, matrix = drawn(seed, 6), drawn(seed + 1, 6, 4)
    norms = np.log(np.linalg.norm(matrix, axis=1))
    assert sum_correlations(vector[None], matrix)[0] == pytest.approx(np.corrcoef(vector, matrix.sum(1))[0, 1])
    assert signed_strengths(vector[None], matrix)[0] == pytest.approx(abs(np.corrcoef(vector, norms)[0, 1]))
    assert strengths(vector[None], matrix)[0] == pytest.approx(np.corrcoef(np.log(np.abs(vector)), norms)[0, 1])


@pytest.mark.parametrize("measure", BESIDE)
@given(seed=SEEDS, size=st.floats(1e-4, 1e4))
def test_sizes_and_the_order_of_units_do_not_count(measure, seed, size):
    vectors, matrix = drawn(seed, 3, 7), drawn(seed + 1, 7, 4)
    order = np.random.default_rng(seed).permutation(7)
    np.testing.assert_allclose(
        measure(size * vectors[:, order], matrix[order] / size), measure(vectors, matrix), atol=1e-6
    )


@pytest.mark.parametrize("measure", [amplification, signed_strengths, strengths])
@given(seed=SEEDS)
def test_the_basis_of_the_other_axis_does_not_count(measure, seed):
    vectors, matrix = drawn(seed, 3, 7), drawn(seed + 1, 7, 4)
    turn = np.linalg.qr(drawn(seed + 2, 4, 4))[0]
    np.testing.assert_allclose(measure(vectors, matrix @ turn), measure(vectors, matrix), atol=1e-6)


@pytest.mark.parametrize("measure", BESIDE)
@pytest.mark.parametrize(
    ("vectors", "matrix"),
    [
        (np.zeros((2, 4)), np.eye(4)),
        (np.ones((2, 4)), np.eye(4)),
        (np.eye(4), np.zeros((4, 3))),
        (np.ones((1, 1)), np.ones((1, 2))),
    ],
)
def test_what_does_not_vary_says_nothing(measure, vectors, matrix):
    assert measure(vectors, matrix).tolist() == [0.0] * len(vectors)


def test_a_direction_that_a_matrix_passes_stands_out():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 50))
    matrix = rng.normal(size=(50, 30)) + 3 * np.outer(vectors[7] - vectors[7].mean(), rng.normal(size=30))
    assert amplification(vectors, matrix).argmax() == 7


@given(seed=SEEDS, size=st.floats(1e-3, 1e3))
def test_values_by_hand(seed, size):
    vector = drawn(seed, 9)
    root = np.sqrt((vector**2).mean())
    assert sizes(size * vector[None])[0] == pytest.approx(np.log(size * root))
    assert leans(-size * vector[None])[0] == pytest.approx(-vector.mean() / root)
    assert leans(np.zeros((1, 3)))[0] == 0
    assert np.isfinite(sizes(np.zeros((1, 3)))[0])
