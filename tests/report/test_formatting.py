"""Numbers on the page say what they stand for."""

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reknit.report.formatting import count, duration, number, power_of_ten, quantity, share

LOWERED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")


def parsed(text):
    """The number a reader takes from the page."""
    plain = text.replace("\u202f", "").replace("\xa0", "")
    plain = re.sub(r"×10(.+)", r"e\1", plain).translate(LOWERED)
    return float(plain)


@given(st.floats(-1e307, 1e307), st.integers(1, 6))
@example(9.9999e-4, 3)
@example(999999.5, 3)
@example(5e-324, 2)
def test_number_reads_back_within_its_digits(value, digits):
    assert parsed(number(value, digits)) == pytest.approx(value, rel=0.50001 * 10.0 ** (1 - digits), abs=0)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_number_keeps_the_order(a, b):
    low, high = sorted((a, b))
    words = [number(v).replace("∞", "inf") for v in (low, high)]
    assert parsed(words[0]) <= parsed(words[1])


@given(st.floats(allow_nan=False))
def test_number_is_odd(value):
    if value:
        assert number(-value) == ("−" + number(value)).replace("−−", "")


def test_number_has_no_sentinel():
    assert [number(x) for x in (None, math.nan, math.inf, -math.inf, 0.0, -0.0)] == ["–", "NaN", "∞", "−∞", "0", "0"]


@given(st.integers(-(10**15), 10**15))
def test_count_reads_back(value):
    assert parsed(count(value)) == value


@given(st.integers(-400, 400))
def test_power_reads_back(exponent):
    assert power_of_ten(exponent).translate(LOWERED) == f"10{exponent}"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 s"),
        (1e-7, "1.0\xa0×\xa010⁻⁴ ms"),
        (0.00999, "10 ms"),
        (0.9996, "1.00 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 0 s"),
        (3599.7, "1 h 0 min"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (None, "–"),
    ],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


@given(st.floats(0, 1e7))
def test_duration_never_carries_sixty(seconds):
    assert not re.search(r"\b60 (s|min)", duration(seconds))


def test_share():
    assert share(0.5).replace("\xa0", " ") == "50 %"
    assert [share(x) for x in (None, math.nan)] == ["–", "NaN"]


@given(st.floats(allow_nan=False))
def test_quantity_keeps_the_exact_value(value):
    assert float(quantity(value).get("value")) == value


def test_quantity_of_nothing():
    assert (quantity(None).get("value"), quantity(None).text) == ("", "–")
