"""A comparison as one self-contained HTML page: as functions, layer by layer, beside other depths, and as weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from reknit.containers.write import write_file
from reknit.match.compare import Comparison
from reknit.match.judging import Interval
from reknit.match.likeness import Leading
from reknit.match.site_by_site import CkaMatrix, SiteBySite, SiteLikeness
from reknit.report.charts import Chart, Panel, Slice, draw_chart
from reknit.report.formatting import MISSING, count, number, plural, share
from reknit.report.heatmap import Heatmap, draw_heatmap
from reknit.report.markup import Child, el
from reknit.report.parts import Column, Fact, facts, figure, section, table, text
from reknit.report.run import run_parts, time_parts
from reknit.report.shell import page as shell

BLIND = (
    "None of these needs a common basis. CCA does not see invertible linear maps at all: a layer that maps its inputs "
    "without loss has theirs."
)
SUBSPACES = (
    "Directions whose deviation is at least .3 of the largest, as subspaces of units, which need one basis: compare "
    "them after alignment. The radius is that of the 95 % confidence region for the first network's subspace; what "
    "lies within it cannot be told from it by these rows. Distances are those of projectors, with those of random "
    "subspaces beside them."
)
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
        sections.append(section("layers", "Layer by layer", *_layers(seen)))
        sections.append(section("depths", "Beside other depths", *_depths(seen.matrix)))
        sections.append(section("subspaces", "Leading directions", *_subspaces(seen.sites)))
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


def _interval(found: Interval | None, digits: int = 3) -> str:
    if found is None:
        return MISSING
    value = number(found.value, digits)
    return value if math.isnan(found.low) else f"{value} ({number(found.low, digits)} to {number(found.high, digits)})"


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
            [each.name, _interval(each.distance), share(each.share), _interval(each.same), _interval(each.divergence)]
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


def _layers(seen: SiteBySite) -> list[Child]:
    positions = max((each.positions for each in seen.sites), default=1)
    words = f"Each layer of the first network against the same one of the second, {plural(seen.rows, 'row')}. "
    if positions > 1:
        words += f"Rows have up to {count(positions)} positions; those of one row go together in intervals. "
    parts: list[Child] = [text(words + BLIND)]
    parts += [text(note[0].upper() + note[1:] + ".") for note in seen.notes]
    if not seen.sites:
        return parts
    columns = [Column("Layer"), Column("Units", "right"), Column("CKA, 95 %", "right"), Column("CCA", "right")]
    columns += [Column("By chance", "right"), Column("Leading directions agree", "right"), Column("What to know")]
    return [
        *parts,
        _curves(seen.sites),
        table("Layer by layer", columns, [_row(each) for each in seen.sites], tall=True),
    ]


def _row(each: SiteLikeness) -> list[Child]:
    leading = MISSING if each.leading is None else f"{number(each.leading.agreement, 2)} of {each.leading.rank}"
    chance = MISSING if each.cca.value is None else number(each.cca.chance, 2)
    cka, cca = _interval(each.cka, 2), number(each.cca.value, 2)
    return [each.name, count(each.units), cka, cca, chance, leading, "; ".join(_remarks(each)) or MISSING]


def _remarks(each: SiteLikeness) -> list[str]:
    known = []
    if any(each.constant):
        known.append(f"{each.constant[0]} and {each.constant[1]} units never vary")
    if each.cka is None:
        known.append("too few rows, or nothing varies, for CKA")
    if each.cca.reason:
        known.append(f"no CCA: {each.cca.reason}")
    if each.cca.how == "stochastic":
        known.append(f"CCA stochastic, the largest {each.cca.count}: at most the exact ones")
    return known


def _curves(sites: Sequence[SiteLikeness]) -> Element:
    at = [float(k) for k in range(len(sites))]
    lines = {
        "CKA": [None if each.cka is None else each.cka.value for each in sites],
        "CCA, mean squared": [each.cca.value for each in sites],
        "Leading directions": [None if each.leading is None else each.leading.agreement for each in sites],
    }
    panels = tuple(Panel(name, _range(values), at, values, height=90.0) for name, values in lines.items())
    slices = tuple(
        Slice(k - 0.5, k + 0.5, f"{k} {each.name}: " + ", ".join(number(values[k], 2) for values in lines.values()))
        for k, each in enumerate(sites)
    )
    label = "CKA, canonical correlations and agreement of leading directions along the forward pass."
    chart = Chart(label, panels, "layer, in the order of the forward pass", (-0.5, len(sites) - 0.5), slices)
    return figure(
        draw_chart(chart), "1 is the same up to what each measure does not see; each network in its own basis."
    )


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{number(min(known), 2)} to {number(max(known), 2)}" if known else "not known"


def _depths(matrix: CkaMatrix) -> list[Child]:
    if len(matrix.names) < 2:
        return [text("There are no other depths to compare with.")]
    own, asked = matrix.found
    numbered = [f"{k} {name}" for k, name in enumerate(matrix.names)]
    heat = Heatmap(
        label=f"CKA of all layers of one network with all of the other; {own} of {asked} are most like their own.",
        values=matrix.values,
        rows=[f"first {name}" for name in numbered],
        columns=[f"second {name}" for name in numbered],
        margins=matrix.margins.tolist(),
        row_title="layer of the first network",
        column_title="layer of the second network",
        value_title="CKA",
        diagonal="its own counterpart",
    )
    words = "A high CKA says little where other pairs are as high: the margin is what a layer has over its best rival."
    missing = " Where two layers have other positions they cannot be compared." if not _whole(matrix) else ""
    return [text(words + missing), figure(draw_heatmap(heat), "Look for a diagonal that stands out from its rows.")]


def _whole(matrix: CkaMatrix) -> bool:
    return all(math.isfinite(value) for row in matrix.values.tolist() for value in row)


def _subspaces(sites: Sequence[SiteLikeness]) -> list[Child]:
    columns = [Column("Layer"), Column("Directions", "right"), Column("Share of variance", "right")]
    columns += [Column(name, "right") for name in ("Radius", "As it is", "Aligned", "Unrelated")]
    columns.append(Column("What it says"))
    rows: list[list[Child]] = [
        [
            each.name,
            count(each.leading.rank),
            " and ".join(share(part) for part in each.leading.share),
            number(each.leading.radius, 2),
            number(each.leading.before, 2),
            number(each.leading.after, 2),
            number(each.leading.unrelated, 2),
            _said(each.leading),
        ]
        for each in sites
        if each.leading is not None
    ]
    return [text(SUBSPACES), table("Leading subspaces", columns, rows, tall=True)]


def _said(leading: Leading) -> str:
    if leading.radius is None:
        return f"no region: {leading.reason}"
    if leading.vacuous:
        return "vacuous: these rows do not tell which directions lead"
    nearest = leading.before if leading.after is None else leading.after
    aligned = "" if leading.after is None else ", aligned"
    return f"within the region{aligned}" if nearest <= leading.radius else f"another subspace{aligned}"


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
