"""Unit Grams: numpy as the oracle, what leaves them as they are, planted units, noise comes out as nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reknit.evidence.standardise import standardised
from reknit.evidence.unit_grams import unit_gram_scores


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def planted(seed, pairs=5, units=24):
    """Pairs of matrices whose units lie alike, each pair in its own way."""
    rng = np.random.default_rng(seed)
    sides: tuple[list, list] = ([], [])
    for _ in range(pairs):
        shared = rng.normal(size=(units, 4))
        for side, rest in zip(sides, (9, 13), strict=True):
            side.append(shared @ rng.normal(size=(4, rest)) + 0.3 * rng.normal(size=(units, rest)))
    return sides


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_without_noise_it_is_numpys_correlation_of_the_entries_above_the_diagonal(seed):
    first, second = [drawn([seed, k], 6, 4) for k in range(3)], [drawn([seed, 9 + k], 6, 5) for k in range(3)]
    upper = np.triu_indices(6, 1)
    plain = [[np.corrcoef((a @ a.T)[upper], (b @ b.T)[upper])[0, 1] for b in second] for a in first]
    found = unit_gram_scores(first, second, False, [0, 1, 2])
    expected = standardised(np.array(plain), 0.0)
    scale = np.abs(found).max() / np.abs(expected).max()
    assert scale <= 1 + 1e-5
    np.testing.assert_allclose(found, scale * expected, atol=1e-4)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_neither_sizes_nor_the_basis_of_the_other_axis_count(seed):
    first, second = planted(seed)
    turned = [0.1 * (k + 1) * a @ np.linalg.qr(drawn(seed + k, 9, 9))[0] for k, a in enumerate(first)]
    seeds = list(range(5))
    plain, other = (unit_gram_scores(side, second, False, seeds) for side in (first, turned))
    np.testing.assert_allclose(other, plain, atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_true_pairs_score_highest_and_units_in_another_order_say_nothing(seed):
    first, second = planted(seed)
    found = unit_gram_scores(first, second, False, list(range(5)))
    assert found.argmax(1).tolist() == list(range(5))
    assert np.diag(found).min() > 1
    order = np.random.default_rng(seed).permutation(24)
    parted = unit_gram_scores(first, [b[order] for b in second], False, list(range(5)))
    assert np.abs(np.diag(parted)).max() < 1
