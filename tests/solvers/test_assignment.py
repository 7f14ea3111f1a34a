from itertools import permutations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from reknit.solvers.assignment import best_matching, doubly_standardised, edge_margins, sinkhorn

values = st.floats(-100, 100, allow_subnormal=False)


def squares(least=1, most=5, entries=values):
    return st.integers(least, most).flatmap(
        lambda n: st.lists(st.lists(entries, min_size=n, max_size=n), min_size=n, max_size=n).map(np.array)
    )


@given(squares())
def test_no_permutation_scores_higher_than_the_best_matching(scores):
    n = len(scores)
    totals = [scores[range(n), p].sum() for p in permutations(range(n))]
    columns = best_matching(scores)
    assert sorted(columns) == list(range(n))
    assert scores[range(n), columns].sum() >= max(totals) - 1e-9


@given(st.permutations(range(6)), st.randoms(use_true_random=False))
def test_a_planted_matching_is_found(planted, random):
    scores = np.array([[random.random() for _ in range(6)] for _ in range(6)])
    scores[range(6), planted] += 2
    assert best_matching(scores).tolist() == list(planted)


@given(squares(), st.randoms(use_true_random=False))
def test_margins_by_their_definition(scores, random):
    n = len(scores)
    columns = list(range(n))
    random.shuffle(columns)
    for i, margin in enumerate(edge_margins(scores, np.array(columns))):
        rivals = [scores[i, j] for j in range(n) if j != columns[i]]
        rivals += [scores[k, columns[i]] for k in range(n) if k != i]
        assert margin == (scores[i, columns[i]] - max(rivals) if rivals else np.inf)


@given(squares())
def test_scores_are_left_as_they_were(scores):
    before = scores.copy()
    edge_margins(scores, best_matching(scores))
    doubly_standardised(scores)
    sinkhorn(np.abs(scores))
    np.testing.assert_array_equal(scores, before)


@given(squares(2), st.integers(0, 4), values)
def test_raising_a_whole_row_or_column_changes_no_standardised_score(scores, index, height):
    standard = doubly_standardised(scores)
    assume(np.abs(standard).max() > 0)
    spread = (scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()).std(1).min()
    assume(spread > 1e-3)
    for axis in (0, 1):
        raised = scores.copy()
        np.moveaxis(raised, axis, 0)[index % len(scores)] += height
        np.testing.assert_allclose(doubly_standardised(raised), standard, atol=1e-5)


@given(squares())
def test_standardised_scores_have_deviation_one_or_are_zero(scores):
    standard = doubly_standardised(scores)
    assert np.isfinite(standard).all()
    assert standard.std() == 0 or abs(standard.std() - 1) < 1e-9


def test_a_constant_matrix_standardises_to_zero():
    for n in (1, 2, 5):
        assert not doubly_standardised(np.full((n, n), 3.7)).any()


@given(squares(2), st.randoms(use_true_random=False))
def test_standardising_follows_relabelled_rows_and_columns(scores, random):
    rows, columns = list(range(len(scores))), list(range(len(scores)))
    random.shuffle(rows)
    random.shuffle(columns)
    standard = doubly_standardised(scores)
    spread = (scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()).std()
    assume(spread > 1e-3)
    np.testing.assert_allclose(
        doubly_standardised(scores[np.ix_(rows, columns)]), standard[np.ix_(rows, columns)], atol=1e-5
    )


@given(squares(entries=st.floats(0.1, 10)))
def test_sinkhorn_makes_rows_and_columns_sum_to_one(weights):
    plan = sinkhorn(weights)
    assert (plan > 0).all()
    np.testing.assert_allclose(plan.sum(0), 1, atol=1e-12)
    np.testing.assert_allclose(plan.sum(1), 1, atol=1e-4)


@given(squares(2, entries=st.floats(0.1, 10)))
def test_sinkhorn_keeps_every_cross_ratio(weights):
    plan = sinkhorn(weights, rounds=200)
    ratio = weights[0, 0] * weights[1, 1] / (weights[0, 1] * weights[1, 0])
    assert np.isclose(plan[0, 0] * plan[1, 1] / (plan[0, 1] * plan[1, 0]), ratio)


@given(st.integers(1, 6).flatmap(lambda n: st.permutations(range(n))))
def test_sinkhorn_of_a_permutation_is_that_permutation(order):
    matrix = np.eye(len(order))[list(order)]
    np.testing.assert_allclose(sinkhorn(matrix), matrix, atol=1e-6)
