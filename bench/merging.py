"""Networks trained apart, half way: as they are, in one basis by every method, mended, of three and five, and a star.

    python -m bench merging                     everything that has no line yet
    python -m bench merging --parts ''            only the tables of the lines there are
    python -m bench merging --kinds resnet-16 --parts pairs --steps 100     lines and tables of their own

Seeds 2 to 16. Settings of the trained methods were chosen on seeds 0 and 1 (dev/log.md), which are in no table. Every
aligned network is proven to compute what it computed before its figures count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from bench import merging_star, merging_tables, merging_temperatures, merging_variances
from bench.common import Lines, options
from bench.merging_ways import Net, Task, averaged, brought, distance, judged_one, methods_of, require_same, task_of
from reknit.match.agreement import agreement
from reknit.match.many import match_many

KINDS = (
    *("mlp-64", "mlp-128", "mlp-256", "mlp-512"),
    *("resnet-8", "resnet-16", "resnet-32", "resnet-48"),
    "decoder-64",
)
PAIRS = ((2, 3), (4, 5), (6, 7), (8, 9), (10, 11))
SETS = {
    3: tuple((*pair, seed) for pair, seed in zip(PAIRS, range(12, 17), strict=True)),
    5: ((2, 3, 12, 4, 5), (6, 7, 14, 13, 15), (8, 9, 16, 10, 11)),
}
"""Sets of a size share no seed; the first two of a set of three are a pair."""
PARTS = ("pairs", "sets", "stars", "variances", "temperatures")
TO_THE_FIRST = ("weights", "activations", "straight-through")
STEPS = {"mlp": 100, "resnet": 40, "decoder": 60, "llama": 60}
"""Of trained methods; the same at all widths of a family, or a trend could be one of steps."""


def main(argv: Sequence[str]) -> None:
    """Run what has no line, and print the tables."""
    chosen = options("merging", argv, pairs=5, steps=0, star_steps=0, kinds=",".join(KINDS), parts=",".join(PARTS))
    torch.set_num_threads(chosen.threads)
    other = "".join(f"_{steps}" for steps in (chosen.steps, chosen.star_steps) if steps)
    lines = {part: Lines(f"merging_{part}{other}", chosen.fresh, ("match", "solvers", "skeleton")) for part in PARTS}
    for kind in chosen.kinds.split(","):
        steps = chosen.steps or STEPS[kind.partition("-")[0]]
        keys: dict[str, list[Any]] = {
            "pairs": [[kind, list(seeds)] for seeds in PAIRS[: chosen.pairs]],
            "sets": [[kind, list(seeds)] for sets in SETS.values() for seeds in sets],
            "stars": [[kind]],
            "variances": [[kind, list(seeds)] for seeds in PAIRS if kind.startswith("resnet")],
            "temperatures": [[kind, list(seeds)] for seeds in PAIRS if kind.startswith("mlp")],
        }
        runs: dict[str, Callable[[Any], dict[str, Any]]] = {
            "pairs": partial(_pair, steps),
            "sets": partial(_set, steps),
            "stars": partial(merging_star.star, chosen.star_steps or merging_star.STEPS),
            "variances": merging_variances.variances,
            "temperatures": merging_temperatures.temperatures,
        }
        for part in chosen.parts.split(",") if chosen.parts else ():
            _run(lines[part], keys[part], runs[part])
    merging_tables.print_all(KINDS, lines)


def _run(lines: Lines, keys: Iterable[Any], run: Callable[[Any], dict[str, Any]]) -> None:
    for line in lines.each(keys, run):
        print("  have", line["key"], flush=True)


def _pair(steps: int, key: Any) -> dict[str, Any]:
    """Half way between two networks, by every method."""
    name, (left, right) = key
    task = task_of(name)
    line: dict[str, Any] = {"ends": [judged_one(task, task.net(seed)) for seed in (left, right)], "steps": steps}
    for method in methods_of(name):
        found = brought(method, name, left, right, steps)
        agreed = agreement(found.task.computer.skeleton, found.left, found.moved)
        line[method] = {
            **averaged(found.task, [found.left, found.moved]),
            "seconds": found.seconds,
            "distance": distance(found.task, found.left, found.moved),
            "directions": float(np.mean([each.directions for each in agreed if each.directions is not None])),
        }
    return line


def _set(steps: int, key: Any) -> dict[str, Any]:
    """The mean of several networks: as they are, in one basis by weights, and each brought to the first.

    Of three, also half way between the second and the third, which were never matched to each other.
    """
    name, seeds = key
    task = task_of(name)
    nets = [task.net(seed) for seed in seeds]
    line: dict[str, Any] = {"ends": [judged_one(task, net) for net in nets], "steps": steps}
    together = [
        symmetry.apply(dict(net)) for symmetry, net in zip(match_many(task.computer.skeleton, nets), nets, strict=True)
    ]
    for net, moved in zip(nets, together, strict=True):
        require_same(task, net, moved)
    line["naive"] = _mean(task, nets)
    line["weights, together"] = _mean(task, together)
    ways = TO_THE_FIRST if len(seeds) == 3 else TO_THE_FIRST[:2]
    for method in (*ways, "rotation") if "rotation" in methods_of(name) else ways:
        found = [brought(method, name, seeds[0], seed, steps) for seed in seeds[1:]]
        line[method] = _mean(found[0].task, [found[0].left, *(each.moved for each in found)])
    return line


def _mean(task: Task, parents: Sequence[Net]) -> dict[str, Any]:
    others = {"others": averaged(task, parents[1:])} if len(parents) == 3 else {}
    return {**averaged(task, parents), **others}
