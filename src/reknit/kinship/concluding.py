"""From evidence to a relation in words: what is settled, what is claimed, and on what it rests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reknit.kinship.panel import Placed
from reknit.kinship.relating import Exact
from reknit.kinship.relation import Direction, Finding, Label, Relation, short_names

CALIBRATED = math.log10(0.05)
"""Below this a panel's p settles a relation: a panel of 19 independent networks can."""
ASSUMPTIONS = (
    "if the two are independent, the units of a layer of one of them were initialised alike, at random, and apart "
    "from the other",
    "its training did not depend on how units are numbered, as with SGD or Adam",
)
BY_SHAPE = (
    "the first axis of a matrix holds its units and the second its inputs, and names tell tables and heads apart: no "
    "skeleton was given",
)
BY_NUMBERS = (
    "a weight of one of them comes within 10^-4 of its counterpart, in units of their root mean square, with a "
    "probability of at most 1/16 whatever the others are (for `same numbers` alone)",
)
BY_PANEL = (
    "the networks of the panel are independent of both files, of their architecture, and trained in the same way on "
    "such data",
)


@dataclass(frozen=True)
class Sides:
    """Where the agreement of two files stands among those of each with the panel.

    Attributes:
        first: seen from the first file.
        second: from the second.
        share: of all units, how many agree.
    """

    first: Placed
    second: Placed
    share: float

    @property
    def log10_p(self) -> float:
        """The larger of the two, so that the order of files does not matter."""
        return max(self.first.log10_p, self.second.log10_p)


def concluded(
    paths: tuple[Path, Path],
    exact: Exact,
    direction: Direction,
    *,
    by_skeleton: bool,
    panel: Sides | None = None,
    log10_choices: float = 0.0,
    alpha: float = 0.001,
    apart: tuple[float, float, int] = (1.0, 0.0, 0),
) -> Relation:
    """The relation of two files.

    Args:
        paths: of both.
        exact: what the exact tests found.
        direction: which came first, were they related.
        by_skeleton: whether a skeleton said what units are.
        panel: what a panel says; None without one.
        log10_choices: log10 of how many pairs of files and pairings of tensors could have been chosen: Bonferroni.
        alpha: below which p exact evidence settles a relation.
        apart: distance, share of units moved, and of how many weights.
    """
    threshold = math.log10(alpha)
    exact_p = min(exact.log10_p + log10_choices, 0.0)
    panel_p = 0.0 if panel is None else min(panel.log10_p + log10_choices, 0.0)
    label: Label = "cannot say"
    if exact_p <= threshold:
        label = "exact"
    elif panel is not None and panel_p <= CALIBRATED:
        label = "calibrated"
    findings = exact.findings
    if panel is not None:
        findings = (*findings, _finding(panel))
    by_panel = label == "calibrated" and panel is not None
    return Relation(
        paths[0],
        paths[1],
        label,
        _claim(paths, label, exact_p, panel_p, exact, panel),
        panel_p if by_panel else exact_p,
        exact.log10_e,
        panel.share if by_panel and panel is not None else exact.effect,
        findings,
        exact.kinds,
        exact.inherited,
        direction if label != "cannot say" else Direction("cannot say", None, "no relation is settled"),
        exact.voids,
        (
            *ASSUMPTIONS,
            *(() if by_skeleton else BY_SHAPE),
            *(BY_NUMBERS if "same numbers" in exact.kinds else ()),
            *(BY_PANEL if panel is not None else ()),
        ),
        threshold,
        *apart,
    )


def p_in_words(log10_p: float) -> str:
    """A probability as people read it.

    >>> p_in_words(-13998.2), p_in_words(-1.3), p_in_words(0.0)
    ('10^-13998', '0.05', '1')
    """
    if log10_p > -4:
        return f"{10**log10_p:.2g}"
    return f"10^{math.ceil(log10_p)}"


def _finding(panel: Sides) -> Finding:
    side = panel.first if panel.first.log10_p >= panel.second.log10_p else panel.second
    mean = float(np.mean(side.panel))
    size = len(side.panel)
    return Finding("panel", "all", size, "calibrated", panel.log10_p, None, side.statistic, mean, panel.share)


def _claim(
    paths: tuple[Path, Path], label: Label, exact_p: float, panel_p: float, exact: Exact, panel: Sides | None
) -> str:
    names = " and ".join(short_names(paths))
    if label == "exact":
        return (
            f"{names} share an initialisation or descend one from the other, or both from a third: had they been "
            f"initialised independently, evidence as strong would come up with a probability of at most "
            f"{p_in_words(exact_p)}{_where(exact)}"
        )
    if label == "calibrated" and panel is not None:
        size = len(panel.first.panel)
        return (
            f"{names} share an initialisation or descend one from the other, or both from a third, as far as {size} "
            f"independent networks tell: none of them is as like either as the two are alike "
            f"(p = {p_in_words(panel_p)}, and no panel of {size} can give less than {1 / (size + 1):.2g})"
        )
    if not exact.findings and panel is None:
        return f"whether {names} are related cannot be said: nothing in them could be tested"
    return (
        f"whether {names} are related cannot be said: no trace of a shared initialisation was found "
        f"(p = {p_in_words(exact_p)}), which does not show that there is none, as units put into another order hide "
        "it; `reknit diff` names what makes one of the other, if it can be named"
    )


def _where(exact: Exact) -> str:
    """Where the evidence lies, if most of what was tested has none: a part taken over is no network taken over."""
    tested = {each.where for each in exact.findings if each.where != "all"}
    if not exact.inherited or 2 * len(exact.inherited) >= len(tested):
        return ""
    named = ", ".join(exact.inherited[:3]) + (" and others" if len(exact.inherited) > 3 else "")
    return (
        f"; the trace is in {named} alone, {len(exact.inherited)} of {len(tested)} groups of "
        "units tested: a part that both took over from one place, such as a frozen table, leaves it too, and "
        "nothing is claimed of the rest"
    )
