"""Subspaces: known angles, agreement that no basis changes, regions that hold the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import InputError, UsageError
from reknit.match.subspace import leading_agreement, principal_angles, subspace_region

seeds = st.integers(0, 10**6)


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@given(seed=seeds, angles=st.lists(st.floats(0, np.pi / 2), min_size=1, max_size=3))
def test_planted_angles_are_found(seed, angles):
    k = len(angles)
    frame = np.linalg.qr(drawn(seed, 2 * k + 1, 2 * k + 1))[0]
    first, aside = frame[:, :k], frame[:, k : 2 * k]
    second = first * np.cos(angles) + aside * np.sin(angles)
    mixed = second @ (drawn([seed, 1], k, k) + 4 * np.eye(k))
    np.testing.assert_allclose(principal_angles(first, mixed), sorted(angles), atol=1e-7)


@given(seed=seeds, rank=st.integers(1, 4))
def test_agreement_is_one_of_a_matrix_with_itself_at_any_scale_and_sign(seed, rank):
    w = drawn(seed, 6, 4)
    found = leading_agreement(w, -3 * w, rank)
    assert (found.left, found.right) == pytest.approx((1, 1))
    assert (found.left_chance, found.right_chance) == (rank / 6, rank / 4)


@given(seed=seeds, rank=st.integers(1, 4))
def test_agreement_by_angles(seed, rank):
    first, second = drawn(seed, 6, 4), drawn([seed, 1], 6, 4)
    bases = [np.linalg.svd(w)[0][:, :rank] for w in (first, second)]
    expected = np.mean(np.cos(principal_angles(*bases)) ** 2)
    assert leading_agreement(first, second, rank).left == pytest.approx(expected, abs=1e-8)
    assert leading_agreement(first.T, second.T, rank).right == pytest.approx(expected, abs=1e-8)


def test_random_matrices_agree_as_chance_has_it():
    found = [leading_agreement(drawn([s, 0], 12, 12), drawn([s, 1], 12, 12), 3).left for s in range(300)]
    assert np.mean(found) == pytest.approx(3 / 12, abs=0.02)


def spiked(seed, rows, d=8):
    return drawn(seed, rows, d) * np.sqrt([4.0, 3.0, *[0.5] * (d - 2)]) + 7


def test_regions_hold_the_truth_as_often_as_they_say():
    truth = np.eye(8)[:, :2]
    held = [truth in subspace_region(spiked(seed, 200), 2, level=0.8, draws=99, seed=seed) for seed in range(200)]
    assert np.mean(held) == pytest.approx(0.8, abs=0.09)  # three standard errors of 200 draws


@given(seed=seeds)
def test_a_turned_sample_has_the_turned_region(seed):
    x, turn = spiked(seed, 30), np.linalg.qr(drawn([seed, 1], 8, 8))[0]
    plain, turned = (subspace_region(z, 2, draws=20, seed=1) for z in (x, x @ turn))
    assert turned.radius == pytest.approx(plain.radius, rel=1e-6)
    assert turned.distance(turn.T @ plain.basis) == pytest.approx(0, abs=1e-6)


def test_more_rows_and_lower_levels_give_smaller_regions():
    x = spiked(0, 3000)
    few, many = subspace_region(x[:100], 2), subspace_region(x, 2)
    assert many.radius < few.radius / 3
    assert few.at(0.5).radius == subspace_region(x[:100], 2, level=0.5).radius < few.radius
    assert not few.vacuous
    assert many.gap > 0.4


def test_without_a_gap_a_region_says_nothing_and_tells():
    assert subspace_region(drawn(0, 30, 8), 2).vacuous


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: principal_angles(np.eye(3), np.eye(4)), InputError, "do not lie in one space"),
        (lambda: principal_angles(np.eye(3), np.full((3, 1), np.nan)), InputError, "not every number is finite"),
        (lambda: leading_agreement(np.eye(3), np.eye(4), 1), InputError, "are not comparable"),
        (lambda: leading_agreement(np.eye(3), np.eye(3), 4), UsageError, "no 4 leading directions. Give 1 to 3"),
        (lambda: leading_agreement(np.eye(3), np.full((3, 3), np.inf), 1), InputError, "not every number is finite"),
        (lambda: subspace_region(np.eye(5), 5), UsageError, "for 5 of 5 directions"),
        (lambda: subspace_region(np.eye(5), 1, level=1), UsageError, "no region of level 1. Give one between 0 and 1"),
        (lambda: subspace_region(np.eye(3), 2), InputError, "3 rows are too few"),
    ],
)
def test_words(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_angles_to_nothing_are_none():
    assert not len(principal_angles(np.zeros((3, 0)), np.eye(3)))


@given(seed=seeds)
def test_rows_that_belong_together_are_one(seed):
    """A region of rows repeated four times, in groups, is that of the rows."""
    x = spiked(seed, 30)
    plain = subspace_region(x, 2, draws=20)
    again = subspace_region(np.repeat(x, 4, axis=0), 2, draws=20, groups=np.repeat(np.arange(30) * 7, 4))
    assert again.radius == pytest.approx(plain.radius)


def test_as_many_rows_as_positions_would_be_too_sure():
    x = np.repeat(spiked(0, 200), 4, axis=0)
    apart, together = subspace_region(x, 2), subspace_region(x, 2, groups=np.repeat(np.arange(200), 4))
    assert apart.radius == pytest.approx(together.radius / 2, rel=0.2)


def test_wide_regions_are_those_of_every_draw_decomposed_where_the_gap_is_large(monkeypatch):
    x = spiked(0, 2000)
    exact = subspace_region(x, 2, draws=200)
    monkeypatch.setattr("reknit.match.subspace.EXACT", 1)
    np.testing.assert_allclose(subspace_region(x, 2, draws=200).distances, exact.distances, rtol=0.1)


def test_wide_regions_hold_the_truth_as_often_as_they_say(monkeypatch):
    monkeypatch.setattr("reknit.match.subspace.EXACT", 1)
    truth = np.eye(8)[:, :2]
    held = [truth in subspace_region(spiked(seed, 200), 2, level=0.8, draws=99, seed=seed) for seed in range(120)]
    assert np.mean(held) == pytest.approx(0.8, abs=0.11)  # three standard errors of 120 draws
