"""Learns how far below what is bearable a barrier has to stay, so that ``should work`` is wrong in less than 5 %.

    python -m bench.learn_foresight [--threads 1] [--out src/reknit/match/foresight_margin.json]

From the pairs of ``bench.foresight_nets``, each merged six ways (``bench.preflight``), foreseen, and measured with
labels, from rows that were trained on and from fresh ones, and judged on others. What is bounded is the share of wrong
pairs among those of which any merge is said to work: a pair is wrong if one of its merges is, from either rows. Merges
of a pair are not independent, pairs nearly are. A pair counts as it is measured, noise of its rows included.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from scipy.stats import beta

from bench.common import Lines, options, show
from bench.foresight_nets import PAIRS, computer_of, pair_of
from bench.preflight import Line, six_merges
from reknit.match.foresight_margin import outlook_of
from reknit.match.judging import Interval
from reknit.match.preflight import BEARABLE

RISK, CONFIDENCE = 0.05, 0.95
FACTORS = tuple(round(3.0 - 0.05 * k, 2) for k in range(41))
"""Tried in this order, 3 to 1; a finer grid could not be told apart by so few pairs."""
SOURCES = {"foreseen": ("trained", "fresh"), "measured": ("labels, trained", "labels, fresh")}
Said = tuple[Interval, float]
"""An interval that is known before, and what was measured on other rows."""


def upper_bound(wrong: int, said: int, confidence: float = CONFIDENCE) -> float:
    """Clopper and Pearson's upper bound for a share, one-sided; 1 where all were wrong or nothing was said.

    >>> round(upper_bound(0, 59), 4)
    0.0495
    """
    return 1.0 if wrong == said else float(beta.ppf(confidence, wrong + 1, said - wrong))


def counted(pairs: Sequence[Sequence[Said]], factor: float, bearable: float = BEARABLE) -> tuple[int, int]:
    """Pairs of which a merge is wrongly said to work, and pairs of which any is said to."""
    said = [
        [true for interval, true in pair if outlook_of(interval, bearable, factor) == "should work"] for pair in pairs
    ]
    return sum(max(each) > bearable for each in said if each), sum(map(bool, said))


def smallest_factor(
    pairs: Sequence[Sequence[Said]],
    *,
    factors: Sequence[float] = FACTORS,
    bearable: float = BEARABLE,
    risk: float = RISK,
    confidence: float = CONFIDENCE,
) -> float:
    """The last of the factors, from the largest on, before the bound of the risk first exceeds what is borne.

    Raises:
        ValueError: it does so at the largest: too few pairs, or too many wrong.
    """
    passed: list[float] = []
    for factor in factors:
        if upper_bound(*counted(pairs, factor, bearable), confidence) > risk:
            break
        passed.append(factor)
    if not passed:
        raise ValueError(f"{len(pairs)} pairs do not show a risk below {risk:g} even with the factor {factors[0]:g}")
    return passed[-1]


def merges(name: str, number: int) -> Line:
    """The six merges of a pair."""
    first, second, rows = pair_of(name, number)
    return {"merges": six_merges(computer_of(name), (first, second), rows.known, rows.fresh, rows.rest)}


def said_of(lines: Sequence[Line], sources: Sequence[str]) -> list[list[Said]]:
    """Of every pair, the intervals from these sources, and what was measured."""
    return [
        [(Interval(**merge[source]), merge["measured"]["value"]) for source in sources for merge in line["merges"]]
        for line in lines
    ]


def tell(lines: Sequence[Line], factors: dict[str, float]) -> None:
    """By kind, and what other factors would have done."""
    for name, sources in SOURCES.items():
        rows: list[list[object]] = []
        for factor in (1.0, factors[name]):
            for kind in (*PAIRS, "all"):
                some = [line for line in lines if kind in (line["key"][0], "all")]
                wrong, said = counted(said_of(some, sources), factor)
                single = [[each] for pair in said_of(some, sources) for each in pair]
                wrong_merges, said_merges = counted(single, factor)
                bound = f"{upper_bound(wrong, said):.3f}"
                rows.append([factor, kind, len(some), said, wrong, bound, said_merges, wrong_merges])
        head = ["factor", "kind", "pairs", "said to work", "wrong", "bound of share", "statements", "wrong statements"]
        show(f"should work, {name}", head, rows)


def main(argv: list[str]) -> None:
    """Merge every pair, learn, tell, and write."""
    given = options("learn_foresight", argv, out="")
    torch.set_num_threads(given.threads)
    lines = Lines("learn_foresight", given.fresh, ("match", "skeleton", "solvers"))
    keys = sorted(((name, number) for name, count in PAIRS.items() for number in range(count)), key=lambda key: key[1])
    found = list(lines.each(keys, lambda key: merges(*key)))
    factors = {name: smallest_factor(said_of(found, sources)) for name, sources in SOURCES.items()}
    tell(found, factors)
    print(f"\n{factors} from {lines.codes()}")
    kinds = Counter(line["key"][0] for line in found)
    merged = json.dumps([[line["key"], line["merges"]] for line in found]).encode()
    content = {
        "written by": "python -m bench.learn_foresight",
        "factors": factors,
        "risk": RISK,
        "confidence": CONFIDENCE,
        "pairs learned from": kinds,
        "sha256 of their merges": hashlib.sha256(merged).hexdigest(),
    }
    if given.out:
        Path(given.out).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
