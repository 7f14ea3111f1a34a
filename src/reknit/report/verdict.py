"""The top of a page: a verdict in one glance, what it means, why, and the numbers to hold it against."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from reknit.report.markup import Child, el
from reknit.report.parts import Fact, facts, text

# drawn in a box of 24: a word alone says the verdict too, so neither colour nor shape has to
_SIGNS = {
    "exact": "M7 12.5l3.4 3.4L17 8.6",
    "consistent": "M7 10c1.7-1.7 3.3-1.7 5 0s3.3 1.7 5 0M7 14.6c1.7-1.7 3.3-1.7 5 0s3.3 1.7 5 0",
    "ambiguous": "M9 9.6c0-4 6-4 6-.3 0 2.3-3 2.4-3 4.6M12 17.3v.01",
    "failed": "M8 8l8 8M16 8l-8 8",
}


def hero(verdict: str, meaning: str, reason: str, items: Sequence[Fact], *more: Child) -> Element:
    """The verdict with its sign, and the facts.

    Args:
        verdict: ``exact``, ``consistent``, ``ambiguous`` or ``failed``.
        meaning: what the word says of any result, in a sentence.
        reason: why it was given here; may be empty.
        items: the facts.
        more: what else has to be said before them.
    """
    sign = el(
        "svg",
        el("circle", cx=12, cy=12, r=12, class_="disc"),
        el("path", d=_SIGNS[verdict], class_="sign"),
        viewBox="0 0 24 24",
        aria_hidden="true",
    )
    return el(
        "div",
        el("h1", sign, verdict.capitalize(), class_=f"verdict is-{verdict}"),
        text(meaning, "lead"),
        text(reason, "reason") if reason else None,
        *more,
        facts(items),
        class_="hero",
    )
