"""4. The puzzle with few rows, noisy outputs, and pieces stored in fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file

from bench.common import (
    PUZZLE,
    PUZZLE_SHA256,
    PUZZLE_SPEC,
    Lines,
    options,
    order_sha256,
    puzzle_order,
    read_truth,
    scratch,
    show,
)
from reknit.assembly.verb import assemble
from reknit.containers.pile import read_pile

ROWS = (40, 50, 60, 70, 80, 90, 100, 125, 150, 200, 250, 300, 400, 500, 700, 1000, 2000)
SEEDS = range(3)
BUDGET = 20.0  # seconds; where rows are too few a search would go on to its last attempt
NOISES = (0.001, 0.01, 0.1)
FORMATS = ("bf16", "fp16", "int8")
METHODS: dict[str, dict[str, str]] = {"commutator": {}, "hill-climb": {"method": "hill-climb", "start": "norm"}}


def outcome(pieces: Path, data: Path, **run: Any) -> dict[str, Any]:
    """What is said of the puzzle's pieces and a table, and the error beside that of the true arrangement."""
    assembly = assemble(pieces, data, activation="relu", norm="none", budget=BUDGET, **run)
    return {
        "right": order_sha256(assembly.order) == PUZZLE_SHA256,
        "verdict": assembly.verdict,
        "undecided": len(assembly.undecided),
        "mse": assembly.residual.mse,
        "true mse": read_truth(pieces, data, puzzle_order(), PUZZLE_SPEC).mse(),
        "seconds": dict(assembly.seconds),
    }


def with_rows(key: list[Any], threads: int) -> dict[str, Any]:
    """A table that has only so many rows, drawn by the seed."""
    method, rows, seed = key
    table = pl.read_csv(PUZZLE / "historical_data.csv")
    with scratch() as folder:
        table.sample(rows, shuffle=True, seed=seed).write_csv(folder / "data.csv")
        return outcome(PUZZLE / "pieces", folder / "data.csv", threads=threads, seed=seed, **METHODS[method])


def with_noise(key: list[Any], threads: int) -> dict[str, Any]:
    """Normal noise on the recorded outputs, told or not; its size in standard deviations of the outputs."""
    share, told, seed = key
    table = pl.read_csv(PUZZLE / "historical_data.csv")
    pred = table["pred"].to_numpy()
    sd = share * float(pred.std())
    noisy = pred + np.random.default_rng(seed).normal(scale=sd, size=len(pred))
    with scratch() as folder:
        table.with_columns(pred=pl.Series(noisy)).write_csv(folder / "data.csv")
        run = {"noise": sd} if told else {}
        return outcome(PUZZLE / "pieces", folder / "data.csv", threads=threads, seed=seed, **run)


def stored(kind: str) -> dict[str, Any]:
    """Every piece of the puzzle as a function of its weight and bias; int8 by rows, with a scale beside it."""
    pieces = {}
    for piece in read_pile(PUZZLE / "pieces"):
        weight, bias = torch.as_tensor(piece.weight).float(), torch.as_tensor(piece.bias).float()
        if kind == "int8":
            scale = weight.abs().amax(1, keepdim=True) / 127
            weight = (weight / scale).round().to(torch.int8)
            pieces[piece.name] = {"weight": weight, "weight_scale": scale, "bias": bias}
        else:
            dtype = torch.bfloat16 if kind == "bf16" else torch.float16
            pieces[piece.name] = {"weight": weight.to(dtype), "bias": bias.to(dtype)}
    return pieces


def with_format(kind: str, threads: int) -> dict[str, Any]:
    """The pieces in fewer bits, the table as it was."""
    with scratch() as folder:
        for name, tensors in stored(kind).items():
            save_file(tensors, folder / f"{name}.safetensors")
        return outcome(folder, PUZZLE / "historical_data.csv", threads=threads)


def fewest(lines: Lines, method: str, seed: int, threads: int, verdict: str | None) -> int | None:
    """The fewest rows, by bisection over ``ROWS``, with the right order (and, if asked, that verdict)."""

    def good(rows: int) -> bool:
        (line,) = lines.each([[method, rows, seed]], lambda key: with_rows(key, threads))
        claimed = line["verdict"] in {"exact", "consistent"}
        assert line["right"] or not claimed, f"{line['verdict']}, but wrong: {method}, {rows} rows, seed {seed}"
        return bool(line["right"]) and verdict in {None, line["verdict"]}

    low, high = -1, len(ROWS)  # ROWS[low] is too few, ROWS[high] enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(ROWS[middle]) else (middle, high)
    return ROWS[high] if high < len(ROWS) else None


def main(argv: list[str]) -> None:
    """Bisect the fewest rows, run the noisy tables and the formats, print both tables."""
    chosen = options("few_rows", argv)
    threads = chosen.threads
    lines = Lines("few_rows", chosen.fresh)
    rows = []
    for method in METHODS:
        for name, verdict in (("order right", None), ("and said to be exact", "exact")):
            rows.append((method, name, *(fewest(lines, method, seed, threads, verdict) for seed in SEEDS)))
    show("fewest rows in the table, by seed (goal 100)", ("method", "", *(f"seed {s}" for s in SEEDS)), rows)
    noises, formats = Lines("noise", chosen.fresh), Lines("formats", chosen.fresh)
    keys = [[share, told, 0] for share in NOISES for told in (True, False)]
    found = [
        (f"noise {100 * line['key'][0]:g} %{', told' if line['key'][1] else ''}", line)
        for line in noises.each(keys, lambda key: with_noise(key, threads))
    ]
    found += [(line["key"], line) for line in formats.each(FORMATS, lambda kind: with_format(kind, threads))]
    show(
        "noisy outputs (all rows) and stored formats",
        ("case", "verdict", "order right", "undecided", "mse", "mse of the true one"),
        [(name, n["verdict"], n["right"], n["undecided"], n["mse"], n["true mse"]) for name, n in found],
    )
    print(f"  {lines.codes()}")
    wrong = [name for name, line in found if line["verdict"] in {"exact", "consistent"} and not line["right"]]
    assert not wrong, f"claimed, but wrong: {wrong}"
