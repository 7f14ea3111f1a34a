"""CKA: what leaves it as it is, the formulas written out, zero where there is nothing."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import InputError, UsageError
from reknit.match.cka import biased_hsic, cka, linear_kernel, rbf_kernel, unbiased_hsic

seeds = st.integers(0, 10**6)
settings = st.fixed_dictionaries({"kernel": st.sampled_from(["linear", "rbf"]), "unbiased": st.booleans()})


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def related(seed, rows=12, a=4, b=3):
    x = drawn(seed, rows, a)
    return x, np.tanh(x @ drawn([seed, 1], a, b)) + 0.3 * drawn([seed, 2], rows, b)


@given(seed=seeds, settings=settings, scale=st.floats(1e-3, 1e3), a=st.integers(1, 20))
def test_turns_scales_and_shifts_leave_it_as_it_is(seed, settings, scale, a):
    x, y = related(seed, a=a)
    turn = np.linalg.qr(drawn([seed, 3], a, a))[0]
    assert cka(scale * x @ turn + 5, y, **settings) == pytest.approx(cka(x, y, **settings), abs=1e-8)


@given(seed=seeds, settings=settings)
def test_it_is_symmetric_and_one_of_a_representation_with_itself(seed, settings):
    x, y = related(seed)
    assert cka(x, y, **settings) == pytest.approx(cka(y, x, **settings))
    assert cka(x, x, **settings) == pytest.approx(1)
    assert cka(x, y, **settings) <= 1 + 1e-12


@given(seed=seeds, settings=settings)
def test_rows_in_another_order_change_nothing(seed, settings):
    x, y = related(seed)
    order = np.random.default_rng(seed).permutation(len(x))
    assert cka(x[order], y[order], **settings) == pytest.approx(cka(x, y, **settings))


@given(seed=seeds)
def test_the_biased_estimate_is_the_trace_of_centred_kernels(seed):
    x, y = related(seed)
    kernels, n = [x @ x.T, y @ y.T], len(x)
    centring = np.eye(n) - np.ones((n, n)) / n
    expected = np.trace(kernels[0] @ centring @ kernels[1] @ centring) / (n - 1) ** 2
    assert biased_hsic(*kernels) == pytest.approx(expected)
    narrow, wide = cka(x, y, unbiased=False), cka(np.hstack([x, np.zeros((n, n))]), y, unbiased=False)
    assert narrow == pytest.approx(wide)  # by features and by kernels


@pytest.mark.parametrize("seed", range(3))
def test_the_unbiased_estimate_is_the_u_statistic(seed):
    x, y = related(seed, rows=6)
    k, m = linear_kernel(x), rbf_kernel(y)
    tuples = list(permutations(range(6), 4))
    expected = np.mean([k[i, j] * (m[i, j] + m[p, q] - 2 * m[i, p]) for i, j, p, q in tuples])
    assert unbiased_hsic(k, m) == pytest.approx(expected)


def test_independent_and_wide_representations_are_unlike_only_by_the_unbiased_estimate():
    pairs = [(drawn([s, 0], 30, 200), drawn([s, 1], 30, 200)) for s in range(20)]
    assert abs(np.mean([cka(x, y) for x, y in pairs])) < 0.05
    assert min(cka(x, y, unbiased=False) for x, y in pairs) > 0.8


def test_rbf_kernel_by_hand():
    kernel = rbf_kernel(np.array([[0.0], [1.0], [3.0]]), width=0.5)
    assert kernel[0, 1] == pytest.approx(np.exp(-1 / (2 * 0.25 * 4)))  # squares 1, 4, 9: the median is 4
    np.testing.assert_allclose(np.diag(kernel), 1)


GOOD = drawn(0, 8, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: cka(GOOD, GOOD[:7]), InputError, "are not of the same inputs"),
        (lambda: cka(GOOD[:3], GOOD[:3]), InputError, "3 rows are too few. Give 4 or more"),
        (lambda: cka(GOOD, GOOD * np.nan), InputError, "second: not every number is finite"),
        (lambda: cka(np.ones((8, 2)), GOOD, unbiased=False), InputError, "first: the representation hardly varies"),
        (lambda: cka(GOOD, np.zeros((8, 0))), InputError, "second: the representation hardly varies"),
        (lambda: cka(GOOD, np.repeat([[0.0], [1]], [7, 1], 0), kernel="rbf"), InputError, "half of the rows or more"),
        (lambda: cka(GOOD, GOOD, kernel="cubic"), UsageError, "there is no kernel 'cubic'"),
        (lambda: cka(GOOD, GOOD, kernel="rbf", width=0), UsageError, "of width 0"),
    ],
)
def test_words(call, error, words):
    with pytest.raises(error, match=words):
        call()
