"""Weight matching beside the package ``rebasin`` and beside the published algorithm written plainly, in one run.

    REKNIT_REBASIN=.../site-packages python -m bench matching_speed

A random network and a copy with its units permuted, which everyone has to undo exactly before the clock counts; then
two unrelated networks, the harder case. Seconds are of the processor, one thread, so that other work on the machine
does not count. ``rebasin`` (0.0.47, with torchview and graphviz) is taken from the folder in REKNIT_REBASIN, where it
was installed without its own torch being used; its time is for ``rebasin()`` alone, tracing is told apart for both.
"""

from __future__ import annotations

import copy
import importlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.common import Lines, options, show
from bench.plain_rebasin import Table, matched, mlp_table, moved, resnet_table
from reknit.architectures.registry import architecture_of
from reknit.match.weight_matching import match_weights
from reknit.skeleton.like import resolve
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.symmetry import Symmetry
from reknit.skeleton.trace import trace

Tensors = Mapping[str, np.ndarray]
CASES: dict[str, tuple[str, tuple[int, ...], Table]] = {
    "mlp 512": ("mlp:sizes=64-512-512-10", (2, 64), mlp_table(3)),
    "preact-resnet 64": ("preact-resnet:inputs=1,stem=64,stages=3x64", (2, 1, 8, 8), resnet_table(3)),
    "mlp 2048": ("mlp:sizes=64-2048-2048-10", (2, 64), mlp_table(3)),
}
"""Name -> skeleton, shape of an input, the hand-written table."""


@dataclass(frozen=True, eq=False)
class Case:
    """Two networks to match."""

    skeleton: Skeleton
    table: Table
    module: nn.Module
    shape: tuple[int, ...]
    left: Tensors
    right: Tensors
    traced: float


def case_of(name: str, kind: str) -> Case:
    """A network and a permuted copy of it, or another network."""
    spelled, shape, table = CASES[name]
    like = resolve(spelled)
    assert like.config is not None
    config = like.config
    skeleton, traced = timed(lambda: trace(like.module, like.inputs, name=spelled))

    def made(seed: int) -> tuple[nn.Module, Tensors]:
        torch.manual_seed(seed)
        module = architecture_of(config).build(config).eval().requires_grad_(False)
        return module, {slot.key: module.state_dict()[slot.key].numpy().copy() for slot in skeleton.slots}

    module, left = made(0)
    right = Symmetry.random(skeleton, np.random.default_rng(0)).apply(left) if kind == "planted" else made(1)[1]
    return Case(skeleton, table, module, shape, left, right, traced)


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and seconds of the processor."""
    began = time.process_time()
    found = run()
    return found, time.process_time() - began


def by_reknit(case: Case) -> tuple[Tensors, float, float]:
    """Matched with the published objective."""
    found, seconds = timed(lambda: match_weights(case.skeleton, case.left, case.right, weighing="plain"))
    return found.symmetry.apply(case.right), seconds, case.traced


def plainly(case: Case) -> tuple[Tensors, float, float | None]:
    """Matched by the table."""
    orders, seconds = timed(lambda: matched(case.table, case.left, case.right))
    return {key: moved(value, case.table.get(key, ()), orders) for key, value in case.right.items()}, seconds, None


def by_rebasin(case: Case) -> tuple[Tensors, float, float]:
    """Matched by the package."""
    search_of = importlib.import_module("rebasin").PermutationCoordinateDescent
    first, second = (copy.deepcopy(case.module) for _ in range(2))
    second.load_state_dict({key: torch.tensor(value) for key, value in case.right.items()}, strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search, traced = timed(lambda: search_of(first, second, torch.randn(case.shape)))
        _, seconds = timed(search.rebasin)
    return {key: second.state_dict()[key].numpy() for key in case.right}, seconds, traced


def run(name: str, kind: str, who: str) -> dict[str, Any]:
    """One matching; a planted permutation has to be undone."""
    case = case_of(name, kind)
    moved_right, seconds, traced = METHODS[who](case)
    undone = all(np.array_equal(moved_right[key], case.left[key]) for key in case.left)
    value = sum(float(np.vdot(case.left[key].astype(np.float64), moved_right[key])) for key in case.table)
    return {"seconds": seconds, "traced": traced, "undone": undone, "value": value}


METHODS: dict[str, Callable[[Case], tuple[Tensors, float, float | None]]] = {
    "reknit": by_reknit,
    "plainly written": plainly,
    "rebasin": by_rebasin,
}


def main(argv: list[str]) -> None:
    """Every case, then seconds as a ratio."""
    given = options("matching_speed", argv, only="")
    torch.set_num_threads(1)
    if folder := os.environ.get("REKNIT_REBASIN"):
        sys.path.append(folder)
    else:
        METHODS.pop("rebasin", None)
        print("REKNIT_REBASIN is not set: without rebasin")
    lines = Lines("matching_speed", given.fresh, ("match", "skeleton", "solvers"))
    names = given.only.split(",") if given.only else list(CASES)
    keys = [[name, kind, who] for name in names for kind in ("planted", "unrelated") for who in METHODS]
    found = {tuple(line["key"]): line for line in lines.each(keys, lambda key: run(*key))}
    rows = []
    for (name, kind, who), line in found.items():
        if kind == "planted":
            assert line["undone"], f"{who} does not undo the permutation of {name}"
        ours = found[name, kind, "reknit"]
        ratio = line["seconds"] / ours["seconds"]
        reached = None if kind == "planted" else f"{line['value'] / ours['value']:.4f}"
        rows.append([name, kind, who, line["seconds"], f"{ratio:.2f}", reached, line["traced"]])
    head = ["network", "pair", "who", "seconds", "/ reknit", "similarity / reknit's", "seconds to trace"]
    show("weight matching, seconds of one processor", head, rows)
    print(f"\n{lines.codes()}")
