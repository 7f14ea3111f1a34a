"""4. The puzzle with few rows, noisy outputs, and pieces stored in fewer bits; rows chosen in three ways.

The rows of ``--choose`` are those that the search gets (``--rows``); the verdict rests on the whole table.
    python -m bench few_rows --part choices      only these: the puzzle and two networks made by ``drop``
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from reknit.puzzle.verb import drop
from reknit.solvers.row_selection import CHOICES

ROWS = (40, 50, 60, 70, 80, 90, 100, 125, 150, 200, 250, 300, 400, 500, 700, 1000, 2000)
SEEDS = range(3)
BUDGET = 20.0  # seconds; where rows are too few a search would go on to its last attempt
NOISES = (0.001, 0.01, 0.1)
CLAIMS = {"exact", "consistent"}
FORMATS = ("bf16", "fp16", "int8")
CHOSEN_ROWS = (1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 70, 80, 90, 100, 125, 150, 200, 300)
CHOSEN_BUDGET = 10.0
DROPPED: dict[str, dict[str, Any]] = {
    "digits": {"blocks": 24, "width": 32, "hidden": 64, "activation": "gelu", "norm": "layer", "epochs": 10},
    "digits, relu": {"blocks": 16, "width": 48, "hidden": 96, "activation": "relu", "epochs": 20},
}
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


def with_choice(net: Net, key: list[Any], threads: int) -> dict[str, Any]:
    """The whole table, of which the search gets so many rows, chosen in this way by the seed."""
    _, choice, rows, seed = key
    run = {"rows": rows, "choose": choice, "seed": seed, "threads": threads, "budget": CHOSEN_BUDGET}
    assembly = assemble(net.pieces, net.data, activation=net.activation, norm=net.norm, **run)
    return {
        "right": tuple(assembly.order) == net.order,
        "verdict": assembly.verdict,
        "seconds": dict(assembly.seconds),
    }


@dataclass(frozen=True)
class Net:
    """Pieces, a table, and the order that is right."""

    pieces: Path
    data: Path
    order: tuple[str, ...]
    activation: str
    norm: str


def nets(folder: Path) -> Iterator[tuple[str, Net]]:
    """The puzzle, and networks made here."""
    yield "puzzle", Net(PUZZLE / "pieces", PUZZLE / "historical_data.csv", tuple(puzzle_order()), "relu", "none")
    for name, made in DROPPED.items():
        dropped = drop(folder / name, **made)
        spec = dropped.spec
        pieces, table = folder / name / "pieces", folder / name / "data.csv"
        yield name, Net(pieces, table, tuple(dropped.order), spec.activation, spec.norm)


def compare_choices(chosen: Any) -> None:
    """The fewest rows that give an exact answer, for every network, choice and seed."""
    lines = Lines("row_choices", chosen.fresh)
    table = []
    with scratch() as folder:
        for name, net in nets(folder):
            for choice in CHOICES:
                found = [fewest_chosen(lines, name, net, choice, seed, chosen.threads) for seed in SEEDS]
                table.append((name, choice, *found))
    show(
        f"fewest rows searched for an exact answer, {CHOSEN_BUDGET:g} s each",
        ("network", "choice", *(f"seed {seed}" for seed in SEEDS)),
        table,
    )
    print(f"  {lines.codes()}")


def fewest_chosen(lines: Lines, name: str, net: Net, choice: str, seed: int, threads: int) -> int | None:
    """By bisection over ``CHOSEN_ROWS``."""

    def good(rows: int) -> bool:
        (line,) = lines.each([[name, choice, rows, seed]], lambda key: with_choice(net, key, threads))
        assert line["right"] or line["verdict"] not in CLAIMS, f"{line['verdict']}, but wrong: {line['key']}"
        return bool(line["verdict"] == "exact")

    return bisected(CHOSEN_ROWS, good)


def bisected(sizes: Sequence[int], good: Callable[[int], bool]) -> int | None:
    """The least of the sizes that is good, if all above it are and all below it are not; None: none is."""
    low, high = -1, len(sizes)  # sizes[low] is too few, sizes[high] enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(sizes[middle]) else (middle, high)
    return sizes[high] if high < len(sizes) else None


def fewest(lines: Lines, method: str, seed: int, threads: int, verdict: str | None) -> int | None:
    """The fewest rows, by bisection over ``ROWS``, with the right order (and, if asked, that verdict)."""

    def good(rows: int) -> bool:
        (line,) = lines.each([[method, rows, seed]], lambda key: with_rows(key, threads))
        assert line["right"] or line["verdict"] not in CLAIMS, (
            f"{line['verdict']}, but wrong: {method}, {rows} rows, seed {seed}"
        )
        return bool(line["right"]) and verdict in {None, line["verdict"]}

    return bisected(ROWS, good)


def main(argv: list[str]) -> None:
    """Bisect the fewest rows, run the noisy tables and the formats, print all tables."""
    chosen = options("few_rows", argv, part="all")
    if chosen.part in {"all", "choices"}:
        compare_choices(chosen)
    if chosen.part != "choices":
        few_and_noisy(chosen)


def few_and_noisy(chosen: Any) -> None:
    """Fewer rows in the table; noise; pieces in fewer bits."""
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
    wrong = [name for name, line in found if line["verdict"] in CLAIMS and not line["right"]]
    assert not wrong, f"claimed, but wrong: {wrong}"
