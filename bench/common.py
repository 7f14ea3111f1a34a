"""What the benches share: the puzzle, the unit of time, tables, and lines that survive an interruption."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from reknit.assembly.problem import mean_square
from reknit.assembly.result import Assembly
from reknit.containers.pile import read_pile
from reknit.containers.table import read_table
from reknit.network.activations import activation
from reknit.network.norms import norm
from reknit.network.spec import ResidualSpec
from reknit.network.stack import Arrangement, Stack

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "bench" / "out"
PUZZLE = Path(os.environ.get("REKNIT_PUZZLE", ROOT.parent / "shared" / "puzzle"))
PUZZLE_SHA256 = "093be1cf2d24094db903cbc3e8d33d306ebca49c6accaa264e44b0b675e7d9c4"
PUZZLE_SPEC = ResidualSpec(48, 48, 96, 1)
ASSEMBLY = ("assembly", "containers", "network", "puzzle", "solvers")
"""The folders that putting a residual MLP back together depends on."""


@dataclass(frozen=True)
class Truth:
    """A network whose order is known, with every row of its table: position k holds in-layer k and out-layer k."""

    stack: Stack
    x: np.ndarray
    y: np.ndarray

    @property
    def arrangement(self) -> Arrangement:
        return Arrangement(tuple(range(self.stack.blocks)), tuple(range(self.stack.blocks)))

    def mse(self) -> float:
        """The error that the true arrangement leaves on the table."""
        return mean_square(self.stack.forward(self.x, self.arrangement) - self.y)

    def check_seconds(self, runs: int = 5) -> float:
        """One check C: the time of one forward pass of the true arrangement over all rows; the median of ``runs``."""
        seconds = []
        for _ in range(runs):
            began = time.perf_counter()
            self.stack.forward(self.x, self.arrangement)
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)


def read_truth(pieces: Path, data: Path, order: Sequence[str], spec: ResidualSpec) -> Truth:
    """The layers in the true order (names in, out, in, out, ..., head) and the table."""
    pile, table = read_pile(pieces), read_table(data)

    def stacked(names: Sequence[str], part: str, size: int) -> np.ndarray:
        found = [getattr(pile[name], part) for name in names]
        return np.stack([np.zeros(size) if v is None else v for v in found]).astype(np.float32)

    inner, outer, head = order[:-1:2], order[1:-1:2], order[-1:]
    stack = Stack(
        stacked(inner, "weight", 0),
        stacked(inner, "bias", spec.hidden),
        stacked(outer, "weight", 0),
        stacked(outer, "bias", spec.width),
        stacked(head, "weight", 0)[0],
        stacked(head, "bias", spec.outputs)[0],
        activation(spec.activation),
        norm(spec.norm),
        norm(spec.final_norm),
        spec.norm_eps,
    )
    return Truth(stack, table.inputs.astype(np.float32), table.outputs.astype(np.float32))


def order_sha256(order: Sequence[str]) -> str:
    """The hash of the piece numbers joined by commas, as the puzzle's checker takes it."""
    return hashlib.sha256(",".join(name.rpartition("_")[2] for name in order).encode()).hexdigest()


def require_puzzle_solved(assembly: Assembly) -> None:
    """Stop unless the answer is the puzzle's, and says so."""
    assert order_sha256(assembly.order) == PUZZLE_SHA256, "the order is wrong"
    assert assembly.verdict == "exact", f"the verdict is {assembly.verdict}: {assembly.reason}"


def puzzle_order() -> list[str]:
    """The solved order, proven by its hash; solved once and kept in ``bench/out/puzzle_order.json``."""
    path = OUT / "puzzle_order.json"
    if path.exists():
        order: list[str] = json.loads(path.read_text())
    else:
        from reknit.assembly.verb import assemble

        order = list(assemble(PUZZLE / "pieces", PUZZLE / "historical_data.csv").order)
        OUT.mkdir(exist_ok=True)
        path.write_text(json.dumps(order))
    assert order_sha256(order) == PUZZLE_SHA256
    return order


def puzzle_truth() -> Truth:
    return read_truth(PUZZLE / "pieces", PUZZLE / "historical_data.csv", puzzle_order(), PUZZLE_SPEC)


def search_seconds(assembly: Assembly) -> float:
    """Pair + order."""
    return assembly.seconds["pair"] + assembly.seconds["order"]


class Lines:
    """One JSON object a line in ``bench/out/NAME.jsonl``; what is there is not run again."""

    def __init__(self, name: str, fresh: bool = False, folders: Sequence[str] = ASSEMBLY) -> None:
        OUT.mkdir(exist_ok=True)
        self.path = OUT / f"{name}.jsonl"
        if fresh:
            self.path.unlink(missing_ok=True)
        self.code = code_sha256(folders)

    def read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = self.path.read_text().splitlines()
        whole = [json.loads(line) for line in lines if line.endswith("}")]
        # a line cut short, or of a run that crashed, is run again
        return [line for line in whole if line.get("verdict") != "crash"]

    def add(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({**line, "code": self.code}) + "\n")

    def each(self, keys: Iterable[Any], run: Callable[[Any], dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The line of every key: as it stands in the file, else run and added."""
        done = {json.dumps(line["key"]): line for line in self.read()}
        for key in keys:
            text = json.dumps(key)
            if text not in done:
                done[text] = {"key": key, **run(key)}
                self.add(done[text])
            yield done[text]

    def codes(self) -> str:
        """How many states of the code the figures come from."""
        codes = {line["code"] for line in self.read()}
        return f"{self.path.relative_to(ROOT)}, code {', '.join(sorted(codes)) or 'none'}"


def code_sha256(folders: Sequence[str] = ASSEMBLY) -> str:
    """A short hash of everything an answer depends on: the code, and what was learned, in these folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted((ROOT / "src" / "reknit" / folder).rglob("*")):
            if file.suffix in (".py", ".json"):
                digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def show(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table, columns as wide as they need."""
    cells = [[str(c) for c in head], *([_text(c) for c in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    print(f"\n{title}")
    for row in cells:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "-" if value is None else str(value)


def options(name: str, argv: Sequence[str], **numbers: float | str | None) -> argparse.Namespace:
    """The options of one bench; sets the threads of numpy's BLAS."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--fresh", action="store_true", help="forget the lines of an earlier run")
    for option, default in numbers.items():
        kind = float if default is None else type(default)
        parser.add_argument(f"--{option.replace('_', '-')}", type=kind, default=default)
    parsed = parser.parse_args(argv)
    threadpool_limits(parsed.threads, user_api="blas")
    return parsed


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with TemporaryDirectory(prefix="reknit-bench-") as folder:
        yield Path(folder)
