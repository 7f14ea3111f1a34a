"""The slots of a wiring on its page: families by depth, certain, likely or open, with margins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from xml.etree.ElementTree import Element

from reknit.report.formatting import count, number, plural, quantity
from reknit.report.markup import Child, el
from reknit.report.parts import Column, folded, table, tag
from reknit.wiring.result import Placed, Wiring

State = Literal["certain", "likely", "open"]
Index = tuple[int, ...]

_COLOUR: dict[State, str] = {"certain": "exact", "likely": "consistent", "open": "ambiguous"}
_SIGN: dict[State, str] = {"certain": "✓", "likely": "~", "open": "?"}
"""Colour does not stand alone."""


def state(wiring: Wiring, placed: Placed) -> State:
    """How far a slot may be relied on."""
    if placed.certain:
        return "certain"
    return "likely" if placed.slot in wiring.evidence.likely else "open"


def depth_tables(wiring: Wiring) -> list[Child]:
    """A table for all families that repeat at the same depths, and one for the slots that do not repeat."""
    grids: dict[tuple[Index, ...], dict[str, dict[Index, Placed]]] = {}
    families: dict[str, dict[Index, Placed]] = {}
    for placed in wiring.slots:
        family, index = wiring.evidence.families.get(placed.slot, (placed.slot, ()))
        families.setdefault(family, {})[index] = placed
    for family, slots in families.items():
        depths = tuple(sorted(slots)) if len(slots) > 1 else ((),)
        grids.setdefault(depths, {})[family] = slots
    legend = el(
        "p",
        *(tag(f"{_SIGN[word]} {word}", _COLOUR[word]) for word in ("certain", "likely", "open")),
        " with the margin by the weights alone, or ",
        el("em", "outputs"),
        " where these put another tensor than the weights had; point at one for its name. ",
        "Likely is no promise: the weights speak for it, and nothing has proved it.",
        class_="legend",
    )
    tables = [_grid(wiring, depths, rows) for depths, rows in grids.items() if depths != ((),)]
    return [legend, *tables, *_singles(wiring, grids.get(((),), {}))]


def _grid(wiring: Wiring, depths: Sequence[Index], families: dict[str, dict[Index, Placed]]) -> Element:
    rows: list[list[Child]] = [
        [el("bdi", family), *(_cell(wiring, slots[depth]) for depth in depths)] for family, slots in families.items()
    ]
    columns = [Column("Family"), *(Column(".".join(map(str, depth)), "right") for depth in depths)]
    noun = "family" if len(families) == 1 else "families"
    return table(f"{count(len(families))} {noun} over {plural(len(depths), 'block')}", columns, rows, tall=True)


def _cell(wiring: Wiring, placed: Placed) -> Element:
    word = state(wiring, placed)
    tip = f"{placed.slot}: {placed.piece}, {word}, margin {number(placed.margin)}"
    before = wiring.evidence.by_weights.get(placed.slot)
    if before is not None:  # the margin speaks of another tensor
        tip = f"{placed.slot}: {placed.piece}, {word}; the weights alone had {before} here"
    shown = "outputs" if before is not None else number(placed.margin, 2)
    return tag(f"{_SIGN[word]} {shown}", _COLOUR[word], tip)


def _singles(wiring: Wiring, families: dict[str, dict[Index, Placed]]) -> list[Child]:
    if not families:
        return []
    rows: list[list[Child]] = [
        [el("bdi", placed.slot), el("bdi", placed.piece), _cell(wiring, placed)]
        for slots in families.values()
        for placed in slots.values()
    ]
    columns = [Column("Slot"), Column("Tensor"), Column("Margin", "right")]
    return [table(f"Slots that do not repeat ({count(len(rows))})", columns, rows, tall=True)]


def every_slot(wiring: Wiring) -> Element:
    """Every slot by name, with what is in it, folded away."""
    by_weights = wiring.evidence.by_weights
    rows: list[list[Child]] = [
        [
            el("bdi", placed.slot),
            el("bdi", placed.piece),
            quantity(placed.margin),
            tag(state(wiring, placed), _COLOUR[state(wiring, placed)]),
            el("bdi", by_weights[placed.slot]) if placed.slot in by_weights else None,
        ]
        for placed in wiring.slots
    ]
    titles = ("Slot", "Tensor", "Margin by the weights", "State", "Whose margin, if of another tensor")
    columns = [Column(title, "right" if k == 2 else "left") for k, title in enumerate(titles)]
    inside = table("Every slot of the network, in its order", columns, rows, tall=True)
    return folded(f"Every slot by name ({count(len(rows))})", inside)


def names(slots: Sequence[str]) -> Element:
    """Slots with commas between them."""
    last = len(slots) - 1
    listed = (el("span", el("bdi", slot), "," if k < last else None) for k, slot in enumerate(slots))
    return el("span", *listed, class_="names")
