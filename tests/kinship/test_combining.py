"""Fisher against scipy, bounds for any dependence against simulation, a panel's resolution, never-trained rows."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from reknit.errors import InputError, UsageError
from reknit.kinship.combining import as_p, averaged, bonferroni, fisher, geometric
from reknit.kinship.panel import placed
from reknit.kinship.unused_rows import unused_rows
from strategies import seeds

logs = st.lists(st.floats(-8, 0), min_size=1, max_size=9)


@settings(max_examples=25)
@given(logs)
def test_fisher_is_the_tail_of_chi_squared(log_ps):
    expected = chi2.sf(-2 * sum(log_ps) * math.log(10), 2 * len(log_ps))
    assert 10 ** fisher(log_ps) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_fisher_does_not_underflow():
    assert fisher([-13998.0, 0.0]) == pytest.approx(-13998 + math.log10(1 + 13998 * math.log(10)))


@settings(max_examples=20)
@given(logs, st.randoms())
def test_the_order_does_not_matter(log_ps, random):
    shuffled = random.sample(log_ps, len(log_ps))
    for combine in (fisher, averaged, bonferroni, geometric):
        assert combine(shuffled) == pytest.approx(combine(log_ps), abs=1e-9)


def test_bounds_hold_for_tests_that_are_one_and_the_same():
    u = (np.arange(5000) + 0.5) / 5000
    for combine in (bonferroni, geometric):
        found = np.array([combine([x, x, x]) for x in np.log10(u)])
        assert all(np.mean(found <= np.log10(level)) <= level + 0.001 for level in (0.01, 0.05, 0.3))
        found = np.array([combine([x, y]) for x, y in np.log10([u, 1 - u]).T])
        assert all(np.mean(found <= np.log10(level)) <= level + 0.001 for level in (0.01, 0.05, 0.45))
    assert as_p(averaged([2.0, 2.0])) == -2.0
    assert as_p(averaged([-np.inf, -np.inf])) == 0.0


def test_nothing_tested_is_no_evidence():
    assert fisher([]) == averaged([]) == bonferroni([]) == geometric([]) == 0.0


def test_a_panel_gives_no_p_below_its_resolution():
    assert 10 ** placed(1e9, [1.0, 2.0, 3.0]).log10_p == pytest.approx(0.25)
    assert 10 ** placed(2.0, [1.0, 2.0, 3.0]).log10_p == pytest.approx(0.75)
    rng = np.random.default_rng(0)
    drawn = [placed(x[0], x[1:]).randomised(rng.random()) for x in rng.integers(0, 4, size=(2000, 8))]
    assert kstest(drawn, "uniform").pvalue > 0.01
    with pytest.raises(UsageError, match=r"--panel: a panel of no networks says nothing. Name independent networks"):
        placed(1.0, [])


@settings(max_examples=20)
@given(seeds)
def test_unused_rows_are_found_through_permutation_and_rotation_at_once(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(60, 12))
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    found = unused_rows(a, a @ turn + 0.05 * rng.normal(size=a.shape), range(5, 13), rng)
    assert (found.count, found.size) == (8, 8)
    assert found.log10_p == pytest.approx(-math.log10(math.factorial(8)))


def test_unused_rows_of_independent_tables_that_share_their_seen_rows_give_valid_p():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(40, 10))
    counts = []
    for _ in range(400):
        a, b = (np.vstack([seen + 0.1 * rng.normal(size=seen.shape), rng.normal(size=(7, 10))]) for _ in range(2))
        counts.append(unused_rows(a, b, range(40, 47), rng).count)
    assert np.mean(counts) == pytest.approx(1.0, abs=0.2)
    assert np.var(counts) == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("rows", [[], [3], [2, 99], [-1, 2]])
def test_rows_that_cannot_be_unused_are_refused(rows):
    with pytest.raises(InputError, match=r"rows are named as unused. Name two or more of the table's rows"):
        unused_rows(np.eye(5), np.eye(5), rows, np.random.default_rng(0))


def test_a_table_without_seen_rows_is_refused():
    with pytest.raises(InputError, match=r"unused: every row is named as unused. Leave out those that were trained."):
        unused_rows(np.eye(5), np.eye(5), range(5), np.random.default_rng(0))
