"""Fixed points of a matching: the law by enumeration, the e-value, uniformity whatever the data, ties."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from reknit.kinship.fixed_points import (
    cosines,
    fixed_points,
    log10_chance,
    log10_e_value,
    log10_tail,
    shuffled_matching,
)
from strategies import seeds


def counts(size):
    """Fixed points of every permutation."""
    return [sum(i == p for i, p in enumerate(order)) for order in itertools.permutations(range(size))]


@pytest.mark.parametrize("size", range(1, 8))
def test_the_tail_is_the_share_of_permutations(size):
    found = counts(size)
    for k in range(size + 1):
        share = sum(c >= k for c in found) / len(found)
        assert 10 ** log10_tail(k, size) == pytest.approx(share, rel=1e-12)
        chance = found.count(k) / len(found)
        assert (10 ** log10_chance(k, size) if chance else log10_chance(k, size)) == (
            pytest.approx(chance, rel=1e-12) if chance else -np.inf
        )


@pytest.mark.parametrize("size", range(1, 8))
def test_the_e_value_has_expectation_one(size):
    found = counts(size)
    values = {c: 10 ** log10_e_value(c, size) if c else 0.0 for c in set(found)}
    assert sum(values[c] for c in found) / len(found) == pytest.approx(1.0, rel=1e-12)


@given(st.integers(1, 3000), st.data())
def test_the_tail_is_at_most_one_over_k_factorial_and_falls(size, data):
    k = data.draw(st.integers(1, size))
    assert log10_tail(k, size) <= -math.lgamma(k + 1) / math.log(10) + 1e-9
    assert log10_tail(k, size) <= log10_tail(k - 1, size)
    assert log10_tail(size, size) == pytest.approx(-math.lgamma(size + 1) / math.log(10), abs=1e-9)


@given(seeds, st.integers(2, 12), st.integers(1, 5))
def test_relabelling_the_units_of_a_relabels_the_matching(seed, size, features):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, size, features + 1))
    order = rng.permutation(size)
    plain = fixed_points(a, b, rng).matching
    assert fixed_points(a[order], b, rng).matching.tolist() == plain[order].tolist()
    assert fixed_points(b, a, rng).matching.tolist() == np.argsort(plain).tolist()


@given(seeds, st.integers(2, 30))
def test_the_matching_is_the_best_one(seed, size):
    rng = np.random.default_rng(seed)
    scores = cosines(*rng.normal(size=(2, size, 3)))
    found = shuffled_matching(scores, rng)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    assert scores[np.arange(size), found].sum() == pytest.approx(scores[rows, columns].sum(), abs=1e-12)


def test_p_is_uniform_over_all_relabellings_of_nets_that_share_every_feature():
    """The same rows in both nets, as if data had forced the features: all 5! orders, and p says so exactly."""
    rng = np.random.default_rng(0)
    b = rng.normal(size=(5, 4))
    a = b + 0.1 * rng.normal(size=b.shape)
    found = [10 ** fixed_points(a[list(order)], b, rng).log10_p for order in itertools.permutations(range(5))]
    for level in sorted(set(found)):
        assert np.mean(np.array(found) <= level * (1 + 1e-9)) == pytest.approx(level)
    assert min(found) == pytest.approx(1 / 120)


def test_rows_that_tie_are_not_matched_in_place():
    """Without shuffled labels an assignment of ties is the identity, and two empty nets would be kin."""
    rng = np.random.default_rng(0)
    for rows in (np.zeros((64, 8)), np.ones((64, 8)), np.repeat(rng.normal(size=(2, 8)), 32, axis=0)):
        found = [fixed_points(rows, rows, rng).count for _ in range(40)]
        assert np.mean(found) < 3
        assert max(found) < 12


def test_many_units_are_tested_by_a_draw_of_them(monkeypatch):
    monkeypatch.setattr("reknit.kinship.fixed_points.MOST", 20)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 9))
    found = fixed_points(rows, rows, rng)
    assert (found.count, found.size) == (20, 20)
    assert found.log10_p == pytest.approx(log10_tail(20, 20))
    assert fixed_points(rows, rng.normal(size=rows.shape), rng).count < 6
