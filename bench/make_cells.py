"""Draw the cells of the covering array, once, before the first run: ``python -m bench.make_cells > bench/cells.py``.

Greedy, seeded: the next cell is the one of a thousand random ones that covers the most pairs of values not covered yet;
the smallest of 200 such arrays is taken.
"""

from __future__ import annotations

import random
from itertools import combinations, product
from typing import Any

FACTORS: dict[str, tuple[object, ...]] = {
    "blocks": (8, 24, 48, 96),
    "width": (16, 64, 128),
    "wider": (1, 2),  # hidden over width
    "activation": ("relu", "gelu", "silu", "tanh"),
    "norm": ("none", "layer", "rms"),
    "epochs": (0, 1, 4, 20),
    "data": ("digits", "diabetes", "friedman"),
}
MOST_CELLS = 24
SEEDS_PER_CELL = 5
Pair = tuple[str, object, str, object]
Cell = dict[str, Any]


def pairs(cell: Cell) -> set[Pair]:
    """Every pair of values that a cell brings together."""
    return {(a, cell[a], b, cell[b]) for a, b in combinations(FACTORS, 2)}


def all_pairs() -> set[Pair]:
    """Every pair of values there is."""
    found = set()
    for a, b in combinations(FACTORS, 2):
        found |= {(a, v, b, w) for v, w in product(FACTORS[a], FACTORS[b])}
    return found


def greedy_array(rng: random.Random, candidates: int) -> list[Cell]:
    """Cells that cover every pair."""
    open_pairs, cells = all_pairs(), []
    while open_pairs:
        drawn = [{name: rng.choice(values) for name, values in FACTORS.items()} for _ in range(candidates)]
        cell = max(drawn, key=lambda c: len(pairs(c) & open_pairs))
        cells.append(cell)
        open_pairs -= pairs(cell)
    return cells


def main() -> None:
    """Print the covering array and its seeds."""
    rng = random.Random(20260601)
    cells = min((greedy_array(rng, 1000) for _ in range(200)), key=len)
    assert len(cells) <= MOST_CELLS
    cells.sort(key=lambda c: (c["blocks"], c["width"], c["epochs"]))
    print('"""The covering array and its seeds, drawn by make_cells before the first run; not to be touched."""')
    print("\nCELLS = [")
    seeds = rng.sample(range(1000, 10000), SEEDS_PER_CELL * len(cells))
    for k, cell in enumerate(cells):
        mine = seeds[SEEDS_PER_CELL * k : SEEDS_PER_CELL * (k + 1)]
        net = {"blocks": cell["blocks"], "width": cell["width"], "hidden": cell["width"] * cell["wider"]}
        net |= {name: cell[name] for name in ("activation", "norm", "epochs", "data")}
        items = ", ".join(f'"{name}": {value!r}'.replace("'", '"') for name, value in net.items())
        print(f"    ({{{items}}}, {mine}),")
    print("]")


if __name__ == "__main__":
    main()
