"""Many sets matched at once: cycles always close, exact pairs are kept, corrupted ones are outvoted."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reknit.errors import InputError
from reknit.solvers import barycentre
from reknit.solvers.barycentre import consistent_matching

FEW = settings(max_examples=20)
seeds = st.integers(0, 10_000)


def planted(rng, sets, items, corrupted=0.0):
    """True labels, and pairwise permutation matrices of which a share is drawn at random instead."""
    labels = np.stack([rng.permutation(items) for _ in range(sets)])
    scores = np.zeros((sets, sets, items, items))
    for i, j in itertools.combinations(range(sets), 2):
        columns = rng.permutation(items) if rng.random() < corrupted else np.argsort(labels[j])[labels[i]]
        scores[i, j, np.arange(items), columns] = 1
        scores[j, i] = scores[i, j].T
    return labels, scores


def agreement(scores, labels):
    """As the file's head writes it."""
    pairs = itertools.combinations(range(len(labels)), 2)
    matched = ((i, j, a, int(np.argsort(labels[j])[labels[i, a]])) for i, j in pairs for a in range(labels.shape[1]))
    return sum((scores[i, j, a, b] + scores[j, i, b, a]) / 2 for i, j, a, b in matched)


@FEW
@given(st.integers(0, 5), st.integers(0, 6), seeds)
def test_cycles_close_whatever_was_given(sets, items, seed):
    scores = np.random.default_rng(seed).normal(size=(sets, sets, items, items))
    found = consistent_matching(scores)
    assert found.labels.shape == found.margins.shape == (sets, items)
    for i, j, k in itertools.product(range(sets), repeat=3):
        assert sorted(found.matching(i, j)) == list(range(items))
        np.testing.assert_array_equal(found.matching(j, k)[found.matching(i, j)], found.matching(i, k))
    assert found.agreement == pytest.approx(agreement(scores, found.labels))
    assert found.agreement >= found.spectral - 1e-9
    assert not sets or found.labels[0].tolist() == list(range(items))


@FEW
@given(st.integers(1, 6), st.integers(1, 7), seeds)
def test_exact_pairs_are_the_answer(sets, items, seed):
    labels, scores = planted(np.random.default_rng(seed), sets, items)
    found = consistent_matching(scores)
    np.testing.assert_array_equal(found.labels, np.argsort(labels[0])[labels])
    assert found.agreement == pytest.approx(sets * (sets - 1) / 2 * items)
    if items > 1:
        np.testing.assert_allclose(found.margins, sets - 1)


@FEW
@given(seeds)
def test_new_names_of_items_rename_the_answer(seed):
    rng = np.random.default_rng(seed)
    _, scores = planted(rng, 5, 6, corrupted=0.2)
    scores = scores + 0.1 * rng.random(scores.shape)
    plain = consistent_matching(scores)
    orders = [rng.permutation(6) for _ in range(5)]
    renamed = np.stack([[scores[i, j][orders[i]][:, orders[j]] for j in range(5)] for i in range(5)])
    other = consistent_matching(3 * renamed)
    assert other.agreement == pytest.approx(3 * plain.agreement)
    np.testing.assert_array_equal(orders[1][other.matching(0, 1)], plain.matching(0, 1)[orders[0]])


def test_few_sets_are_matched_as_brute_force_matches_them():
    missed = 0
    for seed in range(10):
        scores = np.random.default_rng(seed).normal(size=(3, 3, 4, 4))
        orders = [np.array(order) for order in itertools.permutations(range(4))]
        best = max(agreement(scores, np.stack([np.arange(4), *pair])) for pair in itertools.product(orders, repeat=2))
        found = consistent_matching(scores).agreement
        assert found <= best + 1e-9
        missed += found < best - 1e-9
    assert missed <= 3, f"{missed} of 10 missed"


@pytest.mark.parametrize(("sets", "corrupted", "least"), [(10, 0.3, 1.0), (20, 0.5, 0.95)])
def test_corrupted_pairs_are_outvoted(sets, corrupted, least):
    right = []
    for seed in range(5):
        labels, scores = planted(np.random.default_rng(seed), sets, 10, corrupted)
        right.append((consistent_matching(scores).labels == np.argsort(labels[0])[labels]).mean())
    assert min(right) >= least


def test_the_first_set_is_nothing_special():
    """All that is said of it is wrong: the others are matched all the same."""
    rng = np.random.default_rng(0)
    labels, scores = planted(rng, 6, 8)
    for j in range(1, 6):
        scores[0, j] = np.eye(8)[rng.permutation(8)]
        scores[j, 0] = scores[0, j].T
    found = consistent_matching(scores)
    for i, j in itertools.permutations(range(1, 6), 2):
        np.testing.assert_array_equal(found.matching(i, j), np.argsort(labels[j])[labels[i]])
    assert found.margins[1:].min() > found.margins[0].max()


def test_the_best_of_many_references_is_taken(monkeypatch):
    tables = [planted(np.random.default_rng(seed), 10, 10, 0.5)[1] for seed in range(3)]
    many = [consistent_matching(scores).spectral for scores in tables]
    monkeypatch.setattr(barycentre, "REFERENCES", 1)
    one = [consistent_matching(scores).spectral for scores in tables]
    assert all(a <= b for a, b in zip(one, many, strict=True))
    assert sum(one) < sum(many)


def test_what_cannot_be_told_has_no_margin():
    found = consistent_matching(np.zeros((3, 3, 2, 2)))
    assert found.margins.tolist() == np.zeros((3, 2)).tolist()


def test_what_is_no_table_of_scores_is_refused():
    with pytest.raises(
        InputError, match=r"^scores: scores of shape \(2, 3, 4, 4\)\. Give sets x sets x items x items\.$"
    ):
        consistent_matching(np.zeros((2, 3, 4, 4)))
    with pytest.raises(InputError, match=r"^scores: a score is infinite or not a number\. Give finite scores\.$"):
        consistent_matching(np.full((1, 1, 1, 1), np.nan))
