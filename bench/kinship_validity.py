"""Whether p-values of ``lineage`` are valid: networks of different seeds, so that no pair is kin.

    REKNIT_CHECKPOINTS=... python -m bench kinship_validity [--plot FILE.svg]

| set | pairs | |
|---|---|---|
| mlp-64, 128, 256, 512 | 128, 80, 60, 40 | trained here on the same digits; no net is in two pairs |
| resnet-8 .. 48, decoder-64, llama-64 | 5 each | the nets of ``bench.merge_nets``; no net is in two pairs |
| spliceai, semibin | 10, 66 | published; all pairs of 5 and of 12 nets: independent two by two only |

Counts and ranks are discrete, so each p is randomised (drawn evenly below its step), which makes it exactly uniform
where the test is exact. One p a pair and kind: Fisher's over its groups. Beside them what two matchings, as published,
claim on the same pairs, and panels: 19 networks of the same kind, none of them in the pair.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.stats import binom, chi2, kstest

from bench import kinship_nets
from bench.common import Lines, options, show
from bench.conv_nets import splice_ai
from bench.kinship_picture import picture
from bench.merge_nets import kind_of, trained
from reknit.architectures.preact_resnet import SPLICE_AI_10K
from reknit.architectures.spelling import spell_config
from reknit.containers.tensors import read_tensors
from reknit.kinship.comparing import Kin, evidence
from reknit.kinship.fixed_points import log10_chance
from reknit.kinship.panel import placed
from reknit.kinship.relation import Finding
from reknit.kinship.sweeps import sweeps
from reknit.kinship.two_matchings import published_log10_p
from reknit.kinship.units_by_skeleton import Plan, planned
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace

State = dict[str, np.ndarray]
SMALL = ("resnet-8", "resnet-16", "resnet-32", "resnet-48", "decoder-64", "llama-64")
PUBLISHED = ("spliceai", "semibin")
DISJOINT = (*kinship_nets.COUNTS, *SMALL)
DRAWS, PANEL, SEEDS = 199, 19, 10
PANELLED = ("mlp-64",)
SHAPED = 20
"""Pairs of a family that are tested without a skeleton, too."""
KINDS = ("fixed points", "trace", "incoming Gram", "outgoing Gram")


@cache
def plan_of(family: str) -> Plan:
    """Which units are tested."""
    shape = None
    if family == "spliceai":
        like = spell_config(replace(SPLICE_AI_10K, crop=100))
    elif family == "semibin":
        like, shape = "bench.foreign_callables:semibin", "2x136"
    else:
        like = kind_of(family).like
    found = resolve(like, shape)
    return planned(trace(found.module, found.inputs, name=family))


@cache
def states_of(family: str) -> tuple[Callable[[int], State], int]:
    """The tensors of a net by its number, and how many there are."""
    if family in kinship_nets.COUNTS:
        nets = kinship_nets.many(family)
        return (lambda number: kinship_nets.net_of(nets, number)), len(nets["accuracy"])
    if family in SMALL:
        return (lambda number: trained(family, number)), SEEDS
    folder = Path(os.environ["REKNIT_CHECKPOINTS"])
    if family == "spliceai":
        return (lambda number: {k: v.numpy() for k, v in splice_ai(number + 1, folder)[0].items()}), 5
    files = sorted((folder / "semibin/SemiBin/models").glob("*_model.pt"))

    def semibin(number: int) -> State:
        stored = read_tensors(files[number])
        return {name.partition(".")[2]: stored.array(name) for name in stored.names if "state_dict." in name}

    return semibin, len(files)


def pairs_of(family: str) -> Iterator[tuple[int, int]]:
    """Disjoint pairs, or all pairs of published nets."""
    count = states_of(family)[1]
    if family in PUBLISHED:
        yield from itertools.combinations(range(count), 2)
    else:
        yield from ((2 * k, 2 * k + 1) for k in range(count // 2))


def randomised(found: Finding, rng: np.random.Generator) -> float:
    """A p that is uniform where the test is exact: evenly drawn below the step of the discrete one."""
    step = 10 ** log10_chance(int(found.statistic), found.units) if found.test == "fixed points" else 1 / (DRAWS + 1)
    return float(10**found.log10_p - rng.random() * step)


def tested(key: tuple[str, int, int]) -> dict[str, Any]:
    """All that is said of one pair."""
    family, first, second = key
    plan, (state, _) = plan_of(family), states_of(family)
    a, b = state(first), state(second)
    with patch.multiple("reknit.kinship.relating", FEW=DRAWS, MANY=DRAWS, TRACE_DRAWS=DRAWS):
        exact = evidence(a, b, Kin(plan))
    rng = np.random.default_rng([DISJOINT.index(family) if family in DISJOINT else 99, first, second])
    by_kind: dict[str, list[float]] = {}
    for each in exact.findings:
        by_kind.setdefault(each.test, []).append(randomised(each, rng))
    swept = sweeps(plan, a, b, rng)
    return {
        "overall": 10**exact.log10_p,
        "voids": [void.reason for void in exact.voids if void.reason.startswith("units sorted")],
        "kinds": {kind: float(chi2.sf(-2 * np.log(ps).sum(), 2 * len(ps))) for kind, ps in by_kind.items()},
        "groups": sum(each.test == "fixed points" for each in exact.findings),
        "in place": [each.statistic for each in exact.findings if each.test == "fixed points"],
        "agreeing": list(swept.agreeing.values()),
        "claimed": min((published_log10_p(n, swept.units[g]) for g, n in swept.agreeing.items()), default=0.0),
        "of": len(swept.agreeing),
    }


def by_shape(key: tuple[str, int, int]) -> dict[str, Any]:
    """What is said of one pair without a skeleton: names and shapes tell what units are."""
    family, first, second = key
    state, _ = states_of(family)
    with patch.multiple("reknit.kinship.relating", FEW=DRAWS, MANY=DRAWS, TRACE_DRAWS=DRAWS):
        exact = evidence(state(first), state(second), Kin())
    place = [each.statistic for each in exact.findings if each.test == "fixed points"]
    smallest = min((each.log10_p for each in exact.findings), default=0.0)
    return {"overall": 10**exact.log10_p, "in place": place, "tests": len(exact.findings), "smallest": 10**smallest}


def shape_table(found: Mapping[str, list[dict[str, Any]]]) -> np.ndarray:
    """Print what is said without a skeleton; the p-values of disjoint pairs that had a test."""
    rows = []
    for family, lines in found.items():
        place = [n for line in lines for n in line["in place"]]
        tests = sum(line["tests"] for line in lines)
        p = [line["overall"] for line in lines]
        values = (float(np.mean(place)), max(place)) if place else (None, None)
        rows.append((family, len(lines), tests, *values, min(line["smallest"] for line in lines), min(p)))
    head = ("set", "pairs", "tests", "in place", "most", "smallest p of a test", "smallest p of a pair")
    show("without a skeleton", head, rows)
    return np.array([line["overall"] for f in DISJOINT if f in found for line in found[f] if line["tests"]])


def beside_panel(key: tuple[str, int, int]) -> dict[str, Any]:
    """The randomised p of one pair among a panel of the nets that follow it."""
    family, first, second = key
    plan, (state, count) = plan_of(family), states_of(family)
    rng = np.random.default_rng(first)
    a = state(first)
    numbers = [second, *((second + 1 + k) % count for k in range(PANEL))]
    assert len({first, *numbers}) == PANEL + 2
    own, *panel = (sweeps(plan, a, state(number), rng).statistic for number in numbers)
    found = placed(own, panel)
    return {"p": 10**found.log10_p, "randomised": found.randomised(float(rng.random()))}


def within(count: int, tests: int, level: float) -> float:
    """The two-sided chance of a count this far from what is expected, at most 1."""
    low, high = binom.cdf(count, tests, level), binom.sf(count - 1, tests, level)
    return float(min(1.0, 2 * min(low, high)))


def judged(name: str, kind: str, values: np.ndarray) -> tuple[object, ...]:
    """A row: KS, shares below levels, and how likely these are of uniform p-values."""
    below = [int((values < level).sum()) for level in (0.01, 0.05)]
    chances = [within(count, len(values), level) for count, level in zip(below, (0.01, 0.05), strict=True)]
    shares = [f"{count / len(values):.3f} ({chance:.2f})" for count, chance in zip(below, chances, strict=True)]
    return name, kind, len(values), float(kstest(values, "uniform").pvalue), *shares, float(values.min())


def exact_tables(found: Mapping[str, list[dict[str, Any]]]) -> dict[str, np.ndarray]:
    """Print whether randomised p-values are uniform; those of all disjoint pairs by kind."""
    head = ("set", "kind", "pairs", "KS p", "below .01 (binomial p)", "below .05", "smallest")
    rows, pooled = [], {}
    for kind in KINDS:
        together = [line["kinds"][kind] for family in DISJOINT for line in found[family] if kind in line["kinds"]]
        pooled[kind] = np.array(together)
        rows.append(judged("all disjoint", kind, pooled[kind]))
        for name, families in (
            *((each, (each,)) for each in kinship_nets.COUNTS),
            ("resnets, text nets", SMALL),
            *((each, (each,)) for each in PUBLISHED if found[each]),
        ):
            values = [line["kinds"][kind] for each in families for line in found[each] if kind in line["kinds"]]
            rows.append(judged(name, kind, np.array(values)))
    show("randomised p-values of independent pairs, one a pair and kind", head, rows)
    return pooled


def overall_table(found: Mapping[str, list[dict[str, Any]]]) -> np.ndarray:
    """Print what the verb says of all kinds together, and what two matchings claim."""
    rows = []
    for family, lines in found.items():
        if lines:
            p, claimed = np.array([line["overall"] for line in lines]), np.array([line["claimed"] for line in lines])
            place = [n for line in lines for n in line["in place"]]
            agree = [n for line in lines for n in line["agreeing"]]
            rows.append(
                (
                    family,
                    len(lines),
                    float(np.mean(place)),
                    f"{(p <= 0.01).mean():.3f}",
                    f"{(p <= 0.05).mean():.3f}",
                    float(np.mean(agree)) if agree else None,
                    max(agree, default=None),
                    float(np.median(claimed)),
                    f"{(claimed < -3).mean():.3f}",
                )
            )
    head = (
        "set",
        "pairs",
        "in place",
        "p <= .01",
        "<= .05",
        "agree",
        "most",
        "claimed, median log10",
        "claimed < .001",
    )
    show("the verb's own p; and two matchings as published, on the same pairs (chance is 1 unit)", head, rows)
    return np.array([line["overall"] for family in DISJOINT for line in found[family]])


def main(argv: list[str]) -> None:
    """Every pair, its p-values, and the tests of the tests."""
    given = options("kinship_validity", argv, plot="")
    published = PUBLISHED if "REKNIT_CHECKPOINTS" in os.environ else ()
    lines = Lines("kinship_validity", given.fresh, ("kinship",))
    found: dict[str, list[dict[str, Any]]] = {}
    for family in (*DISJOINT, *PUBLISHED):
        keys = [(family, *pair) for pair in pairs_of(family)] if family in DISJOINT or family in published else []
        found[family] = list(lines.each(keys, tested))
    pooled = exact_tables(found)
    overall = overall_table(found)
    shapes = Lines("kinship_by_shape", given.fresh, ("kinship",))
    nameless = {
        f: list(shapes.each([(f, *pair) for pair in pairs_of(f)][:SHAPED], by_shape)) for f in found if found[f]
    }
    plain = shape_table(nameless)
    panels = Lines("kinship_panels", given.fresh, ("kinship",))
    keys = [(family, *pair) for family in PANELLED for pair in pairs_of(family)]
    calibrated = list(panels.each(keys, beside_panel))
    values = np.array([line["randomised"] for line in calibrated])
    head = ("set", "kind", "pairs", "KS p", "below .01 (binomial p)", "below .05", "smallest")
    show(
        f"calibrated, panels of {PANEL} (shared by neighbouring pairs)",
        head,
        [judged(", ".join(PANELLED), "panel", values)],
    )
    floor = min(line["p"] for line in calibrated)
    print(f"  smallest p before randomising {floor:.3f}, floor {1 / (PANEL + 1):.3f}")
    claimed = np.array([min(10 ** line["claimed"] * line["of"], 1.0) for f in DISJOINT for line in found[f]])
    if given.plot:
        curves = {**pooled, "panel of 19": values, "two matchings, as published": claimed}
        Path(given.plot).write_text(picture(curves), encoding="utf-8")
    check(found, pooled, (overall, plain), values, claimed)
    print(f"\n{lines.codes()}; {panels.codes()}")


def check(
    found: Mapping[str, list[dict[str, Any]]],
    pooled: Mapping[str, np.ndarray],
    told: tuple[np.ndarray, np.ndarray],
    calibrated: np.ndarray,
    claimed: np.ndarray,
) -> None:
    """Stop where an exact p is not valid (each of the checks at .05 / their number), or where the published one is."""
    checks = {f"{kind}: KS": kstest(values, "uniform").pvalue for kind, values in pooled.items()}
    for level in (0.01, 0.05):
        for kind, values in pooled.items():
            checks[f"{kind} below {level}"] = within(int((values < level).sum()), len(values), level)
        for name, overall in zip(("overall", "without a skeleton"), told, strict=True):
            checks[f"{name} at {level}"] = float(binom.sf(int((overall <= level).sum()) - 1, len(overall), level))
    checks["panel: KS"] = float(kstest(calibrated, "uniform").pvalue)
    worst = min(checks, key=lambda name: checks[name])
    print(f"\nsmallest of {len(checks)} checks: {worst} {checks[worst]:.4f}; limit {0.05 / len(checks):.4f}")
    assert checks[worst] > 0.05 / len(checks), f"{worst} is not compatible with a valid p-value"
    disjoint = sum(len(found[family]) for family in DISJOINT)
    assert disjoint >= 300
    assert (claimed < 0.001).mean() > 0.5, "two matchings did not fail here"
