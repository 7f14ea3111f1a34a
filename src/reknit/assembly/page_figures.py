"""The three pictures of an assembly: the pairing, the search, the stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal
from xml.etree.ElementTree import Element

import numpy as np

from reknit.assembly.result import Assembly, Step
from reknit.report.charts import Chart, Panel, Rule, Slice, draw_chart
from reknit.report.formatting import count, duration, number, share
from reknit.report.heatmap import Heatmap, draw_heatmap
from reknit.report.parts import figure, text
from reknit.report.scales import spans_decades
from reknit.report.steps import MOST_STEPS, from_to, stage_bands, step_slices
from reknit.report.steps import thinned as drawn_steps

_NEAR = 1e3


def pairing_figure(assembly: Assembly) -> Element:
    """The scores of all pairs in the final order, and each chosen pair's margin."""
    scores = np.asarray(assembly.evidence.pair_scores, dtype=np.float64)
    n = len(assembly.pairs)
    if n == 0 or scores.shape != (n, n):
        return text("No scores of pairs were recorded.", "quiet")
    if n == 1:
        only = assembly.pairs[0]
        return text(f"One block, one pair without a rival: {only.in_piece} with {only.out_piece}.", "quiet")
    margins = [pair.margin for pair in assembly.pairs]
    beaten = sum(1 for margin in margins if margin <= 0)
    summary = f"{count(n)} of {count(n)} chosen pairs beat their rivals"
    if beaten:
        summary = f"{count(beaten)} of {count(n)} chosen pairs do not beat their best rival by score"
    heat = Heatmap(
        label=f"Heat map of the pairing scores, {count(n)} by {count(n)}, in the final order; {summary}.",
        values=scores,
        rows=[f"{pair.in_piece} (in, block {k})" for k, pair in enumerate(assembly.pairs)],
        columns=[f"{pair.out_piece} (out, block {k})" for k, pair in enumerate(assembly.pairs)],
        margins=margins,
        row_title="in-piece of block",
        column_title="out-piece of block",
        value_title="score, standard deviations of the wrong pairs",
        diagonal="the chosen pair",
    )
    caption = (
        "Look for one strong diagonal on a calm ground. A pale spot on it, or a short bar beside it, is a pair that "
        "the scores alone could not settle."
    )
    return figure(draw_heatmap(heat), caption)


def search_figure(assembly: Assembly) -> Element:
    """The error and the inversions after each step of the search."""
    steps = assembly.evidence.steps
    if not steps:
        return text("No step of the search was recorded.", "quiet")
    numbered = thinned(steps)
    at = [float(k) for k, _ in numbered]
    errors = [step.mse for _, step in numbered]
    inversions = [None if step.inversions is None else float(step.inversions) for _, step in numbered]
    panels = (
        Panel("Mean squared error", from_to(errors), at, errors, log=True, rules=_error_rules(assembly)),
        Panel("Inversions", from_to(inversions), at, inversions, log=True, height=110.0),
    )
    chart = Chart(
        label=f"Along {count(len(steps))} steps, mean squared error {from_to(errors)}, inversions "
        f"{from_to(inversions)}.",
        panels=panels,
        x_title="step of the search",
        x_range=(0.5, len(steps) + 0.5),
        slices=step_slices([k for k, _ in numbered], [_step_tip(k, step) for k, step in numbered], len(steps)),
        bands=stage_bands([step.stage for step in steps]),
    )
    caption = (
        "Look for both lines falling to their floor; a flat end above it is a plateau. Inversions count the blocks' "
        "pairs that stand the wrong way round, and are not defined while in- and out-pieces are paired otherwise."
    )
    if len(numbered) < len(steps):
        caption += f" Drawn: {count(len(numbered))} of {count(len(steps))} steps."
    return figure(draw_chart(chart), caption)


def thinned(steps: Sequence[Step], most: int = MOST_STEPS) -> list[tuple[int, Step]]:
    """At most about ``most`` steps, numbered from 1, with the first and last of each stage among them."""
    return [(k + 1, steps[k]) for k in drawn_steps([step.stage for step in steps], most)]


def _error_rules(assembly: Assembly) -> tuple[Rule, ...]:
    """The variance and the floor, where the error came near them: a far one would flatten the line that matters."""
    errors = [step.mse for step in assembly.evidence.steps if math.isfinite(step.mse) and step.mse > 0]
    residual = assembly.residual
    lines = (
        (residual.variance, "variance of the outputs"),
        (residual.floor, "floor: expected of the right arrangement"),
    )
    return tuple(
        Rule(value, label, _clearer_side(errors, value))
        for value, label in lines
        if errors and math.isfinite(value) and min(errors) / _NEAR <= value <= max(errors) * _NEAR and value > 0
    )


def _clearer_side(errors: Sequence[float], value: float) -> Literal["left", "right"]:
    """The end at which the error is farther from a reference line, so that the label does not cover it."""
    first, last = (abs(math.log10(error) - math.log10(value)) for error in (errors[0], errors[-1]))
    return "left" if first > last else "right"


def _step_tip(position: int, step: Step) -> str:
    inversions = "pairs differ" if step.inversions is None else f"{count(step.inversions)} inversions"
    return (
        f"step {count(position)}, {step.stage}: error {number(step.mse)} on {count(step.rows)} rows, {inversions}, "
        f"after {duration(step.seconds)}"
    )


def stream_figure(assembly: Assembly) -> Element:
    """The size of the stream between the blocks, and of what each block adds."""
    stream, branch = assembly.evidence.stream_rms, assembly.evidence.branch_rms
    n = max(len(branch), len(stream) - 1)
    if n < 1:
        return text("The sizes of stream and branches were not recorded.", "quiet")
    log_branch = spans_decades(branch)
    panels = (
        Panel("Stream, rms", from_to(stream), _edges(len(stream)), stream, log=spans_decades(stream)),
        Panel(
            "What each block adds, rms",
            _range(branch),
            [k + 0.5 for k in range(len(branch))],
            branch,
            mark="line" if log_branch else "bars",
            log=log_branch,
            height=110.0,
        ),
    )
    ratios = _ratios(assembly)
    typical = f". A block adds {share(float(np.median(ratios)))} of the stream, in the median" if ratios else ""
    chart = Chart(
        label=f"Over {count(n)} blocks the stream goes {from_to(stream)} in rms{typical}.",
        panels=panels,
        x_title="blocks passed",
        x_range=(0.0, float(n)),
        slices=tuple(Slice(float(k), k + 1.0, _block_tip(assembly, k)) for k in range(n)),
    )
    caption = f"Look for bars that stay small beside the stream: the ordering rests on it{typical}."
    return figure(draw_chart(chart), caption)


def _edges(points: int) -> list[float]:
    return [float(k) for k in range(points)]


def _range(values: Sequence[float]) -> str:
    finite = [v for v in values if math.isfinite(v)]
    return f"{number(min(finite))} to {number(max(finite))}" if len(finite) > 1 else from_to(values)


def branch_share(assembly: Assembly, k: int) -> float | None:
    """What block k adds beside the stream it reads; None where that is not known."""
    stream, branch = assembly.evidence.stream_rms, assembly.evidence.branch_rms
    if k >= len(branch) or k >= len(stream) or not stream[k] > 0:
        return None
    ratio = branch[k] / stream[k]
    return ratio if math.isfinite(ratio) else None


def _ratios(assembly: Assembly) -> list[float]:
    shares = (branch_share(assembly, k) for k in range(len(assembly.evidence.branch_rms)))
    return [ratio for ratio in shares if ratio is not None]


def _block_tip(assembly: Assembly, k: int) -> str:
    stream, branch = assembly.evidence.stream_rms, assembly.evidence.branch_rms
    words = [f"block {k}"]
    if k < len(branch):
        words.append(f"adds {number(branch[k])} ({share(branch_share(assembly, k))} of the stream)")
    if k + 1 < len(stream):
        words.append(f"stream {number(stream[k])} → {number(stream[k + 1])}")
    return ", ".join(words)
