"""Entropic transport, by Sinkhorn and by sparse Newton: what holds for every plan; linear programs as epsilon falls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog

from reknit.errors import InputError, UsageError
from reknit.solvers import sinkhorn, sinkhorn_newton
from reknit.solvers.sinkhorn import entropic_transport, falling_epsilons
from reknit.solvers.sinkhorn_newton import entropic_transport_newton

SOLVERS = pytest.mark.parametrize("solve", [entropic_transport, entropic_transport_newton])
FEW = settings(max_examples=15)


@st.composite
def problems(draw, least=1):
    """Costs with marginals, some of them zero, and an epsilon."""
    n, m = draw(st.integers(least, 9)), draw(st.integers(least, 9))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    a, b = rng.random(n) * (rng.random(n) > 0.2), rng.random(m) * (rng.random(m) > 0.2)
    a[0], b[0] = a[0] + 0.1, b[0] + 0.1
    return rng.normal(size=(n, m)), a / a.sum(), b / b.sum(), draw(st.sampled_from([0.05, 0.3, 2.0]))


def linear_program(cost, a, b):
    """The least cost of any plan, by an independent solver."""
    n, m = cost.shape
    sums = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    return linprog(cost.ravel(), A_eq=sums, b_eq=np.concatenate([a, b]), method="highs").fun


@SOLVERS
@FEW
@given(problems())
def test_the_plan_has_the_marginals_and_the_form_of_the_optimum(solve, problem):
    cost, a, b, epsilon = problem
    found = solve(cost, a, b, epsilon=epsilon)
    assert found.converged
    assert found.residual == pytest.approx(
        np.abs(found.plan.sum(1) - a).sum() + np.abs(found.plan.sum(0) - b).sum(), abs=1e-14
    )
    assert found.residual < 2e-9
    assert found.cost == pytest.approx((cost * found.plan).sum())
    form = np.outer(a, b) * np.exp((found.row_potential[:, None] + found.column_potential - cost) / epsilon)
    np.testing.assert_allclose(found.plan, form, atol=1e-12)


@SOLVERS
@FEW
@given(problems())
def test_potentials_of_what_has_no_mass_are_those_it_would_get(solve, problem):
    """The limit of a vanishing mass: sum_j b_j exp((f_i + g_j - C_ij) / epsilon) = 1 of the empty rows as well."""
    cost, a, b, epsilon = problem
    found = solve(cost, a, b, epsilon=epsilon, tolerance=1e-11)
    share = np.exp((found.row_potential[:, None] + found.column_potential - cost) / epsilon)
    np.testing.assert_allclose((share @ b)[a == 0], 1, atol=1e-8)
    np.testing.assert_allclose((a @ share)[b == 0], 1, atol=1e-8)


@SOLVERS
@FEW
@given(problems(), st.integers(0, 1000))
def test_new_names_for_rows_and_columns_rename_the_plan(solve, problem, seed):
    cost, a, b, epsilon = problem
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(a)), rng.permutation(len(b))
    plain = solve(cost, a, b, epsilon=epsilon).plan
    renamed = solve(cost[rows][:, columns], a[rows], b[columns], epsilon=epsilon).plan
    np.testing.assert_allclose(renamed, plain[rows][:, columns], atol=1e-7)


@SOLVERS
@FEW
@given(problems(), st.floats(0.01, 100), st.floats(-50, 50), st.floats(0.01, 100))
def test_units_of_costs_and_masses_and_offsets_of_rows_change_nothing(solve, problem, scale, offset, mass):
    cost, a, b, epsilon = problem
    plain = solve(cost, a, b, epsilon=epsilon)
    moved = cost + offset * np.arange(len(a))[:, None]
    other = solve(scale * moved, mass * a, mass * b, epsilon=scale * epsilon)
    np.testing.assert_allclose(other.plan / mass, plain.plan, atol=1e-7)
    np.testing.assert_allclose(other.cost / mass / scale, (moved * plain.plan).sum(), atol=1e-5)


@FEW
@given(problems())
def test_both_ways_lead_to_one_plan_and_turned_costs_to_the_turned_plan(problem):
    cost, a, b, epsilon = problem
    plain = entropic_transport(cost, a, b, epsilon=epsilon, tolerance=1e-12).plan
    newton = entropic_transport_newton(cost, a, b, epsilon=epsilon, tolerance=1e-12).plan
    turned = entropic_transport_newton(cost.T, b, a, epsilon=epsilon, tolerance=1e-12).plan
    np.testing.assert_allclose(newton, plain, atol=1e-9)
    np.testing.assert_allclose(turned.T, plain, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_small_epsilon_is_the_linear_program(seed):
    rng = np.random.default_rng(seed)
    cost, a, b = rng.random((7, 5)), rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(5))
    least = linear_program(cost, a, b)
    for epsilon in (1e-2, 1e-3, 1e-4):
        schedule = falling_epsilons(cost, epsilon)
        found = entropic_transport_newton(cost, a, b, epsilon=epsilon, schedule=schedule)
        assert found.converged
        assert -1e-8 < found.cost - least < epsilon * np.log(5)  # KL(P | a b^T) of any plan is at most this
    assert found.cost == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_small_epsilon_is_the_assignment(seed):
    cost = np.random.default_rng(seed).random((30, 30))
    rows, columns = linear_sum_assignment(cost)
    ones = np.ones(30)
    found = entropic_transport_newton(cost, ones, ones, epsilon=3e-5, schedule=falling_epsilons(cost, 3e-5))
    assert found.converged
    assert found.plan[rows, columns].min() > 0.99


def test_newton_takes_few_iterations_where_sinkhorn_takes_many():
    cost = np.random.default_rng(0).random((60, 60))
    plain = entropic_transport(cost, epsilon=1e-2)
    newton = entropic_transport_newton(cost, epsilon=1e-2)
    assert plain.converged
    assert newton.converged
    assert newton.iterations("newton") > 0
    assert 5 * (newton.iterations("sinkhorn") + newton.iterations("newton")) < plain.iterations("sinkhorn")
    np.testing.assert_allclose(newton.plan, plain.plan, atol=1e-8)


@pytest.mark.parametrize(("name", "value"), [("SCALED", 0), ("SCALED", 7), ("FAR", 1.5), ("FAINT", 1e300)])
def test_scaling_between_iterations_in_logarithms_changes_only_the_time(name, value, monkeypatch):
    rng = np.random.default_rng(0)
    cost, a, b = rng.random((40, 30)), rng.dirichlet(np.ones(40)), rng.dirichlet(np.ones(30))
    plain = entropic_transport(cost, a, b, epsilon=0.03)
    monkeypatch.setattr(sinkhorn, name, value)
    other = entropic_transport(cost, a, b, epsilon=0.03)
    assert plain.iterations("sinkhorn") == other.iterations("sinkhorn") > 30
    np.testing.assert_allclose(other.plan, plain.plan, atol=1e-13)


def test_scaling_alone_would_fail_where_this_does_not():
    """The kernel of the costs vanishes; that of the plan does not."""
    cost = 100 + np.random.default_rng(0).random((20, 20))
    assert np.exp(-cost / 0.05).max() == 0
    assert entropic_transport(cost, epsilon=0.05).converged


@pytest.mark.parametrize("epsilon", [0.5, 1.0])
def test_flat_plans_are_not_thinned(epsilon, monkeypatch):
    """Thinned all the same, they take 9 iterations and more."""
    monkeypatch.setattr(sinkhorn_newton, "WARM", 1)
    found = entropic_transport_newton(np.random.default_rng(0).normal(size=(40, 40)), epsilon=epsilon)
    assert found.converged
    assert 1 <= found.iterations("newton") <= 5


def test_without_a_usable_step_newton_falls_back_to_sinkhorn(monkeypatch):
    monkeypatch.setattr(sinkhorn_newton, "_searched", lambda *_: (0.0, None))
    cost = np.random.default_rng(0).random((10, 10))
    found = entropic_transport_newton(cost, epsilon=0.1)
    assert found.converged
    assert found.iterations("sinkhorn") > 20
    np.testing.assert_allclose(found.plan, entropic_transport(cost, epsilon=0.1).plan, atol=1e-8)


@SOLVERS
def test_an_end_before_the_tolerance_is_told(solve):
    cost = np.random.default_rng(0).random((20, 20))
    found = solve(cost, epsilon=1e-3, iterations=2)
    assert not found.converged
    assert found.residual > 1e-9
    assert sum(stage.iterations for stage in found.stages) == 2


@SOLVERS
@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 4), (4, 1)])
def test_the_smallest_sizes_have_one_plan(solve, shape):
    found = solve(np.ones(shape), epsilon=0.1)
    assert found.converged
    np.testing.assert_allclose(found.plan, np.full(shape, 1 / max(np.prod(shape), 1)), atol=1e-15)


@SOLVERS
def test_masses_that_differ_by_rounding_are_made_equal(solve):
    third = np.full(3, 1 / 3)
    assert solve(np.eye(3), third, third * (1 + 9e-10), epsilon=0.1, tolerance=1e-12, iterations=100).converged


@SOLVERS
def test_no_mass_at_all_is_moved_by_an_empty_plan(solve):
    found = solve(np.ones((2, 3)), np.zeros(2), np.zeros(3), epsilon=0.1)
    assert found.plan.tolist() == np.zeros((2, 3)).tolist()
    assert found.converged


@SOLVERS
def test_costs_of_a_million_epsilons_do_not_overflow(solve):
    cost = 1e3 * np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0], [1.0, 2.0, 0.0]])
    found = solve(cost, epsilon=1e-3)
    assert found.converged
    np.testing.assert_allclose(found.plan, np.eye(3) / 3, atol=1e-12)


@SOLVERS
@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((np.ones(3),), InputError, r"^cost: costs have 1 axes, not two\. Give one row per source\.$"),
        ((np.full((1, 1), np.nan),), InputError, r"^cost: a cost is infinite or not a number\. Give finite costs\.$"),
        ((np.ones((2, 2)), np.ones(3)), InputError, r"^a: a marginal of shape \(3,\) for 2 of them\. Give one mass"),
        (
            (np.ones((1, 2)), None, np.array([2.0, -1.0])),
            InputError,
            r"^b: a mass is negative, infinite or not a number",
        ),
        ((np.ones((2, 2)), np.ones(2)), InputError, r"^a and b: the marginals have masses 2 and 1\. Scale them"),
        ((np.ones((0, 2)),), InputError, r"^a and b: the marginals have masses 0 and 1\. Scale them"),
    ],
)
def test_what_is_no_problem_is_refused(solve, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        solve(*arguments, epsilon=0.1)


@SOLVERS
def test_what_is_no_epsilon_is_refused(solve):
    with pytest.raises(
        UsageError, match=r"^epsilon: an epsilon of 0 is no weight of the entropy\. Choose a positive one"
    ):
        solve(np.ones((2, 2)), epsilon=0)
    with pytest.raises(UsageError, match="an epsilon of -1 "):
        solve(np.ones((2, 2)), epsilon=1, schedule=(-1,))
    with pytest.raises(UsageError, match=r"^factor: a factor of 1 does not make epsilon fall\. Choose one between"):
        falling_epsilons(np.ones((2, 2)), 0.1, 1)
