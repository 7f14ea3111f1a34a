"""Trees as pictures: roots on the left, children to the right of their parents, a line of its own for every node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from reknit.report.markup import el

ROW, STEP, DOT, LETTER = 22.0, 26.0, 4.5, 6.6


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        label: beside its dot.
        note: behind the label, quieter.
        parent: the place of its parent among the nodes; None of a root.
        arrow: whether the way from the parent is known, or the line has no direction.
        tip: shown when pointed at.
    """

    label: str
    note: str = ""
    parent: int | None = None
    arrow: bool = False
    tip: str = ""


def draw_forest(nodes: Sequence[Node], label: str) -> Element:
    """The trees one below the other, children in the order of the nodes.

    Args:
        nodes: parents in any order; every chain of parents ends at a root.
        label: what is shown, for those who cannot see it.
    """
    children: dict[int | None, list[int]] = {}
    for place, node in enumerate(nodes):
        children.setdefault(node.parent, []).append(place)
    order: list[tuple[int, int]] = []
    ahead = [(place, 0) for place in reversed(children.get(None, []))]
    while ahead:
        place, depth = ahead.pop()
        order.append((place, depth))
        ahead += [(child, depth + 1) for child in reversed(children.get(place, []))]
    spots = {place: (DOT + 2 + depth * STEP, ROW * (row + 0.7)) for row, (place, depth) in enumerate(order)}
    parts = [part for place, _ in order for part in _drawn(nodes, place, spots)]
    width = max((spots[p][0] + 12 + LETTER * (len(n.label) + len(n.note) + 2) for p, n in enumerate(nodes)), default=1)
    width, height = round(max(width, 320)), round(ROW * (len(order) + 0.4))
    picture = el("svg", *parts, viewBox=f"0 0 {width} {height}", width=width, role="img", aria_label=label)
    return el("div", picture, class_="chart forest")


def _drawn(nodes: Sequence[Node], place: int, spots: Mapping[int, tuple[float, float]]) -> list[Element]:
    node, (x, y) = nodes[place], spots[place]
    parts = []
    if node.parent is not None:
        left, top = spots[node.parent]
        way = f"M{left:.1f} {top + DOT + 1.5:.1f}V{y:.1f}H{x - DOT - 1.5:.1f}"
        parts.append(el("path", d=way, class_="branch" if node.arrow else "branch open"))
        if node.arrow:
            tip = x - DOT - 1.5
            parts.append(el("path", d=f"M{tip - 6:.1f} {y - 3.5:.1f}L{tip:.1f} {y:.1f}L{tip - 6:.1f} {y + 3.5:.1f}z"))
    text = el(
        "text",
        el("tspan", node.label, class_="panel-title"),
        el("tspan", node.note, class_="panel-summary", dx=8) if node.note else None,
        x=x + 11,
        y=y + 4.2,
    )
    title = el("title", node.tip) if node.tip else None
    return [*parts, el("g", title, el("circle", cx=x, cy=y, r=DOT, class_="dot"), text)]
