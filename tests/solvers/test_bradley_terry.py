from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from reknit.solvers.bradley_terry import bradley_terry

tables = st.integers(1, 7).flatmap(
    lambda n: st.lists(st.lists(st.floats(0, 5), min_size=n, max_size=n), min_size=n, max_size=n).map(np.array)
)


def log_posterior(wins, strengths, precision):
    """The definition, summed pair by pair."""
    total = -precision / 2 * sum(s * s for s in strengths)
    for i in range(len(wins)):
        for j in range(len(wins)):
            if i != j:
                total += wins[i, j] * np.log(1 / (1 + np.exp(strengths[j] - strengths[i])))
    return total


@given(st.permutations(range(6)), st.floats(0.51, 1.0))
def test_consistent_comparisons_give_their_order(order, chance):
    wins = np.zeros((6, 6))
    for place, winner in enumerate(order):
        for loser in order[place + 1 :]:
            wins[winner, loser], wins[loser, winner] = chance, 1 - chance
    strengths = bradley_terry(wins)
    assert all(strengths[a] > strengths[b] for a, b in pairwise(order))


@given(tables, st.randoms(use_true_random=False))
def test_labels_do_not_matter(wins, random):
    labels = list(range(len(wins)))
    random.shuffle(labels)
    renamed = bradley_terry(wins[np.ix_(labels, labels)], precision=0.1)
    np.testing.assert_allclose(renamed, bradley_terry(wins, precision=0.1)[labels], atol=1e-7)


@given(tables)
def test_turning_every_comparison_round_turns_the_strengths_round(wins):
    np.testing.assert_allclose(bradley_terry(wins.T, precision=0.1), -bradley_terry(wins, precision=0.1), atol=1e-7)


@given(tables)
def test_strengths_have_mean_zero_and_the_diagonal_is_left_aside(wins):
    strengths = bradley_terry(wins, precision=0.1)
    assert abs(strengths.sum()) < 1e-9
    np.testing.assert_array_equal(strengths, bradley_terry(wins + np.diag(np.arange(len(wins)) + 1.0), precision=0.1))


@given(st.lists(st.floats(0, 4), min_size=6, max_size=6))
def test_three_items_against_a_search_of_the_likelihood(counts):
    wins = np.zeros((3, 3))
    wins[~np.eye(3, dtype=bool)] = counts
    found = bradley_terry(wins, precision=0.5)
    best = minimize(lambda s: -log_posterior(wins, s, 0.5), np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9})
    assert log_posterior(wins, found, 0.5) >= -best.fun - 1e-9
    rng = np.random.default_rng(0)
    for other in found + rng.normal(scale=0.3, size=(30, 3)):
        assert log_posterior(wins, found, 0.5) >= log_posterior(wins, other, 0.5)


def test_strengths_that_made_the_chances_are_found_again():
    truth = np.array([1.5, -0.2, 0.4, -1.7])
    chances = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
    np.testing.assert_allclose(bradley_terry(chances, precision=1e-10), truth, atol=1e-6)


def test_more_wins_alone_do_not_make_an_item_strong():
    # item 0 beats item 2 often; item 1 beats item 0 once: the plain number of wins would put 0 first
    wins = np.array([[0.0, 1.0, 9.0], [4.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert np.argmax(bradley_terry(wins)) == 1


@pytest.mark.parametrize("n", [0, 1, 3])
def test_nothing_to_compare(n):
    assert bradley_terry(np.zeros((n, n))).tolist() == [0.0] * n
