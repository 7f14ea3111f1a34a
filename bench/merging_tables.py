"""The tables of ``bench.merging``: means over pairs, sets or networks, ± half their 95 % interval by Student's t.

A barrier is the loss of a mean less the mean loss of the networks that it was made from; of stars, the largest at a
quarter, half and three quarters of the line, and not below zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.common import Lines, show
from bench.intervals import interval
from bench.merging_ways import METHODS
from bench.trends import falls, slopes, verdict

Line = dict[str, Any]
Held = dict[str, list[Line]]
FORMS = ("plain", "mended")
FAMILIES = ("mlp", "resnet")
SET_WAYS = ("naive", "weights, together", "weights", "activations", "straight-through", "rotation")
UNTRAINED = ("naive", "weights", "activations")
STARTS = ("star", "mean", "one seen")


def print_all(kinds: Sequence[str], lines: Mapping[str, Lines]) -> None:
    """Everything, of the lines there are of every part."""
    of_pairs, of_sets, of_stars, of_variances, of_temperatures = (
        _by_kind(lines[part], kinds) for part in ("pairs", "sets", "stars", "variances", "temperatures")
    )
    if of_pairs:
        _print_ends(of_pairs)
        _print_methods("half way between two", of_pairs, METHODS)
        _print_gains("half way", of_pairs, METHODS)
        _print_trends("", of_pairs, METHODS[:-1])
        _print_shares(of_pairs)
        _print_directions(of_pairs)
    if of_temperatures:
        _print_trends(", every network at its temperature", of_temperatures, UNTRAINED)
        _print_temperatures(of_temperatures)
    if of_variances:
        _print_variances(of_variances)
    for size in (3, 5) if of_sets else ():
        sets = {kind: [line for line in held if len(line["key"][1]) == size] for kind, held in of_sets.items()}
        _print_methods(f"of the mean of {size}, all brought to the first (together: each to the mean)", sets, SET_WAYS)
        _print_gains(f"of the mean of {size}", sets, SET_WAYS)
    if of_sets:
        _print_rivals(of_sets)
    if of_stars:
        _print_stars(of_stars)
    for each in lines.values():
        print(f"  {each.codes()}")


def told(values: Iterable[float], digits: int = 3) -> str:
    """Mean ± half the interval; the mean alone of fewer than three."""
    found = np.array(list(values), dtype=float)
    if len(found) < 3:
        return f"{found.mean():.{digits}f}" if len(found) else "-"
    mean, half = interval(found)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def barrier(line: Line, method: str, form: str) -> float:
    """Loss of the mean less the mean loss of its parents."""
    return float(line[method][form]["loss"]) - _end(line, "loss")


def _accuracy(line: Line, method: str, form: str) -> float:
    return float(line[method][form]["accuracy"])


def _end(line: Line, what: str) -> float:
    return float(np.mean([each[what] for each in line["ends"]]))


def _by_kind(lines: Lines, kinds: Sequence[str]) -> Held:
    every = lines.read()
    found = {kind: [line for line in every if line["key"][0] == kind] for kind in kinds}
    return {kind: held for kind, held in found.items() if held}


def _print_ends(held: Held) -> None:
    ways = [way for way in METHODS if way != "naive"]
    rows = [
        [
            *(kind, len(lines), lines[0]["steps"]),
            *(told(_end(line, what) for line in lines) for what in ("accuracy", "loss")),
            *(f"{np.median([line[way]['seconds'] for line in lines]):.2f}" if way in lines[0] else "-" for way in ways),
        ]
        for kind, lines in held.items()
    ]
    head = ("", "pairs", "steps", "accuracy", "loss", *(f"s {way}" for way in ways))
    show(
        "The networks alone, steps of trained methods, and seconds a pair (median; the machine was shared)", head, rows
    )


def _print_methods(title: str, held: Held, ways: Sequence[str]) -> None:
    for what, value in (("Accuracy", _accuracy), ("Barrier", barrier)):
        for form in FORMS:
            rows = [
                [kind, len(lines), *(told(value(line, way, form) for line in lines if way in line) for way in ways)]
                for kind, lines in held.items()
                if lines
            ]
            show(f"{what} {title}, {form}", ("", "of", *ways), rows)


def _print_gains(title: str, held: Held, every: Sequence[str]) -> None:
    ways = [way for way in every if way not in ("naive", "weights")]
    for form in FORMS:
        rows = [
            [kind, *(told(_less(line, way, form) for line in lines if way in line) for way in ways)]
            for kind, lines in held.items()
            if lines
        ]
        show(f"Barrier {title} less that of weights, of the same networks, {form}", ("", *ways), rows)


def _less(line: Line, way: str, form: str) -> float:
    return barrier(line, way, form) - barrier(line, "weights", form)


def _print_trends(title: str, held: Held, ways: Sequence[str]) -> None:
    rows = []
    for family in FAMILIES:
        kinds = [kind for kind in held if kind.startswith(family)]
        if len(kinds) < 3:
            continue
        widths = np.array([float(kind.partition("-")[2]) for kind in kinds])
        numbers = range(min(len(held[kind]) for kind in kinds))
        for way, form in itertools.product(ways, FORMS):
            values = np.array([[barrier(held[kind][n], way, form) for kind in kinds] for n in numbers])
            mean, half = interval(slopes(widths, values))
            down, steps = falls(values)
            at = " ".join(f"{value:.3f}" for value in values.mean(0))
            rows.append([family, way, form, at, f"{mean:.3f} ± {half:.3f}", f"{down} of {steps}", verdict(mean, half)])
    head = ("", "method", "", "at the widths", "a doubling of width", "steps down", "the barrier")
    show(
        f"Does the barrier fall with width{title}? Slopes over pairs, and steps from one width to the next", head, rows
    )


def _print_temperatures(held: Held) -> None:
    rows = [
        [
            *(kind, told((each["temperature"] for line in lines for each in line["ends"]), 2)),
            *(told((line[way][form]["temperature"] for line in lines), 2) for way in UNTRAINED for form in FORMS),
        ]
        for kind, lines in held.items()
    ]
    head = ("", "alone", *(f"{way}, {form}" for way in UNTRAINED for form in FORMS))
    show("Temperatures that suit best, half way", head, rows)


def _print_shares(held: Held) -> None:
    """What statistics take off the barrier of the networks as they are, and what matching does."""
    rows = []
    for kind, lines in held.items():
        if not kind.startswith("resnet"):
            continue
        for way in METHODS[1:-1]:
            bare, mended, matched, both = (
                np.array([barrier(line, each, form) for line in lines]) for each in ("naive", way) for form in FORMS
            )
            columns = (bare, bare - mended, bare - matched, mended - both, both)
            rows.append([kind, way, *(told(column) for column in columns)])
    head = ("", "method", "naive", "statistics", "matching", "matching after statistics", "left")
    show("ResNets: what is taken off the barrier half way", head, rows)


def _print_variances(held: Held) -> None:
    rows = [
        [kind, way, *(told(line[way][norm] for line in lines) for norm in (0, len(lines[0][way]) // 2, -1))]
        for kind, lines in held.items()
        for way in ("alone", *UNTRAINED)
    ]
    head = ("", "method", "first norm", "middle", "last")
    show("Variance that reaches a norm half way, over the one stored there (the mean of the parents')", head, rows)


def _print_directions(held: Held) -> None:
    rows = []
    for kind, lines in held.items():
        for way in METHODS[1:]:
            if way not in lines[0]:
                continue
            before, after = (np.array([line[each]["distance"] for line in lines]) for each in ("naive", way))
            aligned = [told((line[each]["directions"] for line in lines), 2) for each in ("naive", way)]
            rows.append([kind, way, told(before), told(after), told(100 * (1 - after / before), 1), *aligned])
    head = ("", "method", "distance", "matched", "lowered by, %", "directions", "matched")
    show("Distance of all weights, and agreement of leading singular directions", head, rows)


def _others(line: Line, way: str, form: str) -> float:
    """The barrier half way between the second and the third, each of them brought to the first."""
    ends = float(np.mean([each["loss"] for each in line["ends"][1:]]))
    return float(line[way]["others"][form]["loss"]) - ends


def _print_rivals(held: Held) -> None:
    rows = []
    for kind, every in held.items():
        lines = [line for line in every if len(line["key"][1]) == 3]
        for what, value in (("mean of three", barrier), ("second to third", _others)):
            for form in FORMS:
                found = [
                    np.array([value(line, way, form) for line in lines]) for way in ("weights", "straight-through")
                ]
                mean, half = interval(found[0] - found[1])
                better = {"falls": "weights", "rises": "straight-through"}.get(verdict(mean, half), "cannot say")
                rows.append([kind, len(lines), what, form, *map(told, found), f"{mean:.3f} ± {half:.3f}", better])
    head = ("", "sets", "barrier of", "", "weights", "straight-through", "difference", "lower")
    show("Three networks: weight matching against the straight-through estimator, both to the first", head, rows)


def _print_stars(held: Held) -> None:
    rows, barriers = [], []
    for kind, (line, *_) in held.items():
        own = [f"{line[which][what]:.3f}" for which in ("star", "mean") for what in ("accuracy", "loss")]
        alone = [told(each[what] for each in line["unseen"]) for what in ("accuracy", "loss")]
        rows.append([kind, line["steps"], *own, *alone])
        for form in line["to seen"][0]:
            seen = told((each[form] for each in line["to seen"]), 4)
            for way in line["to unseen"]["star"]:
                found = [np.array([each[form] for each in line["to unseen"][start][way]]) for start in STARTS]
                less = told(found[0] - found[2], 4)
                barriers.append([kind, way, form, seen, *(told(each, 4) for each in found), less])
    head: tuple[str, ...] = ("", "steps", "star", "its loss", "mean of eight", "its loss", "unseen", "their loss")
    show("Stars of eight networks: accuracy and loss", head, rows)
    head = (
        "",
        "unseen brought by",
        "",
        "star to seen",
        "star to unseen",
        "mean to unseen",
        "seen to unseen",
        "star less seen",
    )
    show("Barriers to seven networks that the star never saw, and to the eight it was trained on", head, barriers)
