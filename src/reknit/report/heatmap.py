"""A square matrix as a heat map, its rows' margins as bars beside it.

The cells are one small picture per theme (16 KB for 128 rows, where a rectangle per cell would take 2 MB); the page's
script names the cell under the pointer. Each margin bar names itself without a script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from reknit.report.colours import LEVELS, ramp
from reknit.report.formatting import number
from reknit.report.markup import data_block, el
from reknit.report.png import data_address
from reknit.report.scales import Scale, linear_scale, linear_steps, tick_label


@dataclass(frozen=True)
class Heatmap:
    """What is drawn.

    Attributes:
        label: in words, what the picture shows.
        values: (n, n); what is not finite is drawn in the colour of the missing.
        rows: name of each row.
        columns: name of each column.
        margins: one number per row, drawn as a bar beside it.
        row_title: what the rows are.
        column_title: what the columns are.
        value_title: what a colour means.
        diagonal: what an entry on the diagonal is.
    """

    label: str
    values: NDArray[np.float64]
    rows: Sequence[str]
    columns: Sequence[str]
    margins: Sequence[float]
    row_title: str
    column_title: str
    value_title: str
    diagonal: str

    @property
    def limits(self) -> tuple[float, float]:
        """Where the colours begin and end: at the median off the diagonal, so that the ground is calm, and the top."""
        finite = np.isfinite(self.values)
        ground = self.values[finite & ~np.eye(len(self.values), dtype=bool)]
        if not finite.any():
            return 0.0, 0.0
        high = float(self.values[finite].max())
        return (float(np.sort(ground)[ground.size // 2]) if ground.size else high), high


@dataclass(frozen=True)
class _Size:
    name: str
    width: float
    left: float
    side: float
    gap: float
    ticks: int

    @property
    def strip(self) -> tuple[float, float]:
        return self.left + self.side + self.gap, self.width - 6.0


_SIZES = (_Size("wide", 880.0, 60.0, 560.0, 24.0, 12), _Size("narrow", 340.0, 38.0, 226.0, 10.0, 6))
_TOP = 44.0


def draw_heatmap(heat: Heatmap) -> Element:
    """The heat map in both sizes, with the data its hover needs."""
    digits = [[_rounded(v) for v in row] for row in heat.values.tolist()]
    names = {"rows": list(heat.rows), "columns": list(heat.columns), "values": digits, "diagonal": heat.diagonal}
    drawings = (_drawing(heat, size) for size in _SIZES)
    return el("div", *drawings, data_block(names, "heat-data"), class_="chart heat")


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _drawing(heat: Heatmap, size: _Size) -> Element:
    n = len(heat.rows)
    bottom = _TOP + size.side
    parts = [
        *_cells(heat, size),
        *_axes(heat, size, n),
        *_margins(heat, size, n),
        el("rect", class_="cursor", x=0, y=0, width=size.side / n, height=size.side / n, visibility="hidden"),
        *_legend(heat, size, bottom + 34.0),
    ]
    attributes = {"data_left": size.left, "data_top": _TOP, "data_side": size.side}
    return el(
        "svg",
        *parts,
        viewBox=f"0 0 {size.width:g} {bottom + 82:g}",
        class_=size.name,
        role="img",
        tabindex="0",
        aria_label=heat.label,
        **attributes,
    )


def _picture(pixels: NDArray[np.uint8], box: dict[str, float]) -> list[Element]:
    return [
        el(
            "image",
            class_=f"cells on-{name}",
            preserveAspectRatio="none",
            href=data_address(pixels, ramp(theme)),
            **box,
        )
        for theme, name in enumerate(("light", "dark"))
    ]


def _cells(heat: Heatmap, size: _Size) -> list[Element]:
    low, high = heat.limits
    finite = np.isfinite(heat.values)
    # halved first: the difference of two huge values must not overflow
    span = high / 2 - low / 2
    depth = (np.where(finite, heat.values, low) / 2 - low / 2) / span if span > 0 else np.ones_like(heat.values)
    pixels = np.where(finite, np.rint(depth.clip(0, 1) * (LEVELS - 1)), LEVELS).astype(np.uint8)
    box = {"x": size.left, "y": _TOP, "width": size.side, "height": size.side}
    return [*_picture(pixels, box), el("rect", class_="frame", **box)]


def _axes(heat: Heatmap, size: _Size, n: int) -> list[Element]:
    cell = size.side / n
    parts = []
    for step in linear_steps(0.0, max(n - 1.0, 0.5), size.ticks, whole=True):
        middle = (step + 0.5) * cell
        parts.append(el("text", f"{step:g}", class_="tick", x=size.left + middle, y=_TOP - 7, text_anchor="middle"))
        parts.append(el("text", f"{step:g}", class_="tick", x=size.left - 7, y=_TOP + middle + 4, text_anchor="end"))
    across = {"x": size.left + size.side / 2, "y": 15.0}
    down = f"translate({9 if size.name == 'narrow' else 20} {_TOP + size.side / 2:g}) rotate(-90)"
    return [
        *parts,
        el("text", heat.column_title, class_="axis-title", text_anchor="middle", **across),
        el("text", heat.row_title, class_="axis-title", text_anchor="middle", transform=down),
    ]


def _margins(heat: Heatmap, size: _Size, n: int) -> list[Element]:
    start, end = size.strip
    across = linear_scale(heat.margins, start, end)
    cell, base = size.side / n, _pixel(across, 0.0)
    thick = min(0.72 * cell, 18.0)
    parts = [el("text", "margin", class_="axis-title", x=start, y=_TOP - 26 if size.name == "narrow" else 15.0)]
    for step in linear_steps(across.low, across.high, 4 if size.name == "wide" else 2):
        x = _pixel(across, step)
        style = "axis" if step == 0 else "grid"
        parts.append(el("line", class_=style, x1=x, x2=x, y1=_TOP, y2=_TOP + size.side))
        parts.append(el("text", tick_label(step), class_="tick", x=x, y=_TOP - 7, text_anchor="middle"))
    for k, margin in enumerate(heat.margins):
        tip = el("title", f"{heat.rows[k]} with {heat.columns[k]}: margin {number(margin)}")
        end_x, y = across(margin), _TOP + k * cell
        if end_x is not None:
            kind = "bar" if margin > 0 else "bar warn"
            box = {
                "x": min(end_x, base),
                "width": max(abs(end_x - base), 1.0),
                "y": y + (cell - thick) / 2,
                "height": thick,
            }
            parts.append(el("rect", class_=kind, **box))
        parts.append(el("rect", tip, class_="slice", x=start, width=end - start, y=y, height=cell))
    return parts


def _pixel(scale: Scale, value: float) -> float:
    pixel = scale(value)
    return scale.start if pixel is None else pixel


def _legend(heat: Heatmap, size: _Size, top: float) -> list[Element]:
    low, high = heat.limits
    box = {"x": size.left, "y": top, "width": size.side, "height": 10.0}
    colours = np.arange(LEVELS, dtype=np.uint8)[None, :]
    below = "≤ " if (heat.values < low).any() else ""
    ends = ((below + number(low, 2), "start", size.left), (number(high), "end", size.left + size.side))
    return [
        el("text", heat.value_title, class_="axis-title", x=size.left, y=top - 8),
        *_picture(colours, box),
        el("rect", class_="frame", **box),
        *(el("text", words, class_="tick", x=x, y=top + 26, text_anchor=anchor) for words, anchor, x in ends),
    ]
