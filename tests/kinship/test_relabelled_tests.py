"""Tests whose null is drawn: against all relabellings by brute force, and valid whatever both networks share."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from reknit.errors import UsageError
from reknit.kinship.fixed_points import cosines
from reknit.kinship.linear_trace import linear_trace
from reknit.kinship.mantel import gram, mantel
from reknit.kinship.monte_carlo import monte_carlo
from reknit.kinship.two_matchings import agreement, published_log10_p, stream_relabel
from strategies import seeds


def by_hand(g, h, order):
    """Correlation of two Grams off the diagonal, the first relabelled; term by term."""
    pairs = [(i, j) for i in range(len(g)) for j in range(len(g)) if i != j]
    return np.corrcoef([g[order[i], order[j]] for i, j in pairs], [h[i, j] for i, j in pairs])[0, 1]


@settings(max_examples=12)
@given(seeds)
def test_mantel_is_the_share_of_all_relabellings(seed):
    rng = np.random.default_rng(seed)
    g, h = (gram(rng.normal(size=(5, 3))) for _ in range(2))
    every = np.array([by_hand(g, h, order) for order in itertools.permutations(range(5))])
    found = mantel([(g, h)], 3000, rng)
    assert found.statistic == pytest.approx(every[0])
    exact = np.mean(every >= every[0] - 1e-9)
    assert 10**found.log10_p == pytest.approx(exact, abs=5 * (exact * (1 - exact) / 3000) ** 0.5 + 1e-3)


@given(seeds, st.integers(4, 12))
def test_a_gram_does_not_see_how_its_features_were_laundered(seed, units):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(units, 6))
    turned = rows @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    scaled = rows * rng.uniform(0.5, 2, size=(units, 1))
    for laundered in (turned, scaled, rows[:, rng.permutation(6)] * rng.choice([-1, 1], 6)):
        assert gram(laundered) == pytest.approx(gram(rows), abs=1e-12)


def test_the_trace_is_the_share_of_all_relabellings():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3))
    b = b + 0.5 * a
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (a, b)]
    c = unit[0] @ unit[1].T
    every = np.array([sum(c[i, p] for i, p in enumerate(order)) for order in itertools.permutations(range(5))])
    exact = np.mean(every >= every[0] - 1e-9)
    found = linear_trace(c, 5000, rng)
    assert found.statistic == pytest.approx(every[0] - every.mean())
    assert 10**found.log10_p == pytest.approx(exact, abs=5 * (exact * (1 - exact) / 5000) ** 0.5 + 1e-3)


def test_p_is_valid_where_nets_share_their_features_but_not_their_labels():
    """B holds A's own units, only in another order: no kinship that labels could show, and p is uniform."""
    rng = np.random.default_rng(0)
    found = {"trace": [], "mantel": []}
    for _ in range(300):
        a = rng.normal(size=(12, 5))
        b = (a + 0.3 * rng.normal(size=a.shape))[rng.permutation(12)]
        found["trace"].append(linear_trace(cosines(a, b), 39, rng).randomised(rng.random()))
        found["mantel"].append(mantel([(gram(a), gram(b))], 39, rng).randomised(rng.random()))
    for values in found.values():
        assert kstest(values, "uniform").pvalue > 0.01


def test_constant_grams_say_nothing():
    rng = np.random.default_rng(0)
    same = np.ones((6, 6))
    assert mantel([(same, same)], 19, rng).log10_p == 0.0
    assert mantel([(gram(np.zeros((6, 2))), gram(rng.normal(size=(6, 2))))], 19, rng).log10_p == 0.0


def test_no_draws_are_refused():
    with pytest.raises(UsageError, match=r"draws: 0 relabellings tell nothing. Ask for one at least."):
        monte_carlo(lambda orders: orders[:, 0] * 1.0, 4, 0, np.random.default_rng(0))


def test_units_whose_two_sides_resemble_each_other_agree_without_kinship():
    """The published count is far above chance on independent nets; relabelling the stream is not fooled."""
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(2):
        incoming = rng.normal(size=(64, 16))
        sides.append((incoming, 0.9 * incoming + 0.4 * rng.normal(size=incoming.shape)))
    incoming, outgoing = zip(*sides, strict=True)
    agreeing = agreement(incoming, outgoing, rng)
    assert published_log10_p(agreeing, 64) < -6
    assert stream_relabel(incoming, outgoing, 39, rng).log10_p > np.log10(0.05)


def test_a_child_with_its_units_shuffled_is_found_through_the_stream():
    rng = np.random.default_rng(0)
    a_in, a_out = rng.normal(size=(2, 48, 20))
    order, sign, scale = rng.permutation(48), rng.choice([-1, 1], 48), rng.uniform(0.5, 2, 48)
    b_in, b_out = a_in[order] * (sign * scale)[:, None], a_out[order] * (sign / scale)[:, None]
    assert agreement((a_in, b_in), (a_out, b_out), rng) == 48
    assert stream_relabel((a_in, b_in), (a_out, b_out), 39, rng).log10_p == pytest.approx(np.log10(1 / 40))
