from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.solvers.least_squares import damped_solution, solve

CLOSE = {"rtol": 1e-7, "atol": 1e-7}
shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))


def problem(rows, unknowns, seed=0):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((rows, unknowns)), generator.standard_normal(rows)


def objective(columns, target, damping, c):
    scale = damping * np.square(columns).sum(0).mean()
    return float(np.square(columns @ c - target).sum() + scale * np.square(c).sum())


@given(shapes, st.integers(0, 9), st.floats(1e-3, 10))
def test_against_plain_least_squares_with_the_damping_as_extra_rows(shape, seed, damping):
    columns, target = problem(*shape, seed)
    unknowns = shape[1]
    extra = np.sqrt(damping * np.square(columns).sum(0).mean()) * np.eye(unknowns)
    tall, long = np.vstack([columns, extra]), np.concatenate([target, np.zeros(unknowns)])
    expected = np.linalg.lstsq(tall, long, rcond=None)[0]
    np.testing.assert_allclose(damped_solution(columns, target, damping), expected, atol=1e-9)


@given(shapes, st.integers(0, 9), st.floats(1e-2, 10))
def test_nothing_near_the_solution_is_better(shape, seed, damping):
    columns, target = problem(*shape, seed)
    found = damped_solution(columns, target, damping)
    best = objective(columns, target, damping, found)
    for k in range(shape[1]):
        for step in (-1e-3, 1e-3):
            other = found.copy()
            other[k] += step
            assert objective(columns, target, damping, other) > best


@given(shapes, st.integers(0, 9))
def test_repeating_every_row_changes_nothing(shape, seed):
    # takes the same problem from the dual to the primal side: the damping is relative to the columns' size
    columns, target = problem(*shape, seed)
    several = damped_solution(np.tile(columns, (8, 1)), np.tile(target, 8), 0.1)
    np.testing.assert_allclose(several, damped_solution(columns, target, 0.1), **CLOSE)


@given(shapes, st.integers(0, 9), st.floats(1e-3, 1e3))
def test_the_unit_of_the_target_and_of_the_columns_carries_over(shape, seed, unit):
    columns, target = problem(*shape, seed)
    plain = damped_solution(columns, target, 0.1)
    np.testing.assert_allclose(damped_solution(columns, unit * target, 0.1), unit * plain, **CLOSE)
    np.testing.assert_allclose(damped_solution(unit * columns, target, 0.1), plain / unit, **CLOSE)


@pytest.mark.parametrize("shape", [(9, 3), (3, 9)])
def test_little_damping_fits_an_attainable_target(shape):
    columns, _ = problem(*shape)
    target = columns @ np.ones(shape[1])
    np.testing.assert_allclose(columns @ damped_solution(columns, target, 1e-9), target, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(9, 3), (3, 9)])
def test_columns_of_zeros_get_no_weight_and_inputs_stay_as_they_are(shape):
    columns, target = problem(*shape)
    columns[:, 1] = 0
    before = columns.copy()
    assert damped_solution(columns, target, 0.1)[1] == 0
    assert not damped_solution(np.zeros(shape), np.ones(shape[0]), 0.1).any()
    np.testing.assert_array_equal(columns, before)


@given(st.integers(2, 39), st.floats(0, 6), st.integers(0, 10**6))
def test_copies_of_one_large_column_have_a_solution(unknowns, size, seed):
    """Blocks that are copies of each other: their damping is lost beside their columns, to the last bit."""
    rng = np.random.default_rng(seed)
    columns = 1e-3 * rng.standard_normal((256, unknowns), np.float32)
    columns[:, : rng.integers(2, unknowns + 1)] = (10**size * rng.standard_normal((256, 1))).astype(np.float32)
    assert np.isfinite(damped_solution(columns, rng.standard_normal(256, np.float32), 1e-6)).all()


def test_a_singular_system_has_the_solution_of_least_norm():
    matrix, right = np.ones((2, 2), np.float32), np.array([2.0, 2.0], np.float32)
    found = solve(matrix, right)
    np.testing.assert_allclose(found, [1, 1], rtol=1e-6)
    assert found.dtype == np.float32


def exact_solution(matrix, right):
    """By elimination in fractions: no rounding at all."""
    rows = [
        [Fraction(value) for value in (*row, last)] for row, last in zip(matrix.tolist(), right.tolist(), strict=True)
    ]
    for k in range(len(rows)):
        pivot = next(i for i in range(k, len(rows)) if rows[i][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(len(rows)):
            if i != k:
                rows[i] = [value - rows[i][k] * own for value, own in zip(rows[i], rows[k], strict=True)]
    return np.array([float(row[-1]) for row in rows])


@given(st.integers(2, 5), st.integers(0, 10**6))
def test_nearly_equal_columns_in_float32_lose_no_digits_to_the_solver(unknowns, seed):
    """Blocks that are nearly copies: their Gram matrix has a condition of about 1e5, float32 seven digits."""
    rng = np.random.default_rng(seed)
    columns = rng.standard_normal((40, 1)) + 3e-3 * rng.standard_normal((40, unknowns))
    gram, right = (columns.T @ columns).astype(np.float32), rng.standard_normal((unknowns, 2)).astype(np.float32)
    expected = np.stack([exact_solution(gram, right[:, k]) for k in range(2)], 1)
    found = solve(gram, right)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(solve(gram, right[:, 0]), found[:, 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_stays_so(bad):
    assert np.isnan(solve(np.array([[1.0, bad], [bad, 1.0]]), np.ones((2, 3)))).all()
