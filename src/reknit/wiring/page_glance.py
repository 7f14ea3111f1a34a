"""The top of a wiring's page: the verdict in one glance, and the few numbers it rests on."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from reknit.report.formatting import count, duration, number, plural, quantity
from reknit.report.markup import el
from reknit.report.parts import Fact, text
from reknit.report.verdict import hero
from reknit.wiring.result import Verdict, Wiring

_MEANING: dict[Verdict, str] = {
    "exact": "Every recorded answer is reproduced to rounding, and the record rejects every exchange of two tensors.",
    "consistent": "The error is what noise or coarse numbers leave, and the record rejects every exchange of two "
    "tensors.",
    "ambiguous": "Not everything is decided: the slots listed below may hold each other's tensors.",
    "failed": "No placement was found that answers as it was recorded. This is the best one, and what blocks it.",
}


def glance(wiring: Wiring) -> Element:
    """The verdict, its meaning and reason, what was done to the pile, and the facts."""
    notes = [text(f"{note}.", "reason") for note in wiring.notes]  # begins with a name: no capital
    return hero(wiring.verdict, _MEANING[wiring.verdict], wiring.reason, _facts(wiring), *notes)


def _facts(wiring: Wiring) -> list[Fact]:
    certain = sum(placed.certain for placed in wiring.slots)
    likely = len(wiring.evidence.likely)
    rest = len(wiring.slots) - certain - likely
    items = [
        Fact("Network", plural(len(wiring.slots), "slot"), el("bdi", wiring.skeleton.like)),
        Fact("Certain", quantity(certain), f"{count(likely)} likely, {count(rest)} open"),
        *_errors(wiring),
        Fact("Lowest margin", quantity(_lowest(wiring)), "of all slots with a rival, by the weights alone"),
    ]
    if wiring.seconds:
        stage = max(wiring.seconds, key=lambda name: wiring.seconds[name])
        note = f"longest stage: {stage}, {duration(wiring.seconds[stage])}"
        items.append(Fact("Time", duration(sum(wiring.seconds.values())), note))
    return items


def _lowest(wiring: Wiring) -> float | None:
    return min((placed.margin for placed in wiring.slots if math.isfinite(placed.margin)), default=None)


def _errors(wiring: Wiring) -> list[Fact]:
    residual, tests = wiring.residual, wiring.evidence.tests
    if residual is None or tests is None:
        return [Fact("Recorded outputs", "none", "the weights alone never give more than ambiguous")]
    off, most = max(zip(residual["max_abs"], residual["tolerance"], strict=True), key=lambda pair: _ratio(*pair))
    ratio = _ratio(off, most)
    words = f"{number(ratio, 2)} × the tolerance of " if math.isfinite(ratio) else "tolerance "
    z = el("span", "an exchange is rejected from ", quantity(tests.level), " on")
    if tests.screened and math.isinf(tests.weakest):
        z = el("span", "first-order effects alone rejected all, by far beyond ", quantity(tests.level))
    return [
        Fact("Largest error", quantity(off), el("span", words, quantity(most))),
        Fact("Numbers compared", quantity(residual["numbers"]), f"over {_rows(wiring)}"),
        Fact("Exchanges tested", quantity(tests.tested), f"{count(tests.undecided)} not rejected"),
        Fact("Lowest rejected z", quantity(tests.weakest), z),
    ]


def _ratio(off: float | None, most: float | None) -> float:
    """The error in units of the tolerance; null in JSON is infinite."""
    if off is None or most is None:
        return math.inf
    if most > 0:
        return off / most
    return 0.0 if off == 0 else math.inf


def _rows(wiring: Wiring) -> str:
    data = wiring.run.get("data") or {}
    rows = data.get("rows")
    return "the record" if rows is None else plural(rows, "row")
