"""The heat map's picture, bars and hover data agree with its matrix."""

import base64
import json

import numpy as np
import pytest

from reknit.report.heatmap import Heatmap, draw_heatmap
from reknit.report.markup import serialise
from report.page_reader import PageReader, read_png


def heat(values, margins=None):
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    names = [f"row {k}" for k in range(n)], [f"column {k}" for k in range(n)]
    return Heatmap("what it shows", values, *names, margins or [1.0] * n, "rows", "columns", "score", "chosen")


def pixels(element):
    image = next(part for part in element.iter("image"))
    return read_png(base64.b64decode(image.get("href").partition(",")[2]))[0]


def test_pixels_rise_with_the_values_from_the_ground_to_the_top():
    values = np.random.default_rng(0).standard_normal((20, 20)) + 9 * np.eye(20)
    found = pixels(draw_heatmap(heat(values)))
    assert found.argmax() == values.argmax()
    assert found.max() == 254
    assert (found == 0).mean() == pytest.approx(0.5, abs=0.06)
    order = np.argsort(values, axis=None)
    assert (np.diff(found.ravel()[order].astype(int)) >= 0).all()


def test_what_is_not_finite_has_its_own_colour():
    found = pixels(draw_heatmap(heat([[np.nan, 0.0], [np.inf, 1.0]])))
    np.testing.assert_array_equal(found == 255, [[True, False], [True, False]])


@pytest.mark.parametrize("values", [[[5.0]], [[np.nan]], np.full((3, 3), 2.0), [[1e308, -1e308], [-1e308, 1e308]]])
def test_degenerate_matrices_are_drawn(values):
    element = draw_heatmap(heat(values))
    assert PageReader(serialise(element)).errors == []
    assert pixels(element).shape == np.shape(values)


def test_hover_data_are_the_values():
    values = np.array([[1.23456, np.nan], [-3.0, 4e-7]])
    ((_, body),) = PageReader(serialise(draw_heatmap(heat(values)))).scripts
    data = json.loads(body)
    assert data["values"] == [[1.235, None], [-3.0, 4e-7]]
    assert (data["rows"], data["columns"]) == (["row 0", "row 1"], ["column 0", "column 1"])


def test_margins_are_bars_that_name_themselves():
    element = draw_heatmap(heat(np.eye(4), [2.0, -1.0, float("nan"), float("inf")]))
    for svg in element.iter("svg"):
        bars = [part for part in svg.iter("rect") if (part.get("class") or "").startswith("bar")]
        assert [bar.get("class") for bar in bars] == ["bar", "bar warn"]
        assert float(bars[0].get("width")) == pytest.approx(2 * float(bars[1].get("width")), rel=1e-2)
        tips = [part.findtext("title") for part in svg.iter("rect") if part.get("class") == "slice"]
        assert [tip.rpartition(" ")[2] for tip in tips] == ["2", "−1", "NaN", "∞"]
        assert tips[1] == "row 1 with column 1: margin −1"
