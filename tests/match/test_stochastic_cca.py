"""Canonical correlations: scipy's eigenvalues as the oracle, what leaves them alone, minibatches against exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import eigh

from reknit.errors import InputError, UsageError
from reknit.match.stochastic_cca import exact_cca, stochastic_cca

seeds = st.integers(0, 10**6)


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def views(seed, rows=60, a=5, b=4, shared=3):
    common = drawn(seed, rows, shared) * np.linspace(2, 1, shared)
    return tuple(common @ drawn([seed, k], shared, w) + drawn([seed, k, 1], rows, w) for k, w in ((1, a), (2, b)))


def by_eigenvalues(x, y):
    joint = np.cov(np.hstack([x, y]).T)
    crossed, within = joint.copy(), joint.copy()
    a = x.shape[1]
    crossed[:a, :a] = crossed[a:, a:] = within[:a, a:] = within[a:, :a] = 0
    return eigh(crossed, within, eigvals_only=True)[::-1][: min(a, y.shape[1])]


@given(seed=seeds, a=st.integers(1, 6), b=st.integers(1, 6))
def test_exact_correlations_are_generalised_eigenvalues(seed, a, b):
    x, y = views(seed, a=a, b=b)
    np.testing.assert_allclose(exact_cca(x, y).correlations, by_eigenvalues(x, y), atol=1e-8)


@given(seed=seeds)
def test_directions_have_the_correlations_and_unit_variances(seed):
    x, y = views(seed)
    found = exact_cca(x, y)
    scores = [(z - z.mean(0)) @ part for z, part in ((x, found.first), (y, found.second))]
    n = len(x) - 1
    for score in scores:
        np.testing.assert_allclose(score.T @ score / n, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(scores[0].T @ scores[1] / n, np.diag(found.correlations), atol=1e-8)


@given(seed=seeds)
def test_invertible_maps_leave_them_as_they_are(seed):
    x, y = views(seed)
    mixed = x @ (drawn([seed, 9], 5, 5) + 5 * np.eye(5)) + 3
    np.testing.assert_allclose(exact_cca(mixed, y).correlations, exact_cca(x, y).correlations, atol=1e-6)


def test_columns_that_repeat_or_do_not_vary_add_nothing():
    x, y = views(0)
    padded = np.hstack([x, x[:, :2], np.ones((len(x), 1))])
    np.testing.assert_allclose(exact_cca(padded, y).correlations, exact_cca(x, y).correlations, atol=1e-8)
    assert not len(exact_cca(np.ones((9, 2)), y[:9]).correlations)


def test_too_few_rows_are_told():
    found = exact_cca(*views(1, rows=8))
    assert found.few
    assert not exact_cca(*views(1)).few
    np.testing.assert_allclose(found.correlations[0], 1)


@pytest.mark.parametrize("seed", range(3))
def test_minibatches_find_the_exact_correlations(seed):
    x, y = views(seed, rows=3000, a=20, b=15, shared=3)
    x = x * np.geomspace(1, 1000, 20) + 50
    found = stochastic_cca(x, y, 3, batch=128, steps=800, seed=seed)
    exact = exact_cca(x, y).correlations[:3]
    np.testing.assert_allclose(found.correlations, exact, atol=2e-3)
    assert (found.correlations <= exact + 1e-9).all()
    scores = [z @ part for z, part in ((x, found.first), (y, found.second))]
    for k in range(3):
        assert np.corrcoef(scores[0][:, k], scores[1][:, k])[0, 1] == pytest.approx(found.correlations[k], abs=1e-6)


def test_without_steps_enough_they_fall_short():
    x, y = views(0, rows=3000, a=20, b=15)
    start = stochastic_cca(x, y, 3, batch=128, steps=1)
    assert start.correlations[0] < exact_cca(x, y).correlations[0] - 0.02


def test_the_seed_decides():
    x, y = views(0)
    first, again, other = (stochastic_cca(x, y, 2, batch=30, steps=5, seed=s).correlations for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


X, Y = views(0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: exact_cca(X, Y[:5]), InputError, "are not of the same inputs"),
        (lambda: exact_cca(X * np.inf, Y), InputError, "first: not every number is finite"),
        (lambda: stochastic_cca(X, Y, 2), InputError, "60 rows are too few. Give 256 or more"),
        (lambda: stochastic_cca(X, Y, 5, batch=8), UsageError, r"5 components of widths \(5, 4\)"),
        (lambda: stochastic_cca(X, Y, 0, batch=8), UsageError, "Give 1 to the smaller width"),
        (lambda: stochastic_cca(X, Y, 1, batch=1), UsageError, "batches of 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_words(call, error, words):
    with pytest.raises(error, match=words):
        call()
