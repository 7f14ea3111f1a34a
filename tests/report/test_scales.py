"""Scales keep the order, ticks stay inside them, and zero has its place on a logarithmic axis."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from reknit.report.scales import Scale, linear_scale, linear_steps, log_scale, log_steps, spans_decades, tick_label

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(1e-300, 1e300)
anything = st.lists(st.none() | st.floats(), max_size=8)


@given(anything)
@example([])
@example([None, math.nan, math.inf])
@example([0.0])
@example([1.7e308, -1.7e308])
@example([5e-324])
def test_every_finite_value_is_inside_a_linear_scale(values):
    scale = linear_scale(values, 200.0, 20.0)
    for value in values:
        pixel = scale(value)
        if value is None or not math.isfinite(value):
            assert pixel is None
        else:
            assert 20 - 1e-6 <= pixel <= 200 + 1e-6
    assert_ticks_inside(scale)


@given(anything)
@example([])
@example([0.0])
@example([-1.0, 2.0, 3.0])
@example([5e-324, 1.7e308])
def test_every_finite_value_is_inside_a_log_scale(values):
    scale = log_scale(values, 200.0, 20.0)
    for value in values:
        pixel = scale(value)
        if value is None or not math.isfinite(value):
            assert pixel is None
        else:
            assert 20 - 1e-6 <= pixel <= 200 + 1e-6
            assert (pixel == scale.zero) == (value <= 0)
    assert_ticks_inside(scale)


def assert_ticks_inside(scale):
    ticks = scale.ticks(5)
    assert len(ticks) >= 1
    assert len(ticks) <= 9
    pixels = [scale(tick.value) for tick in ticks]
    assert all(20 - 1e-6 <= pixel <= 200 + 1e-6 for pixel in pixels)
    assert all(a > b for a, b in pairwise(pixels))
    assert len({tick.label for tick in ticks}) == len(ticks)


@given(positive, positive, positive)
def test_scales_are_monotone(a, b, c):
    a, b, c = sorted((a, b, c))
    assume(a < c)
    for log in (False, True):
        scale = Scale(a, c, 0.0, 100.0, log=log)
        assert scale(a) == pytest.approx(0, abs=1e-6)
        assert scale(c) == pytest.approx(100)
        assert scale(a) - 1e-9 <= scale(b) <= scale(c) + 1e-9


@given(finite, st.floats(1e-6, 1e6), st.integers(2, 12))
def test_linear_steps_are_even_and_few(low, span, most):
    assume(abs(low) < 1e6 * span)
    steps = linear_steps(low, low + span, most)
    assert 1 <= len(steps) <= most + 1
    gaps = [b - a for a, b in pairwise(steps)]
    assert all(gap == pytest.approx(gaps[0], rel=1e-4) for gap in gaps)


@given(st.integers(0, 10**6), st.integers(2, 12))
def test_whole_steps_are_whole(high, most):
    steps = linear_steps(0.0, float(high), most, whole=True)
    assert all(step == int(step) for step in steps)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (1e-6, 1.0, 4, [1e-6, 1e-4, 1e-2, 1.0]),
        (1.5, 60.0, 5, [2.0, 5.0, 10.0, 20.0, 50.0]),
        (2.1, 4.2, 5, [3.0, 4.0]),
        (1e-13, 1.0, 5, [1e-12, 1e-9, 1e-6, 1e-3, 1.0]),
    ],
)
def test_log_steps(low, high, most, expected):
    assert log_steps(low, high, most) == pytest.approx(expected, rel=1e-12)


def test_tick_labels_say_nothing_twice():
    assert [tick_label(v) for v in (0.0, 0.2, 1e-3, 1e-4, 2e-5, 1000.0, -0.5)] == [
        "0",
        "0.2",
        "0.001",
        "10⁻⁴",
        "2 × 10⁻⁵",
        "1\u202f000",
        "−0.5",
    ]


def test_wide_spans_ask_for_a_log_axis():
    assert spans_decades([1.0, 60.0])
    assert not spans_decades([1.0, 40.0])
    assert not spans_decades([0.0, math.nan, None, 3.0])
