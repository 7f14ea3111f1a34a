"""3. A covering array of networks, five seeds a cell, and controls; resumable; each run in a process of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

from bench.cells import CELLS
from bench.common import ROOT, Lines, options, show

CLAIMS = {"exact", "consistent"}
VERDICTS = ("exact", "consistent", "ambiguous", "failed")
CONTROLS = ("rows", "columns", "duplicate")
# cells of every data set, epochs and depth; the untrained ones of the array are controls as they are
CONTROL_CELLS = (0, 1, 5, 11)

SMALL, SMALL_SHARE = 100_000, 0.4
"""Numbers in all in-layers below which a network gets only that share of the budget."""


def jobs() -> list[dict[str, Any]]:
    """Every run: the first seed of each cell, then the second and third, the controls, and the other seeds."""

    def nets(which: range) -> list[dict[str, Any]]:
        return [{"cell": k, **net, "seed": seeds[s]} for s in which for k, (net, seeds) in enumerate(CELLS)]

    controls = []
    for k in CONTROL_CELLS:
        net, seeds = CELLS[k]
        spoilt = [control for control in CONTROLS if control != "columns" or net["data"] == "digits"]
        controls += [{"cell": k, **net, "seed": seed, "control": c} for c in spoilt for seed in seeds[:2]]
    return [*nets(range(3)), *controls, *nets(range(3, 5))]


def is_small(job: dict[str, Any]) -> bool:
    """Whether a network's layers are small enough to be searched in a fraction of the time."""
    return int(job["blocks"]) * int(job["width"]) * int(job["hidden"]) < SMALL


def run_one(job: dict[str, Any], threads: int, budget: float) -> dict[str, Any]:
    """One run in a process of its own; one that takes too long is killed and counted as failed."""
    sent = {"control": None, **{name: value for name, value in job.items() if name != "cell"}}
    sent |= {"threads": threads, "budget": budget}
    command = [sys.executable, "-m", "bench.one_net", json.dumps(sent)]
    began = time.perf_counter()
    try:
        # training comes on top of the budget, and so does the proof
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=4 * budget + 1800, check=False)
    except subprocess.TimeoutExpired:
        return {"verdict": "timeout", "right": False, "wall": time.perf_counter() - began}
    wall = {"wall": time.perf_counter() - began}
    if done.returncode:
        return {"verdict": "crash", "right": False, "reason": done.stderr[-2000:], **wall}
    return {**json.loads(done.stdout.splitlines()[-1]), **wall}


def main(argv: list[str]) -> None:
    """Run what is not run yet, print the tables, and stop at a claim that the key calls wrong."""
    chosen = options("covering", argv, budget=60.0, total=None, workers=1)
    lines = Lines("covering", chosen.fresh)
    known = {json.dumps(line["key"]): line for line in lines.read()}
    began, writing = time.perf_counter(), Lock()

    def settle(job: dict[str, Any]) -> dict[str, Any] | None:
        """The line of a job, from the file or run now; None when there is no time left for it."""
        if json.dumps(job) in known:
            return known[json.dumps(job)]
        if chosen.total is not None and time.perf_counter() - began > chosen.total:
            return None
        budget = chosen.budget * (SMALL_SHARE if is_small(job) else 1)
        line = {"key": job, "budget": budget, **run_one(job, chosen.threads, budget)}
        with writing:
            lines.add(line)
            name = " ".join(str(value) for value in job.values())
            print(f"  {name}: {line['verdict']}, right {line.get('right')}, {line['wall']:.0f} s", flush=True)
        return line

    todo = jobs()
    if chosen.workers == 1:
        settled = [settle(job) for job in todo]
    else:  # two large networks at a time are slower than one after the other: they wait for memory
        with ThreadPoolExecutor(1) as large, ThreadPoolExecutor(chosen.workers - 1) as small:
            pending = [(small if is_small(job) else large).submit(settle, job) for job in todo]
            settled = [future.result() for future in pending]
    found = [line for line in settled if line is not None]
    report(found)
    left = len(settled) - len(found)
    print(f"  {lines.codes()}" + (f"; {left} runs left for another time" if left else ""))
    require(found)


def report(found: list[dict[str, Any]]) -> None:
    """The tables."""
    array = [line for line in found if "control" not in line["key"]]
    rows = []
    for k, (net, _) in enumerate(CELLS):
        blocks = int(str(net["blocks"]))
        cell = [line for line in array if line["key"]["cell"] == k and line["verdict"] != "untrainable"]
        counts = Counter(line["verdict"] if line["verdict"] in VERDICTS else "failed" for line in cell)
        scored = [line for line in cell if "data" in line]
        pairs = [_total(scored, name, blocks) for name in ("trace", "weights", "data")]
        checks = statistics.median(line["checks"] for line in scored) if scored else None
        right = sum(line["right"] for line in cell)
        rows.append((*net.values(), *(counts[v] for v in VERDICTS), f"{right}/{len(cell)}", *pairs, checks))
    head = ("n", "d", "h", "act", "norm", "epochs", "data", *VERDICTS, "right", "trace", "weights", "final", "C")
    show("the covering array (pairs right of all; C: median of pair + order)", head, rows)
    for title, epochs, goal in (
        ("4 epochs or more", (4, 20), "90 %"),
        ("one epoch", (1,), "50 %"),
        ("none", (0,), "-"),
    ):
        nets = [n for n in array if n["key"]["epochs"] in epochs and n["verdict"] != "untrainable"]
        exact = sum(line["verdict"] == "exact" and line["right"] for line in nets)
        right = sum(line["right"] for line in nets)
        print(f"  {title}: {exact} of {len(nets)} exact ({_share(exact, nets)}; goal {goal}), {right} right by the key")
    untrainable = sum(line["verdict"] == "untrainable" for line in array)
    print(f"  networks whose training diverged: {untrainable}")
    controls = [line for line in found if "control" in line["key"]]
    by_kind = {c: Counter(n["verdict"] for n in controls if n["key"]["control"] == c) for c in CONTROLS}
    for control, counts in by_kind.items():
        print(f"  control {control}: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))


def require(found: list[dict[str, Any]]) -> None:
    """Not one claim that the key calls wrong, and none at all of a control; nothing crashed."""
    wrong = [n["key"] for n in found if n["verdict"] in CLAIMS and ("control" in n["key"] or not n["right"])]
    print(f"  claims of exact or consistent that the key calls wrong: {len(wrong)}")
    assert not wrong, f"wrong claims: {wrong}"
    broken = [line["key"] for line in found if line["verdict"] in {"crash", "error"}]
    assert not broken, f"crashed or refused: {broken}"


def _total(scored: list[dict[str, Any]], name: str, blocks: int) -> str | None:
    counts = [line[name] for line in scored if line[name] is not None]
    return f"{sum(counts)}/{blocks * len(counts)}" if counts else None


def _share(part: int, whole: list[Any]) -> str:
    return f"{100 * part / len(whole):.0f} %" if whole else "-"
