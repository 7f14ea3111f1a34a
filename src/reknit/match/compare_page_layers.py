"""The part of a comparison's page about representations: layer by layer, beside other depths, leading directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from reknit.match.judging import Interval
from reknit.match.likeness import Leading
from reknit.match.site_by_site import CkaMatrix, SiteBySite, SiteLikeness
from reknit.report.charts import Chart, Panel, Slice, draw_chart
from reknit.report.formatting import MISSING, count, number, plural, share
from reknit.report.heatmap import Heatmap, draw_heatmap
from reknit.report.markup import Child
from reknit.report.parts import Column, figure, table, text

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


def interval(found: Interval | None, digits: int = 3) -> str:
    """A number and its interval, where it has one."""
    if found is None:
        return MISSING
    value = number(found.value, digits)
    return value if math.isnan(found.low) else f"{value} ({number(found.low, digits)} to {number(found.high, digits)})"


def layers(seen: SiteBySite) -> list[Child]:
    """CKA, CCA and leading directions of every site and its counterpart."""
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
    cka, cca = interval(each.cka, 2), number(each.cca.value, 2)
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


def depths(matrix: CkaMatrix) -> list[Child]:
    """Every site against those at other depths."""
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


def subspaces(sites: Sequence[SiteLikeness]) -> list[Child]:
    """Leading subspaces of units, and what the rows tell of them."""
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
