"""The reliability diagram of docs/wiring.md, from what ``bench.learn_evidence`` wrote with ``--out``.

    python -m bench.reliability_picture --out docs/reliability.svg LABEL=FILE...

For each file a dot in every stretch of margins: the share that was right there, with Wilson's 95 % interval
(doi:10.1080/01621459.1927.10502953) and how many were reported.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

from bench.reliability import BOUNDS, Outcome, binned, pooled, read
from reknit.report.markup import el

COLOURS = ("#1d5fa8", "#c2571a", "#4b7f2f")
LEFT, TOP, STEP, HEIGHT, GAP = 46.0, 46.0, 78.0, 150.0, 62.0
WIDTH = LEFT + STEP * (len(BOUNDS) - 1) + 10
STYLE = "text{font:12px sans-serif;fill:#333}.title{font-weight:600}.small{font-size:10px;fill:#666}"


def wilson(right: int, reported: int, z: float = 1.96) -> tuple[float, float]:
    """A 95 % interval of a share.

    >>> [round(end, 2) for end in wilson(9, 10)]
    [0.6, 0.98]
    """
    share, weight = right / reported, z * z / reported
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / reported + weight / (4 * reported))
    return middle - half, middle + half


def picture(series: Sequence[tuple[str, Sequence[Outcome]]]) -> Element:
    """Slots above, edges below."""
    parts: list[Element] = [el("style", STYLE), el("rect", width="100%", height="100%", fill="#fff")]
    for k, (label, _) in enumerate(series):
        x = LEFT + 230.0 * k
        parts += [el("circle", cx=x, cy=16.0, r=4.0, fill=COLOURS[k]), el("text", label, x=x + 9, y=20.0)]
    for which, what in enumerate(("slots", "edges")):
        top = TOP + which * (HEIGHT + GAP)
        parts += _frame(what, top)
        for k, (_, outcomes) in enumerate(series):
            _, margin, right = pooled(outcomes)[which]
            offset = STEP * (k + 1) / (len(series) + 1)
            for low, _, reported, good in binned(margin, right):
                parts += _dot(LEFT + STEP * BOUNDS.index(low) + offset, top, (good, reported), COLOURS[k])
    height = TOP + 2 * (HEIGHT + GAP) - 14
    label = "Share of slots and of edges that was right, by margin, with 95 % intervals"
    return el("svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH:g} {height:g}", aria_label=label)


def _frame(what: str, top: float) -> list[Element]:
    parts = [el("text", f"{what}: share that is right, by margin", class_="title", x=4.0, y=top - 9)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + HEIGHT * (1 - tick)
        parts.append(el("line", x1=LEFT, x2=WIDTH - 10, y1=y, y2=y, stroke="#ddd"))
        parts.append(el("text", f"{tick:g}", x=LEFT - 8, y=y + 4, text_anchor="end"))
    for k, (low, high) in enumerate(itertools.pairwise(BOUNDS)):
        x = LEFT + STEP * k
        text = (
            f"below {high:g}"
            if math.isinf(low)
            else f"{low:g} and more"
            if math.isinf(high)
            else f"{low:g} to {high:g}"
        )
        parts.append(el("line", x1=x, x2=x, y1=top, y2=top + HEIGHT, stroke="#eee"))
        parts.append(el("text", text, x=x + STEP / 2, y=top + HEIGHT + 28, text_anchor="middle"))
    return parts


def _dot(x: float, top: float, counts: tuple[int, int], colour: str) -> list[Element]:
    low, high = wilson(*counts)
    y, y_low, y_high = (top + HEIGHT * (1 - share) for share in (counts[0] / counts[1], low, high))
    return [
        el("line", x1=x, x2=x, y1=y_low, y2=y_high, stroke=colour, stroke_width=1.5),
        el("circle", cx=x, cy=y, r=4.0, fill=colour),
        el("text", str(counts[1]), class_="small", x=x, y=top + HEIGHT + 13, text_anchor="middle"),
    ]


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(prog="bench.reliability_picture")
    parser.add_argument("files", nargs="+", help="LABEL=FILE")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    series = [(label, read(Path(file))) for label, _, file in (text.partition("=") for text in asked.files)]
    asked.out.write_text(tostring(picture(series), encoding="unicode") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
