"""5. Time and peak memory of the search for the order, by depth; synthetic networks, from a start a few places off."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

import numpy as np

from bench.common import ROOT, Lines, options, show

DEPTHS = (8, 16, 32, 64, 128)
GOAL = 256
SEEDS = range(3)
LIMIT = 900.0


def run(key: list[int], threads: int) -> dict[str, Any]:
    """One depth and seed, in a process of its own, so that the peak is its own."""
    command = [sys.executable, "-m", "bench.one_size", *(str(value) for value in key), str(threads)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return {"solved": False, "left": None, "seconds": LIMIT, "check": None, "inversions": None, "peak": None}
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def exponent(depths: list[int], values: list[float]) -> float:
    """The slope of a straight line through the logarithms, by least squares."""
    return float(np.polyfit(np.log(depths), np.log(values), 1)[0])


def main(argv: list[str]) -> None:
    """Run every depth, print the table and the fitted exponents."""
    chosen = options("scaling", argv)
    lines = Lines("scaling", chosen.fresh)
    rows, medians = [], {}
    for depth in (*DEPTHS, GOAL):
        seeds = SEEDS[:1] if depth == GOAL else SEEDS
        found = list(lines.each([[depth, seed] for seed in seeds], lambda key: run(key, chosen.threads)))
        solved = sum(line["solved"] for line in found)
        seconds = statistics.median(line["seconds"] for line in found)
        peaks = [line["peak"] for line in found if line["peak"] is not None]
        search = [line["peak"] - line["before"] for line in found if line["peak"] is not None]
        checks = [line["seconds"] / line["check"] for line in found if line["check"]]
        inverted = [line["inversions"] for line in found if line["inversions"] is not None]
        typical = [statistics.median(values) if values else None for values in (inverted, checks, peaks, search)]
        rows.append((depth, f"{solved}/{len(found)}", typical[0], seconds, *typical[1:]))
        medians[depth] = seconds, typical[3], solved == len(found)
    head = ("blocks", "solved", "inversions", "s", "in C", "peak MB", "of it the search")
    show(f"the order of synthetic networks, {chosen.threads} threads (medians over the seeds)", head, rows)
    unsolved = [depth for depth in DEPTHS if not medians[depth][2]]
    assert not unsolved, f"not solved: {unsolved} blocks"
    depths = list(DEPTHS)
    print(f"  time grows as n^{exponent(depths, [medians[d][0] for d in depths]):.2f}", end="")
    grown = {d: medians[d][1] or 0.0 for d in depths if (medians[d][1] or 0) > 1}
    if len(grown) > 2:
        print(f", the search's memory as n^{exponent(list(grown), list(grown.values())):.2f}", end="")
    print(f"; {GOAL} blocks (the goal) {'solved' if medians[GOAL][2] else 'NOT solved'}; {lines.codes()}")
