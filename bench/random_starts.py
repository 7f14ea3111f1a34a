"""2. The puzzle from random orders, seeds 0 to 39."""

from __future__ import annotations

import statistics
from typing import Any

from bench.common import PUZZLE, PUZZLE_SHA256, Lines, options, order_sha256, puzzle_truth, search_seconds, show
from reknit.assembly.verb import assemble

SEEDS = range(40)


def main(argv: list[str]) -> None:
    chosen = options("random_starts", argv)
    truth, lines = puzzle_truth(), Lines("random_starts", chosen.fresh)

    def run(seed: int) -> dict[str, Any]:
        before = truth.check_seconds()
        assembly = assemble(
            PUZZLE / "pieces", PUZZLE / "historical_data.csv", start="random", seed=seed, threads=chosen.threads
        )
        check = (before + truth.check_seconds()) / 2
        return {
            "right": order_sha256(assembly.order) == PUZZLE_SHA256,
            "verdict": assembly.verdict,
            "seconds": search_seconds(assembly),
            "checks": search_seconds(assembly) / check,
            "verify": assembly.seconds["verify"],
            "threads": chosen.threads,
        }

    found = list(lines.each(SEEDS, run))
    exact = [line for line in found if line["right"] and line["verdict"] == "exact"]
    checks, seconds = [line["checks"] for line in found], [line["seconds"] for line in found]
    show(
        f"the puzzle from random orders, seeds 0 to {SEEDS[-1]}, {chosen.threads} threads",
        ("exact", "of", "median C", "worst C", "median s", "worst s"),
        [(len(exact), len(found), statistics.median(checks), max(checks), statistics.median(seconds), max(seconds))],
    )
    worst = sorted(found, key=lambda line: -line["checks"])[:5]
    print("  slowest seeds: " + ", ".join(f"{line['key']} ({line['checks']:.0f} C)" for line in worst))
    print(f"  goal: median 30 C, worst 400 C; {lines.codes()}")
    wrong = [line["key"] for line in found if line["verdict"] in {"exact", "consistent"} and not line["right"]]
    assert not wrong, f"wrong although called exact: seeds {wrong}"
    assert len(exact) == len(SEEDS), f"only {len(exact)} of {len(SEEDS)} are exact"
