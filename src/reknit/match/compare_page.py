"""A comparison as one self-contained HTML page: as functions, layer by layer, beside other depths, and as weights."""

from __future__ import annotations

from pathlib import Path

from reknit.containers.write import write_file
from reknit.match.compare import Comparison
from reknit.match.compare_page_layers import depths, interval, layers, subspaces
from reknit.report.formatting import count, number, plural, share
from reknit.report.markup import Child, el
from reknit.report.parts import Column, Fact, facts, section, table, text
from reknit.report.run import run_parts, time_parts
from reknit.report.shell import page as shell

LAFTR = (
    "LAFTR: from {stored}, and the mean and covariance of the inputs. It ranks distances within one basis well and is "
    "off in size; between networks trained apart only the aligned one means anything."
)


def page(found: Comparison) -> str:
    """The page as text; the same comparison gives the same bytes but for the seconds."""
    top = el("div", el("h1", "How alike two networks are"), facts(_facts(found)), class_="hero")
    sections = [section("functions", "As functions", *_functions(found))]
    seen = found.representations
    if seen is None:
        sections.append(section("layers", "Layer by layer", text(f"Not compared: {found.no_representations}")))
    else:
        sections.append(section("layers", "Layer by layer", *layers(seen)))
        sections.append(section("depths", "Beside other depths", *depths(seen.matrix)))
        sections.append(section("subspaces", "Leading directions", *subspaces(seen.sites)))
    sections.append(section("weights", "Weights", *_weights(found)))
    sections.append(section("run", "The run", *run_parts(found.run), *time_parts(found.seconds)))
    footer = f"Written by reknit {found.run['version']}."
    return shell("How alike two networks are", "reknit compare", top, sections, footer)


def write_page(found: Comparison, path: Path, *, force: bool = False) -> None:
    """Write the page.

    Raises:
        OutputError: something is there already and ``force`` is not given, or the place cannot be written.
    """
    write_file(path, page(found), force=force)


def _facts(found: Comparison) -> list[Fact]:
    items = []
    for each in found.answers[:1]:
        same = "" if each.same is None else f"the same answer in {share(each.same.value)} of all cases"
        if each.distance is not None:
            beside = "of both variances; 100 %: unrelated" + (f"; {same}" if same else "")
            items.append(Fact("Distance as functions", share(each.share), beside))
        elif each.same is not None:
            items.append(Fact("Same answer", share(each.same.value), f"of all cases, {plural(found.rows, 'row')}"))
    if found.estimate is not None:
        known = found.true is not None and found.true > 0
        beside = f"true: {number(found.true)}" if known else "squared distance"
        items.append(Fact("Estimated without data", number(found.estimate.best), beside))
    if found.representations is not None and found.representations.matrix.found[1]:
        own, asked = found.representations.matrix.found
        items.append(Fact("Most like their own counterpart", f"{count(own)} of {count(asked)}", "layers, by CKA"))
    before, after = found.directions
    if before is not None:
        beside = "leading singular directions of the weights" + (
            "" if after is None else f"; aligned {number(after, 2)}"
        )
        items.append(Fact("Directions", number(before, 2), beside))
    return items


def _functions(found: Comparison) -> list[Child]:
    parts: list[Child] = [text(note) for note in found.notes]
    if found.answers:
        columns = [Column("Answers"), Column("Squared distance, 95 %", "right"), Column("Of both variances", "right")]
        columns += [Column("Same answer, 95 %", "right"), Column("Divergence in nats, 95 %", "right")]
        rows: list[list[Child]] = [
            [each.name, interval(each.distance), share(each.share), interval(each.same), interval(each.divergence)]
            for each in found.answers
        ]
        parts.append(table(f"On {plural(found.rows, 'row')} of data", columns, rows))
    else:
        parts.append(text("Answers are not compared: there are no inputs."))
    return [*parts, *_estimate(found)]


def _estimate(found: Comparison) -> list[Child]:
    if found.estimate is None:
        return [text(f"No estimate without data. {found.no_estimate}")]
    kept, true = found.estimate, found.true
    known = {"estimated, as they are": kept.before, "estimated, aligned": kept.after, "true, on the data": true}
    rows: list[list[Child]] = [
        [name, number(value), _over(value, true), share(_part(value, kept.spread))]
        for name, value in known.items()
        if value is not None
    ]
    columns = [Column("Squared distance"), Column("Value", "right"), Column("Over the true one", "right")]
    columns.append(Column("Of the first network's variance", "right"))
    stored = f"{plural(kept.numbers, 'stored number')}, one for each ReLU, over {plural(kept.rows, 'row')}"
    words = LAFTR.format(stored=stored)
    return [el("h3", "Without data"), text(words), table("By LAFTR", columns, rows)]


def _part(value: float, whole: float | None) -> float | None:
    return value / whole if whole else None


def _over(value: float, true: float | None) -> str:
    return number(_part(value, true), 3)


def _weights(found: Comparison) -> list[Child]:
    after = {each.slot: each for each in found.after}
    columns = [Column("Tensor"), Column("Distance", "right"), Column("Directions", "right")]
    columns += [Column("Distance, aligned", "right"), Column("Directions, aligned", "right")] if after else []
    rows: list[list[Child]] = []
    for each in found.before:
        row: list[Child] = [each.slot, number(each.distance), number(each.directions, 2)]
        if after:
            row += [number(after[each.slot].distance), number(after[each.slot].directions, 2)]
        rows.append(row)
    words = "Distance: 0 equal, about 1.4 unrelated. Directions: how far leading singular directions agree, 1 all."
    return [text(words), table("Tensor by tensor", columns, rows, tall=True)]
