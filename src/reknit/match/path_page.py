"""A path as one self-contained HTML page: loss and accuracy along the line, barriers, and layers on their own."""

from __future__ import annotations

from pathlib import Path as FilePath
from xml.etree.ElementTree import Element

from reknit.containers.write import write_file
from reknit.match.judging import Interval
from reknit.match.path import Path
from reknit.report.charts import Chart, Panel, Slice, draw_chart
from reknit.report.formatting import count, number
from reknit.report.markup import Child, el
from reknit.report.parts import Column, Fact, facts, figure, section, table, text
from reknit.report.shell import page as shell


def page(found: Path) -> str:
    """The page as text; the same path gives the same bytes."""
    best = min(found.curves, key=lambda name: found.curves[name].barrier().value)
    items = [Fact("Barrier, as they are", _interval(found.curves["naive"].barrier()), "excess loss on the line")]
    items += [Fact(f"Least barrier: {best}", _interval(found.curves[best].barrier()), f"of {count(found.rows)} rows")]
    top = el("div", el("h1", "Between two networks"), facts(items), class_="hero")
    sections = [section("line", "Along the line", _figure(found, "loss"), *_accuracy(found), _barriers(found))]
    if found.layers:
        sections.append(section("layers", "Layer by layer", *_layers(found)))
    return shell("Between two networks", "reknit path", top, sections, f"Written by reknit {found.run['version']}.")


def write_page(found: Path, path: FilePath, *, force: bool = False) -> None:
    """Write the page.

    Raises:
        OutputError: something is there already and ``force`` is not given, or the place cannot be written.
    """
    write_file(path, page(found), force=force)


def _interval(found: Interval) -> str:
    return f"{number(found.value, 3)} ({number(found.low, 3)} to {number(found.high, 3)})"


def _figure(found: Path, what: str) -> Element:
    panels = []
    for name, curve in found.curves.items():
        values = curve.losses if what == "loss" else curve.accuracies
        if values is None:
            continue
        summary = f"{number(float(values[0]), 3)} to {number(float(values[-1]), 3)} at the ends"
        panels.append(Panel(f"{what}, {name}", summary, curve.places.tolist(), values.tolist(), height=110.0))
    places = next(iter(found.curves.values())).places.tolist()
    half = (places[1] - places[0]) / 2
    slices = tuple(
        Slice(t - half, t + half, f"t {number(t, 2)}: " + ", ".join(number(float(p.y[k] or 0.0), 3) for p in panels))
        for k, t in enumerate(places)
    )
    label = f"{what.capitalize()} from the first network, on the left, to the second, on the right."
    chart = Chart(label, tuple(panels), "share of the second network", (-half, 1 + half), slices)
    caption = "A hump between the ends is a barrier: their mean is worse than either. Aligned, it should be flat."
    return figure(draw_chart(chart), caption)


def _accuracy(found: Path) -> list[Child]:
    return [_figure(found, "accuracy")] if found.curves["naive"].right is not None else []


def _barriers(found: Path) -> Element:
    rows: list[list[Child]] = []
    for name, curve in found.curves.items():
        middle, accuracy = len(curve.places) // 2, curve.accuracies
        right = "" if accuracy is None else number(float(accuracy[middle]), 3)
        rows.append([name, _interval(curve.barrier()), number(float(curve.losses[middle]), 3), right])
    columns = [Column("Line"), Column("Barrier, 95 %", "right"), Column("Loss half way", "right")]
    return table("Barriers", [*columns, Column("Accuracy half way", "right")], rows)


def _layers(found: Path) -> list[Child]:
    rows: list[list[Child]] = [[each.layer, _interval(each.naive), _interval(each.aligned)] for each in found.layers]
    columns = [Column("Layer"), Column("As it is", "right"), Column("Aligned", "right")]
    words = "Excess loss of the first network when this layer alone is averaged with the second one's."
    return [text(words), table("One layer half way", columns, rows, tall=True)]
