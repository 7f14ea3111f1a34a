"""Charts draw every value they can, in both sizes, and nothing they cannot."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.report.charts import SIZES, Band, Chart, Panel, Rule, Slice, draw_chart
from reknit.report.markup import serialise
from report.page_reader import PageReader


def drawn(values, **options):
    panel = Panel("size", "from to", [float(k) for k in range(len(values))], values, **options)
    return draw_chart(Chart("a line", (panel,), "steps", (0.0, max(len(values) - 1.0, 1.0))))


def classes(element, name):
    return [part for part in element.iter() if part.get("class") == name]


@given(st.lists(st.none() | st.floats(), max_size=30), st.booleans(), st.sampled_from(["line", "bars"]))
def test_any_values_are_drawn_with_finite_coordinates(values, log, mark):
    element = drawn(values, log=log, mark=mark)
    text = serialise(element)
    assert PageReader(text).errors == []
    assert not re.search(r'"[^"]*\b(nan|inf)\b', re.sub(r">[^<]*<", "><", text))


@pytest.mark.parametrize("log", [True, False])
def test_a_gap_is_a_gap(log):
    element = drawn([1.0, 2.0, None, 3.0, math.nan, 4.0], log=log)
    for line in classes(element, "line"):
        assert (line.get("d").count("M"), line.get("d").count("L")) == (3, 1)


def test_dots_where_there_is_room_and_for_lonely_points():
    per_size = [len(classes(svg, "dot")) for svg in drawn([1.0] * 5)]
    assert per_size == [5, 5]
    values = [1.0] * 100
    assert [len(classes(svg, "dot")) for svg in drawn(values)] == [0, 0]
    values[1] = None
    assert [len(classes(svg, "dot")) for svg in drawn(values)] == [1, 1]


def test_bars_are_as_long_as_their_values():
    for svg in drawn([1.0, 2.0, -4.0], mark="bars"):
        lengths = [float(bar.get("height")) for bar in classes(svg, "bar")]
        assert [length / lengths[0] for length in lengths] == pytest.approx([1, 2, 4], rel=0.02)


def test_parts():
    panel = Panel("error", "1 → 2", [1.0, 2.0], [1.0, 2.0], rules=(Rule(1.5, "floor", "left"), Rule(math.nan, "none")))
    slices = (Slice(0.5, 1.5, "the first"), Slice(1.5, 2.5, "the second"))
    chart = Chart("what it shows", (panel, panel), "steps", (0.5, 2.5), slices, (Band(0.5, 1.5, "start"),))
    element = draw_chart(chart)
    assert [svg.get("class") for svg in element] == [size.name for size in SIZES]
    for svg in element:
        assert (svg.get("role"), svg.get("aria-label")) == ("img", "what it shows")
        assert [s.findtext("title") for s in classes(svg, "slice")] == ["the first", "the second"]
        assert [text.text for text in classes(svg, "rule-label")] == ["floor", "floor"]
        assert [text.text for text in classes(svg, "band-label")] == ["start"]
        assert [text.text for text in classes(svg, "panel-title")] == ["error", "error"]
