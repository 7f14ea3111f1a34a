from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reknit.solvers.ordering import fiedler_order, inversions, moved, sort_by_position

orders = st.integers(0, 8).flatmap(lambda n: st.permutations(range(n)))
pairs_of_orders = st.integers(0, 8).flatmap(lambda n: st.tuples(st.permutations(range(n)), st.permutations(range(n))))


def robinson(places, reach):
    """A similarity that falls with the distance of two places."""
    return np.exp(-np.abs(places[:, None] - places[None, :]) / reach)


@given(pairs_of_orders)
def test_inversions_counted_pair_by_pair(both):
    order, reference = both
    expected = sum(
        (order.index(a) < order.index(b)) != (reference.index(a) < reference.index(b))
        for a, b in combinations(range(len(order)), 2)
    )
    assert inversions(order, reference) == expected == inversions(reference, order)


@given(orders)
def test_an_order_has_no_inversions_with_itself_and_all_with_its_reverse(order):
    assert inversions(order, order) == 0
    assert inversions(order, order[::-1]) == len(order) * (len(order) - 1) // 2


@given(pairs_of_orders)
def test_relabelling_both_orders_changes_no_inversion(both):
    order, reference = both
    names = [f"piece {item * 7 % 11}" for item in range(len(order))]
    assert inversions([names[i] for i in order], [names[i] for i in reference]) == inversions(order, reference)


@given(st.lists(st.floats(allow_nan=False), max_size=9))
def test_sorting_is_stable(positions):
    expected = sorted(range(len(positions)), key=lambda k: positions[k])
    assert sort_by_position(np.array(positions)) == expected


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.permutations(range(n)), *[st.integers(0, n - 1)] * 2)))
def test_a_moved_item_stands_where_it_was_sent_and_the_others_keep_their_order(case):
    order, source, target = case
    result = moved(order, source, target)
    item = order[source]
    assert result[target] == item
    assert [i for i in result if i != item] == [i for i in order if i != item]
    assert moved(result, target, source) == list(order)
    assert inversions(result, order) == abs(source - target)


@given(
    st.lists(st.floats(0.2, 3), min_size=2, max_size=9),
    st.floats(0.5, 5),
    st.randoms(use_true_random=False),
)
def test_seriation_of_a_similarity_that_falls_with_distance(steps, reach, random):
    places = np.concatenate([[0.0], np.cumsum(steps)])
    shuffled = list(range(len(places)))
    random.shuffle(shuffled)
    similarity = robinson(places, reach)[np.ix_(shuffled, shuffled)]
    found = [shuffled[k] for k in fiedler_order(similarity)]
    assert found in (sorted(found), sorted(found, reverse=True))


@given(st.integers(0, 2))
def test_too_few_items_for_a_direction_stay_as_they_are(n):
    assert fiedler_order(np.ones((n, n))).tolist() == list(range(n))


def test_seriation_of_nothing_alike_is_still_an_order():
    for similarity in (np.zeros((5, 5)), np.ones((5, 5)), np.eye(5)):
        before = similarity.copy()
        assert sorted(fiedler_order(similarity)) == list(range(5))
        np.testing.assert_array_equal(similarity, before)


def test_the_diagonal_does_not_matter():
    similarity = robinson(np.array([0.0, 2.0, 3.0, 7.0, 8.0]), 2.0)
    assert fiedler_order(similarity).tolist() == fiedler_order(similarity + 9 * np.eye(5)).tolist()
