"""Two networks as arrays: every exact test on every group of units, and one p-value of them all.

| kind | looks at | untouched by laundering of |
|---|---|---|
| fixed points | incoming weights, matched | nothing but noise, casts, grids, masks, factors |
| trace | incoming weights, in place | the same; finds fainter traces |
| incoming Gram | cosines among units by what comes in | the units read: any permutation or rotation of them |
| outgoing Gram | cosines among units by what goes out | the units written to: any permutation or rotation of them |
| unused rows | rows of tables that were never trained | both at once |
| same numbers | all weights, matched (``same_numbers``: it assumes more) | permutations and factors of everything |

Within a kind the groups are combined by Fisher's method where a skeleton shows them to be independent
(``units_by_skeleton``); without one fixed points by averaged e-values, the others by the better of two bounds for any
dependence. Over kinds: Bonferroni. Relabellings drawn: ``FEW`` where the fixed points settle the matter already below
1e-6, else ``MANY``. (That choice keeps p valid: where it is made by the fixed points, p is below every floor anyway.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reknit.kinship.combining import as_p, averaged, bonferroni, fisher, geometric
from reknit.kinship.fixed_points import MOST, cosines, fixed_points_of
from reknit.kinship.linear_trace import linear_trace
from reknit.kinship.mantel import gram, mantel, some
from reknit.kinship.monte_carlo import Drawn
from reknit.kinship.relation import Finding, Void
from reknit.kinship.same_numbers import CHANCE, SameNumbers
from reknit.kinship.unit_tables import Both, UnitTable, balanced
from reknit.kinship.unused_rows import unused_rows
from reknit.kinship.voids import IDENTITY

FEW, MANY, TRACE_DRAWS = 499, 4999, 9999
SETTLED = -6.0
FALSE_SHARE = 0.01
"""Among groups that are called inherited, the share that is expected not to be (Benjamini, Hochberg 1995,
doi:10.1111/j.2517-6161.1995.tb02031.x; of tests that depend on each other positively or not at all)."""


@dataclass(frozen=True)
class Exact:
    """The exact evidence on two networks.

    Attributes:
        findings: test by test.
        kinds: log10 p of each kind over all groups.
        log10_p: of all kinds together.
        log10_e: of the averaged e-values of fixed points; None if there were none.
        effect: share of units in place over all groups matched.
        inherited: groups with evidence of their own (see ``FALSE_SHARE``).
        voids: what was left out.
    """

    findings: tuple[Finding, ...]
    kinds: Mapping[str, float]
    log10_p: float
    log10_e: float | None
    effect: float
    inherited: tuple[str, ...]
    voids: tuple[Void, ...] = ()


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What is kept of a table: matrices of units by units, however many features there are.

    Attributes:
        name: of the group.
        size: number of units.
        scores: cosines of A's units with B's; None where there is nothing to match.
        grams: kind of test -> Grams of A and B.
        rng: for what is drawn.
    """

    name: str
    size: int
    scores: np.ndarray | None
    grams: Mapping[str, tuple[Both, ...]]
    rng: np.random.Generator


def exact_evidence(
    tables: Iterable[UnitTable | Void],
    *,
    by_skeleton: bool,
    unused: Mapping[str, tuple[Both, Sequence[int]]] | None = None,
    same: SameNumbers | None = None,
    draw: bool = True,
    seed: int = 0,
) -> Exact:
    """Every test on every table, which is let go before the next one is asked for.

    Args:
        tables: of units that may change places in law, and what is left out.
        by_skeleton: whether they come from a skeleton's plan, so that tests of one kind on them are independent.
        unused: name of a table -> the table of A and of B, and the rows that were never trained.
        same: the weights that agree.
        draw: whether tests whose null is drawn are run; among thousands of pairs their floor says nothing.
        seed: of the coins, together with the numbers.
    """
    prepared, voids = [], []
    found: list[Finding] = []
    for table in tables:
        if isinstance(table, Void):
            voids.append(table)
            continue
        prepared.append(_prepare(table.in_order(), seed))
        found += _matched(prepared[-1])
    found += [_unused(name, *given, seed) for name, given in (unused or {}).items()]
    if same is not None and same.numbers:
        found.append(_same(same))
    settled = bool(found) and bonferroni([each.log10_p for each in found]) < SETTLED
    draws = FEW if settled else MANY
    for each in prepared if draw else ():
        found += _relabelled(each, draws)
    by_kind: dict[str, list[Finding]] = {}
    for finding in found:
        by_kind.setdefault(finding.test, []).append(finding)
    independent = by_skeleton and all(void.reason != IDENTITY for void in voids)
    kinds = {kind: _together(each, independent=independent) for kind, each in by_kind.items()}
    counted = by_kind.get("fixed points", [])
    units = sum(finding.units for finding in counted)
    return Exact(
        tuple(found),
        kinds,
        bonferroni(list(kinds.values())),
        averaged([finding.log10_e for finding in counted if finding.log10_e is not None]) if counted else None,
        sum(finding.statistic for finding in counted) / units if units else 0.0,
        _inherited(found),
        tuple(voids),
    )


def _prepare(table: UnitTable, seed: int) -> _Prepared:
    rng = table.rng(seed)
    scores = None
    if table.matched is not None:
        a, b = table.matched
        kept = np.arange(table.size) if table.size <= MOST else np.sort(rng.choice(table.size, MOST, replace=False))
        scores = cosines(a[kept], b[kept])
    kept = some(table.size, rng)
    kinds = {"incoming Gram": table.incoming, "outgoing Gram": table.outgoing}
    grams = {kind: _grams(pairs, kept) for kind, pairs in kinds.items() if pairs}
    return _Prepared(table.name, table.size, scores, grams, rng)


def _grams(pairs: Sequence[Both], kept: np.ndarray) -> tuple[Both, ...]:
    """Two Grams of some units: of the weights as they are, blind to rotations, and balanced, blind to factors."""
    prepared = (_of_mean_length_one, balanced)
    return tuple(
        (
            gram(*(prepare(pair[0])[kept] for pair in pairs)),
            gram(*(prepare(pair[1])[kept] for pair in pairs)),
        )
        for prepare in prepared
    )


def _same(same: SameNumbers) -> Finding:
    return Finding(
        "same numbers", "all", same.numbers, "exact", same.log10_p, None, same.agree, CHANCE * same.numbers, same.share
    )


def _matched(table: _Prepared) -> list[Finding]:
    if table.scores is None:
        return []
    found = fixed_points_of(table.scores, table.rng)
    values = (found.log10_p, found.log10_e, found.count, 1.0, found.share)
    return [Finding("fixed points", table.name, found.size, "exact", *values)]


def _unused(name: str, both: Both, rows: Sequence[int], seed: int) -> Finding:
    table = UnitTable(name, len(both[0]), None, (both,), ()).in_order()
    found = unused_rows(*table.incoming[0], rows, table.rng(seed))
    return Finding(
        "unused rows", name, found.size, "exact", found.log10_p, found.log10_e, found.count, 1.0, found.share
    )


def _relabelled(table: _Prepared, draws: int) -> list[Finding]:
    """The tests whose null is drawn."""
    found = []
    if table.scores is not None:
        found.append(_drawn("trace", table, linear_trace(table.scores, TRACE_DRAWS, table.rng)))
    found += [_drawn(kind, table, mantel(pairs, draws, table.rng)) for kind, pairs in table.grams.items()]
    return found


def _of_mean_length_one(rows: np.ndarray) -> np.ndarray:
    """No tensor outweighs the others."""
    size = float(np.sqrt(np.square(rows).sum(1).mean()))
    return rows / size if size > 0 else rows


def _drawn(kind: str, table: _Prepared, found: Drawn) -> Finding:
    units = len(table.scores) if kind == "trace" and table.scores is not None else table.size
    effect = found.statistic / units if kind == "trace" else found.statistic
    return Finding(kind, table.name, units, "exact", found.log10_p, None, found.statistic, found.mean, effect)


def _together(findings: Sequence[Finding], *, independent: bool) -> float:
    """log10 p of tests of one kind."""
    ps = [each.log10_p for each in findings]
    if len(ps) == 1 or independent:
        return fisher(ps)
    es = [each.log10_e for each in findings if each.log10_e is not None]
    if len(es) == len(ps):
        return as_p(averaged(es))
    return min(bonferroni([bonferroni(ps), geometric(ps)]), 0.0)


def _inherited(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Groups that reject by the procedure of Benjamini and Hochberg, by their smallest p times its own tests."""
    by_place: dict[str, list[float]] = {}
    for each in findings:
        if each.test != "same numbers":
            by_place.setdefault(each.where, []).append(each.log10_p)
    own = {where: bonferroni(ps) for where, ps in by_place.items()}
    ranked = sorted(own.values())
    passed = [p for k, p in enumerate(ranked, 1) if p <= np.log10(FALSE_SHARE * k / len(ranked))]
    return tuple(where for where, p in own.items() if passed and p <= passed[-1])
