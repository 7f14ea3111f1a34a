"""Sites and fits: normal scores, what a site costs, and fits that leave every vector one place."""

import numpy as np
import pytest
from batch_norm_nets import counted_net
from hypothesis import given
from hypothesis import strategies as st

from reknit.evidence.batch_norm_books import NOTHING, Placement
from reknit.evidence.batch_norm_moments import moments_after
from reknit.evidence.batch_norm_pieces import Unit
from reknit.evidence.batch_norm_sites import NO_VARIANCE, LooseBooks, normal_scores
from reknit.evidence.batch_norm_triples import Fit, best_fit, clearest_fits, ends_of
from reknit.evidence.convolution_taps import edge_sums
from strategies import seeds


@given(seeds, st.integers(2, 40))
def test_normal_scores_keep_the_order_and_nothing_else(seed, size):
    values = np.random.default_rng(seed).standard_normal(size)
    scores = normal_scores(values)
    np.testing.assert_array_equal(np.argsort(scores), np.argsort(values))
    np.testing.assert_allclose(normal_scores(np.exp(3 * values)), scores)
    assert np.isclose(np.linalg.norm(scores), 1)
    assert abs(scores.sum()) < 1e-9


def test_values_that_are_all_equal_say_nothing():
    assert not normal_scores(np.full(5, 2.0)).any()


def test_a_site_costs_less_when_its_features_go_together():
    rng = np.random.default_rng(0)
    gamma = rng.uniform(0.5, 2, 40)
    vectors = [gamma, rng.standard_normal(40), rng.standard_normal(40), gamma**2, rng.uniform(1, 2, 40)]
    books = LooseBooks([Unit(((40, 40),), True)], [rng.standard_normal((40, 40))], vectors)
    together, apart = (books.site((NOTHING, NOTHING, NOTHING, 0, variance, 2, 0, 1)) for variance in (3, 4))
    assert together < apart - 40
    assert books.site((NOTHING, NOTHING, NOTHING, 0, 1, 2, 0, 3)) > NO_VARIANCE / 2  # a variance below zero


def test_the_stream_only_gains_variance():
    rng = np.random.default_rng(1)
    low = rng.uniform(1, 2, 20)
    vectors = [low, 3 * low * rng.uniform(0.9, 1.1, 20), rng.permutation(3 * low)]
    books = LooseBooks([Unit(((20, 20),), True)], [np.ones((20, 20))], vectors)
    assert books.rise(0, 1) < books.rise(1, 0) - 10
    assert books.rise(0, 1) < books.rise(0, 2) - 10


def test_the_size_of_a_variance_does_not_make_an_error_small():
    units, convolutions, norms, start = counted_net("linear bottleneck", 2, seed=0)
    truth = np.arange(6).reshape(2, 3)
    totals = []
    for factor in (1.0, 100.0):
        vectors = [getattr(norm, name) for norm in norms for name in ("gamma", "beta", "mean")]
        vectors += [factor * norm.variance for norm in norms]
        books = LooseBooks(units, [piece.kernel for piece in convolutions], vectors, eps=0.0, start=start)
        numbers = Placement(truth, np.full((2, 3), NOTHING), 3 * truth, 3 * truth + 1, 3 * truth + 2, 18 + truth)
        totals.append(books.total(numbers))
    assert abs(totals[0] - totals[1]) < 1e-6 * abs(totals[0])


def test_kernels_that_share_hidden_units_are_bonded():
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal((2, 30, 30, 3))
    books = LooseBooks([Unit(((30, 30, 3),) * 2, True)], [first, second, np.moveaxis(first, 0, 1)], [np.ones(30)])
    assert books.bond((0, 2)).nats < -20
    assert -2 < books.bond((0, 1)).nats <= 0
    assert books.bond((0, 2)).squared == 0


@given(seeds)
def test_the_best_fit_is_that_of_the_vectors_the_mean_was_made_of(seed):
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal((10, 10, 3))
    vectors = [*rng.uniform(0.5, 1.5, (4, 10)), *rng.standard_normal((6, 10))]
    after = moments_after("relu", vectors[5], vectors[2] ** 2).mean
    vectors.append(edge_sums(kernel)[0] @ after)
    fit = best_fit(7, edge_sums(kernel)[:1], vectors, range(4), range(4, 11), range(4, 11), "relu")
    assert fit[1:] == (7, 2, 5, 10, -1)
    vectors[10] = vectors[10] + vectors[8]
    rise = best_fit(7, edge_sums(kernel)[:1], vectors, range(4), range(4, 10), range(4, 11), "relu", rise=int.__lt__)
    assert rise[1:] == (7, 2, 5, 10, 8)


def test_no_sizes_no_fit():
    assert best_fit(0, np.ones((1, 3, 3)), [np.ones(2)], [0], [0], [0], "relu") is None


def test_fits_are_taken_clearest_first_and_fitted_again_where_vectors_are_gone():
    options = {0: [Fit(-5, 0, 1, 2, 3)], 1: [Fit(-4, 1, 1, 5, 6), Fit(-1, 1, 4, 5, 6)], 2: [Fit(-2, 2, 7, 8, 9)]}

    def fit(kernel, taken):
        used = {number for entry in taken for number in entry[2:5]}
        return min((entry for entry in options[kernel] if not used & set(entry[2:5])), default=None)

    assert clearest_fits([0, 1, 2], 3, fit) == [options[0][0], options[2][0], options[1][1]]
    assert clearest_fits([0, 1, 2], 2, fit) == [options[0][0], options[2][0]]


def test_rises_lead_to_the_end_of_their_path():
    taken = [Fit(0, 0, 1, 2, 11, 10), Fit(0, 1, 3, 4, 12, 11), Fit(0, 2, 5, 6, 21, 20)]
    assert ends_of(taken) == {10: 12, 11: 12, 20: 21}


def test_a_fit_without_a_base_rises_from_nothing():
    assert ends_of([Fit(0, 0, 1, 2, 3)]) == {}
    assert pytest.approx(0) == Fit(0, 0, 1, 2, 3).error
