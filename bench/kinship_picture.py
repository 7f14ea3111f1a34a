"""Quantiles of p-values against those of a uniform law, both in logarithms, as an SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.etree.ElementTree import Element, tostring

import numpy as np
from scipy.stats import beta

from reknit.report.markup import el

COLOURS = ("#1d5fa8", "#4b7f2f", "#8a5fb0", "#0f8a8a", "#888888", "#c2571a")
SIZE, LEFT, TOP, SPAN = 460.0, 60.0, 24.0, 3.0
"""Pixels of a side, room left and above, and decades that are shown."""
STYLE = "text{font:12px sans-serif;fill:#333}.small{font-size:11px;fill:#555}"


def picture(curves: Mapping[str, np.ndarray]) -> str:
    """One curve a kind; the band holds 95 % of the values at each rank, of as many values as the first has."""
    parts: list[Element] = [el("style", STYLE), el("rect", width="100%", height="100%", fill="#fff")]
    count = len(next(iter(curves.values())))
    parts += [_band(count), *_frame()]
    for k, (label, values) in enumerate(curves.items()):
        ordered = np.sort(values)
        expected = (np.arange(len(ordered)) + 0.5) / len(ordered)
        points = " ".join(f"{_x(e):.1f},{_y(v):.1f}" for e, v in zip(expected, ordered, strict=True))
        parts.append(el("polyline", points=points, fill="none", stroke=COLOURS[k], stroke_width=1.8))
        y = TOP + 18 + 19 * k
        parts.append(
            el("line", x1=LEFT + SIZE + 14, x2=LEFT + SIZE + 34, y1=y, y2=y, stroke=COLOURS[k], stroke_width=2)
        )
        parts.append(el("text", f"{label} ({len(values)})", x=LEFT + SIZE + 40, y=y + 4))
    box = f"0 0 {LEFT + SIZE + 260:g} {TOP + SIZE + 50:g}"
    label = "p-values of independent pairs against uniform quantiles"
    svg = el("svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=box, aria_label=label)
    return tostring(svg, encoding="unicode") + "\n"


def _x(p: float) -> float:
    return LEFT + SIZE * (1 + max(math.log10(max(p, 1e-300)), -SPAN) / SPAN)


def _y(p: float) -> float:
    return TOP - SIZE * max(math.log10(max(p, 1e-300)), -SPAN) / SPAN


def _band(count: int) -> Element:
    ranks = np.arange(1, count + 1)
    expected = (ranks - 0.5) / count
    low, high = (beta.ppf(q, ranks, count + 1 - ranks) for q in (0.025, 0.975))
    there = [f"{_x(e):.1f},{_y(v):.1f}" for e, v in zip(expected, low, strict=True)]
    back = [f"{_x(e):.1f},{_y(v):.1f}" for e, v in zip(expected, high, strict=True)]
    return el("polygon", points=" ".join([*there, *back[::-1]]), fill="#e8eef5")


def _frame() -> list[Element]:
    parts = []
    for decade in range(int(SPAN) + 1):
        p = 10.0**-decade
        parts.append(el("line", x1=_x(p), x2=_x(p), y1=TOP, y2=TOP + SIZE, stroke="#ddd"))
        parts.append(el("line", x1=LEFT, x2=LEFT + SIZE, y1=_y(p), y2=_y(p), stroke="#ddd"))
        parts.append(el("text", f"{p:g}", x=_x(p), y=TOP + SIZE + 18, text_anchor="middle"))
        parts.append(el("text", f"{p:g}", x=LEFT - 8, y=_y(p) + 4, text_anchor="end"))
    parts.append(el("line", x1=_x(1e-3), y1=_y(1e-3), x2=_x(1.0), y2=_y(1.0), stroke="#999", stroke_dasharray="4 3"))
    parts.append(
        el("text", "share of pairs", class_="small", x=LEFT + SIZE / 2, y=TOP + SIZE + 38, text_anchor="middle")
    )
    parts.append(
        el("text", "p-value (small is evidence; below the line: too small)", class_="small", x=LEFT, y=TOP - 8)
    )
    return parts
