"""How far a barrier has to stay below what is bearable, so that ``should work`` is seldom wrong.

What parents foresee of their merged network is too low where they err together (``excess``), and no correction of the
estimate helped (dev/log.md); what is measured on some rows is another thing on others. So the error is learned instead,
on other networks: ``should work`` is said if the upper end of the interval, times a factor, is bearable. The factor is
the smallest at which a bound on the selective risk, the share of wrong among what was said, is below ``risk`` with
probability ``confidence``.

Source: Geifman, El-Yaniv 2017 (arXiv 1705.08500), the risk of answers that are given, bounded by the binomial tail;
here the factors are tried in a fixed order, from the largest down to the first that fails, so that no correction for
many tests is needed (Angelopoulos and others 2021, arXiv 2110.01052, fixed sequence testing). It bounds what happens on
networks and rows like those that it was learned from, and says nothing of others.

``foresight_margin.json`` is written by ``python -m bench.learn_foresight``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from reknit.match.judging import Interval

Outlook = Literal["should work", "should not work", "cannot say"]


@dataclass(frozen=True)
class ForesightMargin:
    """What was learned of the error of barriers.

    Attributes:
        foreseen: by what the upper end of a foreseen interval is multiplied; 1 or more.
        measured: the same for an interval that was measured with labels.
        risk: the share of wrong ``should work`` that is borne.
        confidence: that the share is below it, on networks like those it was learned from.
        source: kind of networks -> how many pairs.
    """

    foreseen: float
    measured: float
    risk: float
    confidence: float
    source: Mapping[str, int]


@cache
def learned_margin() -> ForesightMargin:
    """The margin that reknit comes with."""
    file = files("reknit.match").joinpath("foresight_margin.json")
    return from_json(json.loads(file.read_text(encoding="utf-8")))


def from_json(content: Mapping[str, Any]) -> ForesightMargin:
    """The margin that a file holds."""
    source = {kind: int(pairs) for kind, pairs in content["pairs learned from"].items()}
    factors = content["factors"]
    return ForesightMargin(factors["foreseen"], factors["measured"], content["risk"], content["confidence"], source)


def outlook_of(barrier: Interval, bearable: float, factor: float = 1.0) -> Outlook:
    """What an interval for a barrier says.

    ``should work`` if its upper end, times the factor, is bearable; ``should not work`` if its lower end is not; else
    ``cannot say``. A larger factor turns ``should work`` into ``cannot say`` and nothing else.

    >>> outlook_of(Interval(0.05, 0.04, 0.07), 0.1), outlook_of(Interval(0.05, 0.04, 0.07), 0.1, factor=2.0)
    ('should work', 'cannot say')
    """
    if barrier.low > bearable:
        return "should not work"
    return "should work" if barrier.high <= bearable and barrier.high * factor <= bearable else "cannot say"
