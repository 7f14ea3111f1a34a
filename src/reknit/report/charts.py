"""Line and bar charts as inline SVG: panels above one another that share a horizontal axis.

Each chart is drawn twice, for a laptop and for a phone, and the page's CSS shows the one that fits: scaling one drawing
would scale its text out of legibility. A slice is an invisible strip over the panels that names what stands there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from xml.etree.ElementTree import Element

from reknit.report.markup import el
from reknit.report.scales import Scale, Tick, linear_scale, linear_steps, log_scale


@dataclass(frozen=True)
class Size:
    """One drawing of a chart: its CSS class, its width and the room left of the panels, in pixels."""

    name: str
    width: float
    left: float
    ticks: int


SIZES = (Size("wide", 880.0, 60.0, 12), Size("narrow", 340.0, 46.0, 6))

_RIGHT, _HEAD, _BAND, _GAP, _FOOT = 10.0, 30.0, 20.0, 20.0, 44.0
_DOT_ROOM = 24.0  # dots closer than this would chop the line between them


@dataclass(frozen=True)
class Rule:
    """A horizontal reference line; its label stands at the left or the right end."""

    value: float
    label: str
    side: Literal["left", "right"] = "right"


@dataclass(frozen=True)
class Panel:
    """One vertical axis and what is drawn on it; None and non-finite values leave a gap."""

    title: str
    summary: str
    x: Sequence[float]
    y: Sequence[float | None]
    mark: Literal["line", "bars"] = "line"
    log: bool = False
    rules: tuple[Rule, ...] = ()
    height: float = 150.0

    def scale(self, top: float) -> Scale:
        """The vertical scale, drawn downwards from ``top``."""
        values = [*self.y, *(rule.value for rule in self.rules)]
        choose = log_scale if self.log else linear_scale
        return choose(values, top + self.height, top)


@dataclass(frozen=True)
class Slice:
    """What the reader is told about a stretch of the horizontal axis."""

    start: float
    end: float
    tip: str


@dataclass(frozen=True)
class Band:
    """A named stretch of the horizontal axis, set off by its background."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Chart:
    """Panels over one horizontal axis; ``label`` says in words what the picture shows."""

    label: str
    panels: tuple[Panel, ...]
    x_title: str
    x_range: tuple[float, float]
    slices: tuple[Slice, ...] = ()
    bands: tuple[Band, ...] = ()


def draw_chart(chart: Chart) -> Element:
    """The chart in both sizes."""
    return el("div", *(_drawing(chart, size) for size in SIZES), class_="chart")


def _drawing(chart: Chart, size: Size) -> Element:
    across = Scale(*chart.x_range, size.left, size.width - _RIGHT)
    room = _HEAD + (_BAND if chart.bands else 0.0)
    tops = [room + sum(p.height + _HEAD + _GAP for p in chart.panels[:k]) for k in range(len(chart.panels))]
    bottom = tops[-1] + chart.panels[-1].height
    parts = [part for panel, top in zip(chart.panels, tops, strict=True) for part in _bands(chart, panel, across, top)]
    parts += _band_labels(chart.bands, across, tops[0])
    for panel, top in zip(chart.panels, tops, strict=True):
        parts += _panel(panel, across, top, size)
    parts += _x_axis(chart, across, bottom, size)
    parts += [
        el("rect", el("title", s.tip), class_="slice", y=tops[0], height=bottom - tops[0], **_span(across, s))
        for s in chart.slices
    ]
    view = f"0 0 {size.width:g} {bottom + _FOOT:g}"
    return el("svg", *parts, viewBox=view, class_=size.name, role="img", aria_label=chart.label)


def _span(across: Scale, stretch: Slice | Band) -> dict[str, float]:
    start, end = _at(across, stretch.start), _at(across, stretch.end)
    return {"x": start, "width": max(end - start, 0.0)}


def _at(scale: Scale, value: float) -> float:
    pixel = scale(value)
    return scale.start if pixel is None else pixel


def _bands(chart: Chart, panel: Panel, across: Scale, top: float) -> list[Element]:
    return [el("rect", class_="band", y=top, height=panel.height, **_span(across, b)) for b in chart.bands[1::2]]


def _band_labels(bands: Sequence[Band], across: Scale, top: float) -> list[Element]:
    labels = []
    for band in bands:
        span = _span(across, band)
        if span["width"] >= 7.0 * len(band.label):
            middle = span["x"] + span["width"] / 2
            labels.append(el("text", band.label, class_="band-label", x=middle, y=top - 7, text_anchor="middle"))
    return labels


def _panel(panel: Panel, across: Scale, top: float, size: Size) -> list[Element]:
    up = panel.scale(top)
    title_y = top - (12.0 if top > _HEAD + _BAND else top - 15.0)
    title = el(
        "text",
        el("tspan", panel.title, class_="panel-title"),
        el("tspan", panel.summary, class_="panel-summary", dx=8),
        x=0,
        y=title_y,
    )
    marks = _bars(panel, across, up) if panel.mark == "bars" else _line(panel, across, up)
    return [title, *_y_axis(up, size, panel.height), *_rules(panel.rules, up, size), *marks]


def _y_axis(up: Scale, size: Size, height: float) -> list[Element]:
    parts = []
    for tick in up.ticks(max(3, int(height // 26))):
        y = _at(up, tick.value)
        zero = "axis" if tick.value == 0 else "grid"
        parts.append(el("line", class_=zero, x1=size.left, x2=size.width - _RIGHT, y1=y, y2=y))
        parts.append(el("text", tick.label, class_="tick", x=size.left - 8, y=y + 4, text_anchor="end"))
    return parts


def _x_axis(chart: Chart, across: Scale, bottom: float, size: Size) -> list[Element]:
    steps = linear_steps(*chart.x_range, size.ticks, whole=True)
    ticks = [Tick(v, f"{v:g}") for v in steps]
    parts = [
        el("text", tick.label, class_="tick", x=_at(across, tick.value), y=bottom + 17, text_anchor="middle")
        for tick in ticks
    ]
    middle = (across.start + across.end) / 2
    return [*parts, el("text", chart.x_title, class_="axis-title", x=middle, y=bottom + 37, text_anchor="middle")]


def _rules(rules: Sequence[Rule], up: Scale, size: Size) -> list[Element]:
    parts = []
    for rule in rules:
        y = up(rule.value)
        if y is None:
            continue
        left, right = size.left, size.width - _RIGHT
        x, anchor = (left + 6, "start") if rule.side == "left" else (right - 4, "end")
        parts.append(el("line", class_="rule", x1=left, x2=right, y1=y, y2=y))
        # under the line where it would run into what stands over the panel
        label_y = y + 14 if y - up.end < 16 else y - 5
        parts.append(el("text", rule.label, class_="rule-label", x=x, y=label_y, text_anchor=anchor))
    return parts


def _points(panel: Panel, across: Scale, up: Scale) -> list[tuple[float, float] | None]:
    pixels = [(across(x), up(y)) for x, y in zip(panel.x, panel.y, strict=True)]
    return [None if x is None or y is None else (x, y) for x, y in pixels]


def _line(panel: Panel, across: Scale, up: Scale) -> list[Element]:
    points = _points(panel, across, up)
    moves = []
    for before, here in pairwise([None, *points]):
        if here is not None:
            moves.append(f"{'M' if before is None else 'L'}{here[0]:.1f} {here[1]:.1f}")
    drawn = [p for p in points if p is not None]
    # among many points a dot marks only what a line cannot show: a point with no neighbour
    if len(points) * _DOT_ROOM > across.end - across.start:
        alone = zip([None, *points[:-1]], points, [*points[1:], None], strict=True)
        drawn = [here for before, here, after in alone if here is not None and before is None and after is None]
    dots = [el("circle", class_="dot", cx=x, cy=y, r=3.2) for x, y in drawn]
    return [el("path", class_="line", d="".join(moves)), *dots] if moves else []


def _bars(panel: Panel, across: Scale, up: Scale) -> list[Element]:
    width = max(0.7 * math.fabs(_at(across, 1.0) - _at(across, 0.0)), 1.0)
    base = _at(up, 0.0)
    return [
        el("rect", class_="bar", x=p[0] - width / 2, width=width, y=min(p[1], base), height=abs(base - p[1]))
        for p in _points(panel, across, up)
        if p is not None
    ]
