"""6. Whole commands, as processes: the answer's time against the published method's, and what help does not load."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

from bench.common import PUZZLE, PUZZLE_SHA256, options, order_sha256, show

ASSEMBLE = ("assemble", str(PUZZLE / "pieces"), "--data", str(PUZZLE / "historical_data.csv"), "--json")
COMMANDS: dict[str, tuple[str, ...]] = {
    "assemble": ASSEMBLE,
    "assemble --start norm": (*ASSEMBLE, "--start", "norm"),
    "assemble --start norm --method hill-climb": (*ASSEMBLE, "--start", "norm", "--method", "hill-climb"),
}
MOST = 0.25
HEAVY = ("torch", "polars", "scipy", "sklearn", "plotly", "pandas")


def reknit(*arguments: str, threads: int, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command line in a new process."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, *flags, "-m", "reknit", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def loaded(*arguments: str) -> list[str]:
    """The heavy packages that a command loads."""
    done = reknit(*arguments, threads=1, flags=("-X", "importtime"))
    assert done.returncode == 0, done.stderr[-2000:]
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "reknit" in modules, "the list of imports was not understood"
    return [name for name in HEAVY if name in modules]


def main(argv: list[str]) -> None:
    """Time whole commands, taken in turn, and look at what help and inspect load."""
    chosen = options("commands", argv, rounds=3)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(chosen.rounds):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            done = reknit(*command, "--threads", str(chosen.threads), threads=chosen.threads)
            seconds[name].append(time.perf_counter() - began)
            assert done.returncode == 0, f"{name}: exit status {done.returncode}: {done.stderr[-2000:]}"
            answer = json.loads(done.stdout)
            assert answer["verdict"] == "exact", f"{name}: {answer['verdict']}"
            assert order_sha256(answer["order"]) == PUZZLE_SHA256, f"{name}: the order is wrong"
    median = {name: statistics.median(values) for name, values in seconds.items()}
    climb = median["assemble --start norm --method hill-climb"]
    show(
        f"whole commands on the puzzle, {chosen.threads} threads, taken in turn, all exact",
        ("command", "runs", "median s", "least s", "most s", "of hill-climb's"),
        [(name, len(v), median[name], min(v), max(v), median[name] / climb) for name, v in seconds.items()],
    )
    for arguments in (("--help",), ("inspect", str(PUZZLE / "pieces"))):
        began = time.perf_counter()
        reknit(*arguments, threads=1)
        took = time.perf_counter() - began
        heavy = loaded(*arguments)
        print(f"  reknit {arguments[0]}: {took:.2f} s, loads of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}")
        assert "torch" not in heavy, f"reknit {arguments[0]} loads torch"
    slow = {name: value / climb for name, value in median.items() if value != climb and value >= MOST * climb}
    assert not slow, f"not under a quarter of hill-climb's time: {slow}"
