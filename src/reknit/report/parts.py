"""The parts of a page: facts, tables, figures, sections, text to copy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element

from reknit.report.markup import Child, el


@dataclass(frozen=True)
class Fact:
    """One thing to know at a glance: what, how much, and what to hold it against."""

    label: str
    value: Child
    note: Child = None


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    align: Literal["left", "right"] = "left"


def facts(items: Sequence[Fact]) -> Element:
    """A grid of facts."""
    tiles = (el("div", el("dt", fact.label), el("dd", fact.value), _note(fact.note)) for fact in items)
    return el("dl", *tiles, class_="facts")


def _note(note: Child) -> Element | None:
    return None if note is None else el("dd", note, class_="note")


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Child]], *, tall: bool = False) -> Element:
    """A table in a box of its own; ``tall``: it scrolls within the box under a header that stays.

    The first cell of each row is its header. A row with fewer cells than there are columns is an error.
    """
    head = el("tr", *(el("th", c.title, scope="col", class_=c.align) for c in columns))
    body = (
        el("tr", *(_cell(c, child, first=k == 0) for k, (c, child) in enumerate(zip(columns, row, strict=True))))
        for row in rows
    )
    inside = el("table", el("caption", el("span", caption)), el("thead", head), el("tbody", *body))
    box = "table-box tall" if tall else "table-box"
    return el("div", inside, class_=box, tabindex="0", role="region", aria_label=caption)


def _cell(column: Column, child: Child, *, first: bool) -> Element:
    if first:
        return el("th", child, scope="row", class_=column.align)
    return el("td", child, class_=column.align)


def metered(child: Child, part: float | None) -> Element:
    """A table cell's content over a bar as long as ``part``, 0 to 1; None draws none."""
    style = None if part is None else f"--part:{min(max(part, 0.0), 1.0):.3f}"
    return el("span", child, class_="meter", style=style)


def part_of(value: float | None, whole: float) -> float | None:
    """The length of a bar; None where either is no number to compare."""
    return value / whole if value is not None and math.isfinite(value) and whole > 0 else None


def tag(text: str, kind: str, tip: str | None = None) -> Element:
    """A word in a pill; ``kind`` names its colour in the palette, ``tip`` says more to who points at it."""
    return el("span", text, class_=f"tag tag-{kind}", title=tip)


def figure(body: Element, caption: str) -> Element:
    """A picture, the line the script writes values to, and one line that says what to look for."""
    readout = el("p", "Point at the figure, or tap it, for values.", class_="readout", hidden=True, aria_live="polite")
    return el("figure", body, readout, el("figcaption", caption))


def section(name: str, title: str, *children: Child) -> Element:
    """A part of the page with a heading; ``name`` is its address on the page."""
    heading = f"{name}-title"
    return el("section", el("h2", title, id=heading), *children, id=name, aria_labelledby=heading)


def beside(*columns: Sequence[Child]) -> Element:
    """Two short parts next to each other where the window is wide enough."""
    return el("div", *(el("div", *column) for column in columns if column), class_="beside")


def text(words: str, kind: str | None = None) -> Element:
    """A paragraph."""
    return el("p", words, class_=kind)


def copyable(words: str, what: str) -> Element:
    """Preformatted text with a button that copies it; ``what`` it is, for those who cannot see it."""
    button = el("button", "Copy", type="button", class_="copy-button", hidden=True, aria_label=f"Copy {what}")
    shown = el("pre", el("code", words), tabindex="0", role="region", aria_label=what)
    return el("div", shown, button, class_="copy")


def folded(summary: str, *children: Child) -> Element:
    """Content that opens on demand."""
    return el("details", el("summary", summary), *children)
