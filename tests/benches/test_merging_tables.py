"""Trends and barriers of the tables of merging, on lines whose figures are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from bench.merging import PAIRS, SETS
from bench.merging_star import SEEN, UNSEEN
from bench.merging_tables import barrier, told
from bench.trends import falls, slopes, verdict

WIDTHS = np.array([8.0, 16.0, 32.0, 48.0])


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-0.5, 0.5))
def test_the_slope_of_a_line_is_the_lines(slope, height, tilt):
    values = np.stack([height + slope * np.log2(WIDTHS), height + (slope + tilt) * np.log2(WIDTHS)])
    np.testing.assert_allclose(slopes(WIDTHS, values), [slope, slope + tilt], atol=1e-9)


def test_steps_that_go_down_are_counted_over_all_series():
    assert falls(np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 1.5]])) == (3, 4)


@pytest.mark.parametrize(("mean", "half", "word"), [(-1, 0.5, "falls"), (1, 0.5, "rises"), (-1, 1.5, "cannot say")])
def test_a_slope_whose_interval_holds_zero_says_nothing(mean, half, word):
    assert verdict(mean, half) == word


def test_a_barrier_is_the_loss_beyond_the_mean_of_the_ends():
    line = {"ends": [{"loss": 1.0}, {"loss": 2.0}], "naive": {"plain": {"loss": 4.0}}}
    assert barrier(line, "naive", "plain") == 2.5


def test_an_interval_needs_three():
    assert told([1.0, 2.0], 1) == "1.5"
    assert told([1.0, 2.0, 3.0], 2) == "2.00 ± 2.48"  # 4.303 / sqrt(3)


def test_no_seed_is_in_two_sets_and_none_was_used_to_choose_settings():
    for sets in (PAIRS, *SETS.values()):
        seeds = [seed for each in sets for seed in each]
        assert len(seeds) == len(set(seeds))
        assert min(seeds) >= 2
    assert not set(SEEN) & set(UNSEEN)
