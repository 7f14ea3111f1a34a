"""How the margin of foreseen barriers is learned, against sums over all outcomes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from bench.learn_foresight import counted, smallest_factor, upper_bound
from bench.preflight import interval
from reknit.match.judging import Interval, bootstrapped

barriers = st.floats(0, 0.2)
said = st.tuples(barriers, barriers).map(lambda pair: (Interval(pair[0], pair[0], pair[0]), pair[1]))
several_pairs = st.lists(st.lists(said, min_size=1, max_size=3), min_size=1, max_size=12)
FACTORS = (3.0, 2.0, 1.5, 1.0)


@given(wrong=st.integers(0, 6), right=st.integers(1, 60), confidence=st.floats(0.5, 0.99))
def test_the_bound_is_where_so_few_wrong_become_unlikely(wrong, right, confidence):
    number = wrong + right
    share = upper_bound(wrong, number, confidence)
    chance = sum(math.comb(number, k) * share**k * (1 - share) ** (number - k) for k in range(wrong + 1))
    assert chance == pytest.approx(1 - confidence, rel=1e-6)
    assert upper_bound(wrong + 1, number, confidence) > share
    assert upper_bound(0, 0) == upper_bound(5, 5) == 1.0


@given(pairs=several_pairs, risk=st.floats(0.1, 0.6))
def test_the_factor_is_the_last_before_the_first_that_fails(pairs, risk):
    def fails(factor):
        works = [[true for foreseen, true in pair if foreseen.high * factor <= 0.1] for pair in pairs]
        works = [each for each in works if each]
        wrong = sum(any(true > 0.1 for true in each) for each in works)
        return upper_bound(wrong, len(works), 0.8) > risk

    first = next((k for k, factor in enumerate(FACTORS) if fails(factor)), len(FACTORS))
    if first == 0:
        with pytest.raises(ValueError, match="do not show a risk below"):
            smallest_factor(pairs, factors=FACTORS, risk=risk, confidence=0.8)
    else:
        assert smallest_factor(pairs, factors=FACTORS, risk=risk, confidence=0.8) == FACTORS[first - 1]


def test_of_a_pair_one_wrong_merge_is_enough():
    low = Interval(0.01, 0.01, 0.01)
    assert counted([[(low, 0.02), (low, 0.3)], [(low, 0.02)], [(Interval(1, 1, 1), 0.3)]], 1.0) == (1, 2)


def test_foresight_that_is_half_of_what_happens_is_doubled():
    pairs = [[(Interval(0.001 * k, 0.001 * k, 0.001 * k), 0.002 * k)] for k in range(1, 101)] * 3
    assert smallest_factor(pairs, factors=[3.0, 2.5, 2.0, 1.5, 1.0]) == 2.0
    assert smallest_factor([[(one, one.value)] for pair in pairs for one, _ in pair], factors=[3.0, 1.0]) == 1.0


def test_the_bench_draws_the_intervals_of_the_verb():
    excess = np.random.default_rng(1).normal(size=50)
    assert interval(excess) == pytest.approx(bootstrapped(excess[None]).as_json())
