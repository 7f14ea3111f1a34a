"""CKA, CCA and leading directions of two sites: textbook formulas, invariances, intervals that hold, words for less."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.match import likeness
from reknit.match.cka import cka, linear_kernel, u_centred, unbiased_hsic
from reknit.match.likeness import (
    Representation,
    cca_between,
    cka_between,
    leading_between,
    projector_distance,
)
from reknit.match.stochastic_cca import exact_cca
from reknit.match.subspace import principal_angles

seeds = st.integers(0, 10**6)


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def related(seed, rows=40, units=5, positions=1):
    x = drawn(seed, rows, positions, units) * np.linspace(3, 0.5, units)
    return Representation(x), Representation(
        np.tanh(x @ drawn([seed, 1], units, units)) + 0.3 * drawn([seed, 2], *x.shape)
    )


@given(seed=seeds)
def test_u_centred_kernels_multiply_to_the_u_statistic(seed):
    k, m = (linear_kernel(drawn([seed, part], 7, 3)) for part in (0, 1))
    assert (u_centred(k) * u_centred(m)).sum() / (7 * 4) == pytest.approx(unbiased_hsic(k, m))


@given(seed=seeds)
def test_cka_is_that_of_all_rows_and_turns_change_nothing(seed):
    a, b = related(seed)
    found = cka_between(a, b)
    assert found.value == pytest.approx(cka(a.values[:, 0], b.values[:, 0]))
    assert found.low <= found.value <= found.high
    turn = np.linalg.qr(drawn([seed, 3], 5, 5))[0]
    turned = cka_between(Representation(2 * a.values @ turn + 1), b)
    assert (turned.value, turned.low) == pytest.approx((found.value, found.low))
    back = cka_between(b, a)
    assert (back.value, back.high) == pytest.approx((found.value, found.high))


def test_cka_by_hand():
    """Three units against one, five rows, the sums of the U-statistic written out."""
    x = np.array([[1.0, 0, 2], [0, 1, 1], [2, 2, 0], [3, 0, 1], [1, 1, 4]])
    y = np.array([[0.0], [1], [3], [2], [1]])
    k, m = (z @ z.T - np.diag(np.diag(z @ z.T)) for z in (x - x.mean(0), y - y.mean(0)))

    def hsic(a, b):
        one = np.ones(5)
        return np.trace(a @ b) + one @ a @ one * (one @ b @ one) / 12 - 2 / 3 * one @ a @ b @ one

    found = cka_between(Representation(x[:, None]), Representation(y[:, None]))
    assert found.value == pytest.approx(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)))


@pytest.mark.parametrize("positions", [1, 3])
def test_intervals_of_cka_hold_the_true_one(positions):
    """Rows of positions that are nearly alike: taken as independent, intervals would be far too narrow."""
    mix = drawn(0, 4, 4)

    def seen(seed, rows):
        shared = drawn([seed, 0], rows, 1, 4) + 0.1 * drawn([seed, 1], rows, positions, 4)
        return Representation(shared), Representation(shared @ mix + 2 * drawn([seed, 2], rows, 1, 4))

    truth = np.mean([cka_between(*seen(900 + seed, 160)).value for seed in range(40)])
    found = [cka_between(*seen(seed, 100)) for seed in range(60)]
    held = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.86 <= held <= 1  # .95, three standard errors below
    assert np.mean([each.high - each.low for each in found]) < 0.3


def test_few_rows_have_no_interval_and_fewer_none_at_all():
    a, b = related(0, rows=10)
    assert np.isnan(cka_between(a, b).low)
    assert cka_between(*related(0, rows=3)) is None
    assert cka_between(Representation(np.ones((30, 1, 4))), related(0, rows=30, units=4)[1]) is None


@given(seed=seeds)
def test_cca_is_the_exact_one_and_no_invertible_map_changes_it(seed):
    a, b = related(seed)
    found = cca_between(a, b)
    assert (found.how, found.count) == ("exact", 5)
    assert found.value == pytest.approx(np.square(exact_cca(a.values[:, 0], b.values[:, 0]).correlations).mean())
    mapped = Representation(a.values @ (drawn([seed, 4], 5, 5) + 4 * np.eye(5)))
    assert cca_between(mapped, b).value == pytest.approx(found.value)
    assert cca_between(b, a).value == pytest.approx(found.value)


def test_unrelated_rows_have_the_cca_of_chance():
    found = [
        cca_between(Representation(drawn([s, 0], 60, 1, 4)), Representation(drawn([s, 1], 60, 1, 7)))
        for s in range(200)
    ]
    assert np.mean([each.value for each in found]) == pytest.approx(found[0].chance, rel=0.05)
    assert found[0].chance == 7 / 59


def test_units_that_do_not_vary_are_left_out_of_cca():
    a, b = related(0)
    padded = Representation(np.concatenate([a.values, np.full((40, 1, 50), 3.0)], 2))
    assert cca_between(padded, b) == cca_between(a, b)
    assert int((~padded.varies).sum()) == 50


def test_cca_says_nothing_of_more_units_than_rows():
    found = cca_between(*related(0, rows=9, units=5))
    assert found.value is None
    assert found.reason == "9 rows and positions say nothing of 5 + 5 units: some would correlate anyway"
    nothing = cca_between(Representation(np.ones((9, 1, 2))), related(0)[0])
    assert (nothing.value, nothing.reason) == (None, "one of the two does not vary")


def test_wide_sites_have_stochastic_cca_which_is_never_above_the_exact_one(monkeypatch):
    a, b = related(0, rows=600, units=6)
    exact = cca_between(a, b)
    monkeypatch.setattr(likeness, "EXACT_UNITS", 5)
    monkeypatch.setattr(likeness, "COMPONENTS", 3)
    found = cca_between(a, b)
    assert (found.how, found.count) == ("stochastic", 3)
    largest = np.square(exact_cca(a.flat, b.flat).correlations[:3]).mean()
    assert exact.value < found.value <= largest + 1e-9
    assert found.value == pytest.approx(largest, rel=0.05)


@given(seed=seeds, wide=st.booleans())
def test_leading_directions_agree_by_the_angles_of_their_scores(seed, wide):
    a, b = related(seed, units=70 if wide else 5)
    found = leading_between(a, b, None)
    tops = [np.linalg.svd(z.values[:, 0] - z.values[:, 0].mean(0))[0][:, : found.rank] for z in (a, b)]
    assert found.agreement == pytest.approx(np.mean(np.cos(principal_angles(*tops)) ** 2))
    turn = np.linalg.qr(drawn([seed, 3], *[a.values.shape[2]] * 2))[0]
    turned = leading_between(Representation(a.values @ turn), b, None)
    assert (turned.rank, turned.agreement) == pytest.approx((found.rank, found.agreement))
    if not wide:
        bases = [np.linalg.svd(z.values[:, 0] - z.values[:, 0].mean(0))[2][: found.rank].T for z in (a, b)]
        expected = np.sqrt(2 * np.square(np.sin(principal_angles(*bases))).sum())
        assert found.before == pytest.approx(expected, abs=1e-6)


def test_the_same_subspace_lies_within_its_region_and_a_turned_one_does_not():
    x = drawn(0, 300, 1, 6) * np.array([5, 4, 1, 1, 1, 1.0])
    again = x + 0.01 * drawn(1, 300, 1, 6)
    found = leading_between(Representation(x), Representation(x[..., ::-1].copy()), Representation(again))
    assert found.rank == 2
    assert found.after < found.radius < found.before == pytest.approx(2, abs=0.1)
    assert not found.vacuous
    assert found.unrelated == pytest.approx(np.sqrt(2 * 2 * (1 - 2 / 6)))
    assert projector_distance(np.eye(4)[:, :2], np.eye(4)[:, 2:]) == pytest.approx(2)


def test_regions_that_say_nothing_say_so():
    flat = Representation(drawn(0, 40, 1, 200))
    assert leading_between(flat, flat, None).vacuous
    few = leading_between(*related(0, rows=12), None)
    assert (few.radius, few.reason) == (None, "12 rows are too few")
    alone = leading_between(*related(0, units=1), None)
    assert (alone.rank, alone.radius, alone.reason) == (1, None, "all directions lead")
    assert leading_between(Representation(np.ones((30, 1, 4))), flat, None) is None
