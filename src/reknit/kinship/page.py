"""A lineage as one self-contained HTML page: the family trees, and what is claimed of every pair, with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reknit.containers.write import write_file
from reknit.kinship.concluding import p_in_words
from reknit.kinship.lineage import Lineage
from reknit.kinship.relation import Relation, short_names
from reknit.kinship.tree import Edge, Family
from reknit.report.forest import Node, draw_forest
from reknit.report.formatting import count, number, plural
from reknit.report.markup import Child, el
from reknit.report.parts import Column, Fact, facts, figure, section, table, text
from reknit.report.run import run_parts
from reknit.report.shell import page as shell

MOST_ROWS = 500
CAPTION = (
    "Solid, with an arrow: the direction is known. Broken: it cannot be said, and the file on the left may as well be "
    "the child. Numbers are distances modulo the order and the factors of units: 0 the same, about 1 unrelated."
)


def page(found: Lineage) -> str:
    """The page as text; the same lineage gives the same bytes, seconds aside."""
    names = short_names(found.files)
    kin = [family for family in found.families if len(family.members) > 1]
    alone = sum(len(family.members) == 1 for family in found.families)
    items = [
        Fact("Files", count(len(found.files)), f"{plural(alone, 'file')} without known kin"),
        Fact("Families", count(len(kin)), "of two files or more"),
        Fact("Pairs compared", count(len(found.relations)), f"of {count(found.possible)}; p is corrected for these"),
        Fact("Pairs settled", count(len(found.related)), "shared initialisation or descent"),
    ]
    top = el("div", el("h1", "Which of these come from which"), facts(items), class_="hero")
    sections = [section("families", "Family trees", *_families(kin, names))]
    if found.left_out:
        sections.append(section("left-out", "Left out", *(text(reason) for reason in found.left_out.values())))
    sections.append(section("pairs", "Pair by pair", *_pairs(found)))
    sections.append(section("run", "This run", *run_parts({**found.run, "seconds": found.seconds})))
    return shell("Lineage", "reknit lineage", top, sections, f"Written by reknit {found.run['version']}.")


def write_page(found: Lineage, path: Path, *, force: bool = False) -> None:
    """Write the page.

    Raises:
        OutputError: something is there already and ``force`` is not given, or the place cannot be written.
    """
    write_file(path, page(found), force=force)


def _families(families: Sequence[Family], names: Sequence[str]) -> list[Child]:
    if not families:
        return [text("No two of the files are known to be kin.")]
    parts: list[Child] = []
    for family in families:
        nodes = family_nodes(family, names)
        parts.append(figure(draw_forest(nodes, f"The tree of {len(family.members)} files"), CAPTION))
    return parts


def family_nodes(family: Family, names: Sequence[str]) -> list[Node]:
    """The nodes of a family's trees, as they are drawn."""
    copies = {group[0]: group[1:] for group in family.copies}
    shown = [member for member in family.members if not any(member in rest for rest in copies.values())]
    above = {edge.child: edge for edge in family.edges}
    place = {member: number for number, member in enumerate(shown)}
    return [_node(member, above.get(member), copies.get(member, ()), names, place, family) for member in shown]


def _node(
    member: int, edge: Edge | None, copies: Sequence[int], names: Sequence[str], place: dict[int, int], family: Family
) -> Node:
    notes = []
    if edge is not None:
        notes.append(number(edge.distance, 2))
        if edge.moved:
            notes.append("units in another order")
        if edge.instead:
            notes.append("or elsewhere")
    elif len(family.roots) == 1:
        notes.append("the root, if it is among these")
    if copies:
        notes.append("the same numbers: " + ", ".join(names[other] for other in copies))
    tip = ""
    if edge is not None and edge.instead:
        tip = "as likely: " + "; ".join(f"{names[a]} with {names[b]}" for a, b in edge.instead)
    known = edge is not None and edge.direction == "decided"
    return Node(names[member], ", ".join(notes), None if edge is None else place[edge.parent], known, tip)


def _pairs(found: Lineage) -> list[Child]:
    ranked = sorted(found.relations, key=lambda relation: (not relation.related, relation.log10_p))
    rows: list[list[Child]] = [_row(relation) for relation in ranked[:MOST_ROWS]]
    columns = [
        Column("Files"),
        Column("Evidence"),
        Column("p at most", "right"),
        Column("Distance", "right"),
        Column("What is claimed"),
    ]
    left = f" The first {MOST_ROWS} of {len(ranked)} are shown." if len(ranked) > MOST_ROWS else ""
    words = "The claim is a shared initialisation or descent, never descent alone." + left
    return [text(words), table("Pairs", columns, rows, tall=True)]


def _row(relation: Relation) -> list[Child]:
    first, second = short_names((relation.first, relation.second))
    way = relation.direction
    said = f"{relation.claim}. Direction: {way.label}, {way.reason}."
    return [f"{first} / {second}", relation.label, p_in_words(relation.log10_p), number(relation.distance, 3), said]
