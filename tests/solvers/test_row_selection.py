import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reknit.errors import UsageError
from reknit.solvers.row_selection import (
    CHOICES,
    _facility_location,
    inclusion_probabilities,
    leverage_scores,
    select_rows,
    whitened,
)


@st.composite
def tables(draw):
    """Features of some rank, also zero, with repeated rows and columns of very different size."""
    n, d = draw(st.integers(0, 30)), draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rank = draw(st.integers(0, d))
    features = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) * 10.0 ** rng.integers(-3, 4, d)
    if n and draw(st.booleans()):
        features[rng.integers(n, size=n // 2)] = features[0]
    return features


@given(tables(), st.integers(0, 35), st.sampled_from(sorted(CHOICES)), st.integers(0, 1000))
def test_as_many_different_rows_as_are_wanted_and_the_same_by_the_same_seed(features, count, choice, seed):
    found = select_rows(features, count, choice, np.random.default_rng(seed))
    assert len(found.rows) == len(set(found.rows.tolist())) == len(found.weights) == min(count, len(features))
    assert set(found.rows.tolist()) <= set(range(len(features)))
    assert (found.weights >= 0).all()
    again = select_rows(features, count, choice, np.random.default_rng(seed))
    np.testing.assert_array_equal(found.rows, again.rows)
    np.testing.assert_array_equal(found.weights, again.weights)


def test_uniform_rows_are_those_that_were_always_drawn():
    found = select_rows(np.ones((100, 3)), 7, "uniform", np.random.default_rng(5))
    np.testing.assert_array_equal(found.rows, np.random.default_rng(5).choice(100, 7, replace=False))
    assert found.weights.tolist() == [pytest.approx(100 / 7)] * 7


def test_an_unknown_choice_is_told_the_known_ones():
    with pytest.raises(UsageError, match=r"no choice 'best' of rows\. Choose one of uniform, leverage, whitened\."):
        select_rows(np.ones((3, 1)), 1, "best", np.random.default_rng(0))


@given(tables())
def test_leverage_is_the_diagonal_of_the_projection(features):
    scores = leverage_scores(features)
    lengths = np.linalg.norm(features, axis=0)
    scaled = features / np.where(lengths > 0, lengths, 1)
    expected = np.diagonal(scaled @ np.linalg.pinv(scaled, rcond=1e-9))
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_leverage_survives_an_invertible_change_of_the_columns(d, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(20, d))
    change = np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.1, 10, d)
    scores = leverage_scores(features)
    np.testing.assert_allclose(leverage_scores(features @ change), scores, atol=1e-8)
    assert scores.sum() == pytest.approx(d)


@given(st.lists(st.sampled_from([0.0, 1e-6, 0.1, 0.5, 3.0, 100.0]), min_size=1, max_size=20), st.data())
def test_probabilities_are_proportional_but_for_those_that_are_certain(scores, data):
    scores = np.array(scores)
    count = data.draw(st.integers(1, len(scores)))
    chances = inclusion_probabilities(scores, count)
    assert chances.sum() == pytest.approx(count)
    assert (chances >= 0).all()
    assert (chances <= 1).all()
    open_ = (chances < 1 - 1e-12) & (scores > 0)
    if (scores > 0).sum() > count and open_.any():
        ratios = chances[open_] / scores[open_]
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
        assert (scores[~open_ & (scores > 0)] * ratios[0] >= 1 - 1e-9).all()


@pytest.mark.parametrize("count", [4, 11])
def test_the_marginals_are_the_probabilities(count):
    rng = np.random.default_rng(2)
    features = rng.normal(size=(24, 3)) * rng.exponential(size=(24, 1))
    chances = inclusion_probabilities(leverage_scores(features), count)
    draws, hits = 1000, np.zeros(24)
    for _ in range(draws):
        found = select_rows(features, count, "leverage", rng)
        hits[found.rows] += 1
        np.testing.assert_allclose(found.weights, 1 / chances[found.rows])
    error = np.sqrt(np.maximum(chances * (1 - chances), 1e-12) / draws)
    z = (hits / draws - chances) / error
    assert np.abs(z).max() < 4.5
    assert (hits[chances == 1] == draws).all()


def test_rows_that_are_near_each_other_exclude_one_another():
    place = np.linspace(-1, 1, 64)
    features = np.stack([np.ones(64), 1e-3 * place], 1)  # nearly even chances: 8 rows of each eighth in expectation one
    rng = np.random.default_rng(0)
    spreads = {}
    for choice in ("uniform", "leverage"):
        counts = [np.bincount(select_rows(features, 8, choice, rng).rows // 8, minlength=8) for _ in range(200)]
        spreads[choice] = np.var(counts, axis=0).mean()
    assert spreads["leverage"] < 0.35 * spreads["uniform"]


def test_weighted_sums_over_leverage_rows_are_unbiased():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(40, 3)) * rng.exponential(size=(40, 1))
    values = rng.normal(size=40) + 1
    drawn = [select_rows(features, 12, "leverage", rng) for _ in range(800)]
    sums = np.array([found.weights @ values[found.rows] for found in drawn])
    assert abs(sums.mean() - values.sum()) < 4.5 * sums.std() / np.sqrt(len(sums))


@given(tables())
def test_whitened_columns_are_uncorrelated_with_variance_one(features):
    if len(features):
        points = whitened(features)
        np.testing.assert_allclose(points.T @ points / len(features), np.eye(points.shape[1]), atol=1e-6)


@settings(max_examples=40)
@given(st.integers(1, 7), st.integers(1, 6), st.data())
def test_greedy_cover_takes_the_largest_gain_every_time(rows, targets, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    worth = rng.integers(0, 4, (rows, targets)).astype(np.float32)
    count = data.draw(st.integers(1, rows))
    chosen = _facility_location(worth, count).tolist()
    best = np.zeros(targets)
    for k, row in enumerate(chosen):
        gains = np.maximum(worth - best, 0).sum(1)
        assert gains[row] == gains[[r for r in range(rows) if r not in chosen[:k]]].max()
        best = np.maximum(best, worth[row])
    assert len(set(chosen)) == count


def test_whitened_rows_come_from_every_cluster():
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(6)
    label = np.repeat(np.arange(6), 30)  # six uniform rows are one of each with a chance of 1.5 %
    features = centres[label] + 0.1 * rng.normal(size=(180, 6))
    found = select_rows(features, 6, "whitened", np.random.default_rng(1))
    assert sorted(label[found.rows].tolist()) == list(range(6))
    assert found.weights.sum() == pytest.approx(180)


def rows_needed(sampler, degree, target, sizes):
    """The fewest rows with which the median error of a polynomial fit is below ``target`` times the best one."""
    place = np.linspace(-1, 1, 2000)
    features = np.polynomial.legendre.legvander(place, degree)
    values = np.abs(place - 0.3) + 0.2 * np.sin(30 * place)
    best = np.linalg.norm(features @ np.linalg.lstsq(features, values, rcond=None)[0] - values) ** 2
    rng = np.random.default_rng(0)
    for size in sizes:
        errors = []
        for _ in range(60):
            rows, weights = sampler(features, size, rng)
            root = np.sqrt(weights)[:, None]
            fit = np.linalg.lstsq(root * features[rows], root[:, 0] * values[rows], rcond=None)[0]
            errors.append(np.linalg.norm(features @ fit - values) ** 2)
        if np.median(errors) <= target * best:
            return size
    return None


@pytest.mark.slow
def test_dependent_leverage_sampling_needs_fewer_rows_than_independent():
    """The claim of arXiv 2310.04966 (up to half the rows): polynomials of degree 15, error at most 1.5 of the best."""

    def pivotal(features, size, rng):
        found = select_rows(features, size, "leverage", rng)
        return found.rows, found.weights

    def independent(features, size, rng):
        chances = inclusion_probabilities(leverage_scores(features), size)
        rows = np.flatnonzero(rng.random(len(features)) < chances)
        return rows, 1 / chances[rows]

    def uniform(features, size, rng):
        found = select_rows(features, size, "uniform", rng)
        return found.rows, found.weights

    sizes = [round(16 * 1.1**k) for k in range(40)]
    needed = {s.__name__: rows_needed(s, 15, 1.5, sizes) for s in (pivotal, independent, uniform)}
    assert needed == {"pivotal": 38, "independent": 55, "uniform": 81}
