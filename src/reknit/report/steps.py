"""The steps of a search along a chart's horizontal axis: thinned where they are many, named, in stages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise

from reknit.report.charts import Band, Slice
from reknit.report.formatting import number

MOST_STEPS = 400
"""Steps that are drawn; a longer search is thinned evenly, keeping where stages begin and end."""


def thinned(stages: Sequence[str], most: int = MOST_STEPS) -> list[int]:
    """At most about ``most`` steps, by their place, with the first and last of each stage among them.

    >>> thinned(["given", "round", "round", "round", "round", "round"], most=2)
    [0, 1, 3, 5]
    """
    last = len(stages) - 1
    stride = max(1, math.ceil(len(stages) / most))
    turns = {k for k in range(last) if stages[k] != stages[k + 1]}
    kept = {0, last, *range(0, last, stride)}
    if len(turns) <= most:  # a search that changes its stage at every step has no stages to keep
        kept |= turns | {k + 1 for k in turns}
    return sorted(kept)


def step_slices(positions: Sequence[int], tips: Sequence[str], total: int) -> tuple[Slice, ...]:
    """A stretch for each step that is drawn, ``positions`` counting from 1, with what it says of itself."""
    starts = [0.5, *((a + b) / 2 for a, b in pairwise(positions))]
    ends = [*starts[1:], total + 0.5]
    return tuple(Slice(start, end, tip) for start, end, tip in zip(starts, ends, tips, strict=True))


def stage_bands(stages: Sequence[str]) -> tuple[Band, ...]:
    """Neighbouring steps of one stage as one band; none where stages change too often to be seen."""
    bands = []
    start = 0.5
    for stage, run in groupby(stages):
        end = start + len(list(run))
        bands.append(Band(start, end, stage))
        start = end
    return tuple(bands) if len(bands) <= MOST_STEPS else ()


def from_to(values: Sequence[float | None]) -> str:
    """Where a series begins and ends, in words."""
    known = [v for v in values if v is not None]
    if not known:
        return "not known"
    return number(known[0]) if len(known) == 1 else f"{number(known[0])} → {number(known[-1])}"
