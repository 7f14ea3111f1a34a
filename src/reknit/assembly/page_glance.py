"""The top of the page: the verdict in one glance, and the few numbers it rests on."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from reknit.assembly.result import Assembly, Residual, Verdict
from reknit.report.formatting import count, duration, number, plural, quantity
from reknit.report.markup import el
from reknit.report.parts import Fact
from reknit.report.verdict import hero

_MEANING: dict[Verdict, str] = {
    "exact": "Every row of the data is reproduced to rounding, and the data reject every neighbouring arrangement.",
    "consistent": "The error sits at the floor expected of the right arrangement, and the data reject every "
    "neighbouring arrangement.",
    "ambiguous": "The data do not decide everything: the rearrangements listed below fit as well.",
    "failed": "No arrangement was found that the data accept. This is the best one, and what blocks it.",
}


def glance(assembly: Assembly) -> Element:
    """The verdict, its meaning and reason, and the facts to hold it against."""
    return hero(assembly.verdict, _MEANING[assembly.verdict], assembly.reason, _facts(assembly))


def _facts(assembly: Assembly) -> list[Fact]:
    residual, spec, evidence = assembly.residual, assembly.spec, assembly.evidence
    tested, undecided = sum(evidence.moves.values()), len(assembly.undecided)
    margins = [pair.margin for pair in assembly.pairs if not math.isnan(pair.margin)]
    weakest = min(margins) if margins else None
    return [
        Fact(
            "Network",
            plural(spec.blocks, "block"),
            f"{count(spec.width)} wide, {count(spec.hidden)} hidden, {plural(spec.outputs, 'output')}; "
            f"{spec.activation}, norm {spec.norm}, final norm {spec.final_norm}",
        ),
        Fact("Largest error", quantity(residual.max_abs), _against(residual.max_abs, residual.tolerance, "tolerance")),
        Fact("Mean squared error", quantity(residual.mse), _against(residual.mse, residual.floor, "floor")),
        Fact("Rows compared", quantity(residual.rows), _unexplained(residual)),
        Fact("Moves tested", quantity(tested), f"{count(tested - undecided)} rejected, {count(undecided)} undecided"),
        Fact(
            "Lowest rejected z",
            quantity(min(evidence.rejected_z.values(), default=None)),
            el("span", "a move is rejected from ", quantity(evidence.level), " on"),
        ),
        Fact("Lowest margin", quantity(weakest), _weakest_pair(assembly, weakest)),
        Fact(
            "Time", duration(sum(assembly.seconds.values())) if assembly.seconds else number(None), _longest(assembly)
        ),
    ]


def _against(value: float, limit: float, name: str) -> Element:
    """The value in units of its limit, where there is one."""
    ratio = _ratio(value, limit)
    words = f"{name} " if ratio is None else f"{number(ratio, 2)} × the {name} of "
    return el("span", words, quantity(limit))


def _unexplained(residual: Residual) -> Element:
    ratio = _ratio(residual.mse, residual.variance)
    words = "variance of the outputs "
    if ratio is not None:
        words = f"the error is {number(ratio, 2)} × the outputs' variance of "
    return el("span", words, quantity(residual.variance))


def _ratio(value: float, limit: float) -> float | None:
    return value / limit if limit > 0 and math.isfinite(limit) and math.isfinite(value / limit) else None


def _weakest_pair(assembly: Assembly, weakest: float | None) -> str:
    for k, pair in enumerate(assembly.pairs):
        if pair.margin == weakest:
            return f"block {k}: {pair.in_piece} with {pair.out_piece}"
    return ""


def _longest(assembly: Assembly) -> str:
    if not assembly.seconds:
        return ""
    stage = max(assembly.seconds, key=lambda name: assembly.seconds[name])
    return f"longest stage: {stage}, {duration(assembly.seconds[stage])}"
