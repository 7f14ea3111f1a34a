"""Gram directions: what leaves them as they are, numpy as the oracle, wide streams by drawn entries, noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.evidence import stream_grams
from reknit.evidence.stream_grams import gram_correlations, gram_direction, noise


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def orthogonal(seed, size):
    return np.linalg.qr(drawn(seed, size, size))[0]


def upper(matrix):
    return (matrix @ matrix.T)[np.triu_indices(len(matrix), 1)]


SEEDS = st.integers(0, 10**6)
WIDTHS = st.integers(3, 9)
HIDDEN = st.integers(1, 7)


@given(seed=SEEDS, width=WIDTHS, hidden=HIDDEN, size=st.floats(1e-6, 1e6))
def test_neither_the_order_nor_the_basis_of_hidden_units_counts_nor_the_size(seed, width, hidden, size):
    matrix = drawn(seed, width, hidden)
    direction = gram_direction(matrix)
    shuffled = matrix[:, np.random.default_rng(seed).permutation(hidden)]
    for same in (shuffled, matrix @ orthogonal(seed, hidden), size * matrix, -matrix):
        np.testing.assert_allclose(gram_direction(same), direction, atol=1e-5)


@given(seed=SEEDS, width=WIDTHS, hidden=HIDDEN)
def test_the_order_of_the_stream_counts_only_if_it_differs(seed, width, hidden):
    first, second = drawn(seed, width, hidden), drawn(seed + 1, width, 3)
    order = np.random.default_rng(seed).permutation(width)
    one = gram_correlations([gram_direction(first)], [gram_direction(second)])
    both = gram_correlations([gram_direction(first[order])], [gram_direction(second[order])])
    np.testing.assert_allclose(both, one, atol=1e-5)


@given(seed=SEEDS, width=WIDTHS, counts=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_the_correlation_is_numpys(seed, width, counts):
    left = [drawn([seed, 0, k], width, 4) for k in range(counts[0])]
    right = [drawn([seed, 1, k], width, 5) for k in range(counts[1])]
    found = gram_correlations(list(map(gram_direction, left)), list(map(gram_direction, right)))
    expected = [[np.corrcoef(upper(a), upper(b))[0, 1] for b in right] for a in left]
    assert found.shape == counts
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_gram_is_entirely_like_itself_and_the_orthogonal_complement_of_a_projector_is_its_opposite():
    basis = orthogonal(0, 8)
    inside, outside = gram_direction(basis[:, :3]), gram_direction(basis[:, 3:])
    assert gram_correlations([inside], [inside, outside])[0] == pytest.approx([1, -1], abs=1e-5)


@pytest.mark.parametrize("matrix", [np.zeros((4, 3)), np.eye(5), np.ones((4, 2)), np.ones((1, 3)), np.ones((2, 3))])
def test_what_does_not_vary_correlates_with_nothing(matrix):
    direction = gram_direction(matrix)
    assert direction.shape == (len(matrix) * (len(matrix) - 1) // 2,)
    assert not direction.any()


def test_constant_entries_with_rounding_errors_do_not_become_a_direction():
    rotated = 1e4 * orthogonal(1, 12)
    assert not gram_direction(rotated).any()


def wide(seed, common, width=700, rank=8):
    return common + 0.7 * drawn(seed, width, rank)


def test_of_a_wide_stream_drawn_entries_say_the_same():
    width = 700
    assert width * (width - 1) // 2 > stream_grams.ENTRIES
    common = drawn(0, width, 8)
    first, second = wide(1, common), wide(2, common)
    full = np.corrcoef(upper(first), upper(second))[0, 1]
    directions = [gram_direction(matrix.astype(np.float32)) for matrix in (first, second)]
    assert directions[0].shape == (stream_grams.ENTRIES,)
    assert full > 0.3
    assert gram_correlations(directions[:1], directions[1:])[0, 0] == pytest.approx(full, abs=0.01)
    assert gram_correlations(directions[:1], directions[:1])[0, 0] == pytest.approx(1, abs=1e-5)


def test_the_pairs_that_are_drawn_never_lie_on_the_diagonal_and_are_the_same_every_time():
    first, second = stream_grams._drawn_pairs(600)
    assert (first != second).all()
    assert (np.minimum(first, second) >= 0).all()
    assert (np.maximum(first, second) < 600).all()
    np.testing.assert_array_equal((first, second), stream_grams._drawn_pairs(600))


def test_noise_of_matrices_that_never_met_is_that_of_so_many_entries():
    width = 40
    first = [gram_direction(drawn([0, k], width, 60)) for k in range(25)]
    other = [gram_direction(drawn([1, k], width, 60)) for k in range(25)]
    entries = width * (width - 1) / 2
    assert noise(first, other) == pytest.approx(entries**-0.5, rel=0.15)


def test_shuffled_coordinates_leave_only_noise_of_matrices_that_are_alike():
    width = 40
    common = drawn(2, width, 60)
    alike = [common + 0.3 * drawn([3, k], width, 60) for k in range(12)]
    rng = np.random.default_rng(4)
    directions = [gram_direction(matrix) for matrix in alike]
    scrambled = [gram_direction(matrix[rng.permutation(width)]) for matrix in alike]
    assert gram_correlations(directions, directions).min() > 0.8
    assert noise(directions, scrambled) == pytest.approx((width * (width - 1) / 2) ** -0.5, rel=0.5)
