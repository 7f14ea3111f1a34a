import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.solvers.least_squares import damped_solution

shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))


def problem(rows, unknowns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randn(rows, unknowns, generator=generator, dtype=torch.float64)
    return columns, torch.randn(rows, generator=generator, dtype=torch.float64)


def objective(columns, target, damping, c):
    scale = damping * columns.square().sum(0).mean()
    return float((columns @ c - target).square().sum() + scale * c.square().sum())


@given(shapes, st.integers(0, 9), st.floats(1e-3, 10))
def test_against_plain_least_squares_with_the_damping_as_extra_rows(shape, seed, damping):
    columns, target = problem(*shape, seed)
    unknowns = shape[1]
    extra = np.sqrt(damping * columns.square().sum(0).mean().item()) * np.eye(unknowns)
    tall, long = np.vstack([columns.numpy(), extra]), np.concatenate([target.numpy(), np.zeros(unknowns)])
    expected = np.linalg.lstsq(tall, long, rcond=None)[0]
    np.testing.assert_allclose(damped_solution(columns, target, damping).numpy(), expected, atol=1e-9)


@given(shapes, st.integers(0, 9), st.floats(1e-2, 10))
def test_nothing_near_the_solution_is_better(shape, seed, damping):
    columns, target = problem(*shape, seed)
    found = damped_solution(columns, target, damping)
    best = objective(columns, target, damping, found)
    for k in range(shape[1]):
        for step in (-1e-3, 1e-3):
            other = found.clone()
            other[k] += step
            assert objective(columns, target, damping, other) > best


@given(shapes, st.integers(0, 9))
def test_repeating_every_row_changes_nothing(shape, seed):
    # takes the same problem from the dual to the primal side: the damping is relative to the columns' size
    columns, target = problem(*shape, seed)
    several = damped_solution(columns.repeat(8, 1), target.repeat(8), 0.1)
    torch.testing.assert_close(several, damped_solution(columns, target, 0.1))


@given(shapes, st.integers(0, 9), st.floats(1e-3, 1e3))
def test_the_unit_of_the_target_and_of_the_columns_carries_over(shape, seed, unit):
    columns, target = problem(*shape, seed)
    plain = damped_solution(columns, target, 0.1)
    torch.testing.assert_close(damped_solution(columns, unit * target, 0.1), unit * plain)
    torch.testing.assert_close(damped_solution(unit * columns, target, 0.1), plain / unit)


@pytest.mark.parametrize("shape", [(9, 3), (3, 9)])
def test_little_damping_fits_an_attainable_target(shape):
    columns, _ = problem(*shape)
    target = columns @ torch.ones(shape[1], dtype=torch.float64)
    torch.testing.assert_close(columns @ damped_solution(columns, target, 1e-9), target, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(9, 3), (3, 9)])
def test_columns_of_zeros_get_no_weight_and_inputs_stay_as_they_are(shape):
    columns, target = problem(*shape)
    columns[:, 1] = 0
    before = columns.clone()
    assert damped_solution(columns, target, 0.1)[1] == 0
    assert not damped_solution(torch.zeros(shape), torch.ones(shape[0]), 0.1).any()
    torch.testing.assert_close(columns, before, atol=0, rtol=0)
