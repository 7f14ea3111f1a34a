"""A comparison as one self-contained HTML page: the sentence, what was done to how many tensors, and a line a layer."""

from __future__ import annotations

from pathlib import Path

from reknit.changes.found import Diff, Layer, TensorChange
from reknit.containers.write import write_file
from reknit.report.formatting import count
from reknit.report.markup import Child, el
from reknit.report.parts import Column, Fact, facts, folded, section, table, text
from reknit.report.run import run_parts, time_parts
from reknit.report.shell import page as shell

MEANING = {
    "exact": "Every change is named, and holds of every number by equality, to the last places of the stored dtype.",
    "consistent": "Every change is named; some hold by their size alone, and not number by number.",
    "cannot say": "Something is left that no name was found for.",
}


def page(found: Diff) -> str:
    """The page as text; the same comparison gives the same bytes, seconds aside."""
    named = sum(each.named for each in found.tensors)
    exact = sum(all(change.exact for change in each.changes) and each.named for each in found.tensors)
    items = [
        Fact("Tensors named", f"{count(named)} of {count(len(found.tensors))}"),
        Fact("By equality", count(exact), "every number accounted for"),
        Fact("Identical", count(found.kinds.get("identical", 0))),
        Fact("Units in another order", count(found.groups), "groups"),
    ]
    heading = el("h1", found.verdict.capitalize())
    top = el("div", heading, text(found.sentence, "lead"), text(MEANING[found.verdict]), facts(items), class_="hero")
    sections = [
        section("layers", "Layer by layer", *_layers(found)),
        section("tensors", "Every tensor", _tensors(found)),
    ]
    if found.notes:
        sections.append(section("notes", "Notes", *(text(note) for note in found.notes)))
    run = {**found.run, "command": _command(found)}
    sections.append(section("run", "How to repeat it", *run_parts(run), *time_parts(found.seconds)))
    footer = f"Written by reknit {found.run['version']}."
    return shell("What makes B of A", "reknit diff", top, sections, footer)


def write_page(found: Diff, path: Path, *, force: bool = False) -> None:
    """Write the page.

    Raises:
        OutputError: something is there already and ``force`` is not given, or the place cannot be written.
    """
    write_file(path, page(found), force=force)


def _command(found: Diff) -> list[str]:
    words = ["reknit", "diff", str(found.run["a"]), str(found.run["b"])]
    return words + (["--like", str(found.run["like"])] if found.run.get("like") else [])


def _layers(found: Diff) -> list[Child]:
    rows: list[list[Child]] = [[each.name, each.words, count(len(each.tensors)), _how(each)] for each in found.layers]
    columns = [Column("Layer of B"), Column("What was done to A"), Column("Tensors", "right"), Column("Holds")]
    words = "Steps stand in the order in which they explain the numbers; several orders can lead to the same numbers."
    return [text(words), table("Layers", columns, rows, tall=True)]


def _how(layer: Layer) -> str:
    if not all(each.named for each in layer.tensors):
        return "not named"
    return "by equality" if all(c.exact for each in layer.tensors for c in each.changes) else "by size"


def _tensors(found: Diff) -> Child:
    rows: list[list[Child]] = [[each.second, each.first, _paired(each), each.words] for each in found.tensors]
    columns = [Column("In B"), Column("In A"), Column("Paired by"), Column("What was done")]
    return folded(f"{count(len(rows))} tensors", table("Tensors", columns, rows, tall=True))


def _paired(each: TensorChange) -> str:
    return ", ".join(filter(None, (each.how, each.view)))
