"""The system of a plan's potentials: solved as a whole, by steps or by a factor, and what has no curvature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from reknit.solvers import marginal_system
from reknit.solvers.marginal_system import conjugate_gradients, marginal_step


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 1000))
def test_marginal_steps_solve_the_whole_system(n, m, seed):
    rng = np.random.default_rng(seed)
    plan = rng.random((n, m)) + 0.1
    changes = plan * rng.normal(size=(n, m))
    rows, columns = changes.sum(1), changes.sum(0)
    found = marginal_step(plan, plan.sum(1), plan.sum(0), rows, columns, accuracy=1e-13)
    np.testing.assert_allclose(plan.sum(1) * found.rows + plan @ found.columns, rows, atol=1e-9)
    np.testing.assert_allclose(plan.T @ found.rows + plan.sum(0) * found.columns, columns, atol=1e-9)


@pytest.mark.parametrize("dense", [True, False])
def test_where_conjugate_gradients_take_too_long_a_factor_follows(dense, monkeypatch):
    monkeypatch.setattr(marginal_system, "FEW_STEPS", 3)
    rng = np.random.default_rng(0)
    plan = np.eye(40) + 1e-6 * rng.random((40, 40))
    changes = plan * rng.normal(size=(40, 40))
    rows, columns = changes.sum(1), changes.sum(0)
    form = plan if dense else csr_array(plan)
    found = marginal_step(form, plan.sum(1), plan.sum(0), rows, columns, accuracy=1e-9)
    assert found.factored
    np.testing.assert_allclose(plan.sum(1) * found.rows + plan @ found.columns, rows, atol=1e-9)
    np.testing.assert_allclose(plan.T @ found.rows + plan.sum(0) * found.columns, columns, atol=1e-9)
    monkeypatch.setattr(marginal_system, "DIRECT", 0)
    assert not marginal_step(form, plan.sum(1), plan.sum(0), rows, columns, accuracy=1e-9).factored


def test_conjugate_gradients_stop_where_nothing_curves():
    flat = np.diag([1.0, 0.0])
    found, taken = conjugate_gradients(lambda x: flat @ x, np.array([2.0, 1.0]), np.ones(2), goal=1e-12, steps=50)
    assert np.isfinite(found).all()
    assert taken < 5
