"""A wiring as one self-contained HTML page: the verdict, every slot, how it was found, how to repeat it."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from reknit.containers.write import write_file
from reknit.report.charts import Chart, Panel, Rule, draw_chart
from reknit.report.formatting import count, duration, number, plural, quantity
from reknit.report.markup import Child, el
from reknit.report.parts import Column, beside, figure, folded, section, table, text
from reknit.report.run import run_parts, time_parts
from reknit.report.shell import page as shell
from reknit.report.steps import from_to, stage_bands, step_slices, thinned
from reknit.wiring.page_glance import glance
from reknit.wiring.page_slots import depth_tables, every_slot, names
from reknit.wiring.result import ExchangeTests, Step, Wiring

MOST_SETS = 1000
"""Sets of undecided slots that are listed."""


def page(wiring: Wiring) -> str:
    """The page as text; the same wiring gives the same bytes."""
    sections = [
        section("slots", "Slots", *depth_tables(wiring), every_slot(wiring)),
        section("evidence", "What it rests on", *_evidence(wiring)),
        section("undecided", "Undecided", *_undecided(wiring)),
        section("network", "The network", *_network(wiring)),
        section("search", "Search", _search(wiring), beside(time_parts(wiring.seconds))),
        section("run", "Repeat this run", *run_parts(wiring.run)),
    ]
    title = f"{wiring.verdict}: {plural(len(wiring.slots), 'tensor')} put in place"
    return shell(title, "reknit assemble", glance(wiring), sections, f"Written by reknit {wiring.run.get('version')}.")


def write_page(wiring: Wiring, path: Path, *, force: bool = False) -> None:
    """Write the page.

    Raises:
        OutputError: something is there already and ``force`` is not given, or the place cannot be written.
    """
    write_file(path, page(wiring), force=force)


def _evidence(wiring: Wiring) -> list[Child]:
    parts: list[Child] = [text(_weights_said(wiring))]
    residual, tests = wiring.residual, wiring.evidence.tests
    if residual is None or tests is None:
        return [*parts, text("No recorded outputs were given, so nothing was asked of the network itself.", "quiet")]
    rows: list[list[Child]] = [
        [str(k), quantity(off), quantity(most), quantity(mse)]
        for k, (off, most, mse) in enumerate(
            zip(residual["max_abs"], residual["tolerance"], residual["mse"], strict=True)
        )
    ]
    columns = [Column("Output"), *(Column(t, "right") for t in ("Largest error", "Tolerated", "Mean squared error"))]
    caption = f"Against {count(residual['numbers'])} recorded numbers"
    return [*parts, table(caption, columns, rows), el("h3", "Exchanges"), *_exchanges(tests)]


def _weights_said(wiring: Wiring) -> str:
    words = (
        "Weights propose: each margin says, in log-odds and by the weights alone, how far the tensor in a slot is "
        "ahead of its best rival."
    )
    moved = len(wiring.evidence.by_weights)
    if wiring.residual is None:
        return words
    if not moved:
        return f"{words} Recorded outputs left all of them where the weights had them."
    return f"{words} Recorded outputs put {plural(moved, 'tensor')} elsewhere than the weights had them."


def _exchanges(tests: ExchangeTests) -> list[Child]:
    if not tests.tested and not tests.undecided:
        return [text("Nothing was tested: the error is too large, or no two tensors share a shape.", "quiet")]
    rows: list[list[Child]] = [
        ["Pairs of tensors of one shape", quantity(tests.tested)],
        ["Rejected by first-order effects, by far", quantity(tests.screened)],
        ["Not rejected", quantity(tests.undecided)],
        ["Rejected from z =", quantity(tests.level)],
        ["Lowest z among those rejected exactly", quantity(tests.weakest)],
    ]
    words = text(
        "Every exchange of two tensors of one shape is held against the record. It is rejected when the record lies "
        "far enough from what the exchanged network would answer, in standard errors (z)."
    )
    return [words, table("Exchanges held against the record", [Column("What"), Column("How many", "right")], rows)]


def _undecided(wiring: Wiring) -> list[Child]:
    parts: list[Child] = []
    if wiring.identical:
        rows: list[list[Child]] = [[quantity(len(slots)), names(slots)] for slots in wiring.identical[:MOST_SETS]]
        words = "These hold tensors of equal bits. Which copy is where cannot be told and makes no difference."
        parts = [text(words), table("Identical copies", [Column("Copies"), Column("Slots")], rows, tall=True)]
    if not wiring.undecided:
        words = "Nothing was tested." if wiring.verdict == "failed" else "Nothing is open."
        return [*parts, text(words, "quiet")]
    by = "anything in the record" if wiring.residual is not None else "enough in the weights"
    rows = [[quantity(len(slots)), names(slots)] for slots in wiring.undecided[:MOST_SETS]]
    caption = f"{plural(len(wiring.undecided), 'set')} of slots whose tensors may change places without {by} against it"
    if len(wiring.undecided) > MOST_SETS:
        caption += f"; the first {count(MOST_SETS)} are listed, all of them are in assembly.json"
    return [*parts, table(caption, [Column("Slots in the set"), Column("Which")], rows, tall=True)]


def _network(wiring: Wiring) -> list[Child]:
    inferred = wiring.skeleton
    parts: list[Child] = [el("p", "Skeleton: ", el("bdi", inferred.like))]
    if not inferred.read_from:
        parts.append(text("It was given, not inferred.", "quiet"))
    else:
        rows: list[list[Child]] = [[line] for line in inferred.read_from]
        parts.append(table("Inferred from the shapes of the tensors", [Column("How many of which shape: what")], rows))
    if inferred.alternatives:
        rows = [[line] for line in inferred.alternatives]
        parts.append(folded("What else would fit", table("What shapes do not tell", [Column("Open")], rows)))
    return parts


def _search(wiring: Wiring) -> Element:
    """The error after each step of the search by recorded outputs."""
    steps = wiring.evidence.steps
    if not steps:
        return text("There was no search by recorded outputs.", "quiet")
    stages = [step.stage for step in steps]
    drawn = thinned(stages)
    at, errors = [k + 1 for k in drawn], [steps[k].error for k in drawn]
    one = Rule(1.0, "the mean answer")
    panel = Panel("Error", from_to(errors), [float(k) for k in at], errors, log=True, rules=(one,))
    chart = Chart(
        label=f"Along {count(len(steps))} steps, the error goes {from_to(errors)} in units of the recorded variance.",
        panels=(panel,),
        x_title="step of the search",
        x_range=(0.5, len(steps) + 0.5),
        slices=step_slices(at, [_tip(k, steps[k - 1]) for k in at], len(steps)),
        bands=stage_bands(stages),
    )
    caption = (
        "Mean squared error in units of the recorded variance; in the rounds, of mixtures of tensors. Look for the "
        "fall to rounding at the end; a flat end above it is a search that did not arrive."
    )
    if len(drawn) < len(steps):
        caption += f" Drawn: {count(len(drawn))} of {count(len(steps))} steps."
    return figure(draw_chart(chart), caption)


def _tip(position: int, step: Step) -> str:
    return (
        f"step {count(position)}, {step.stage}: error {number(step.error)}, {count(step.certain)} open slots certain, "
        f"after {duration(step.seconds)}"
    )
