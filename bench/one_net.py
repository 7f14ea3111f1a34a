"""One network of the covering array, in a process of its own: ``python -m bench.one_net JOB`` prints one JSON object.

JOB is a JSON object: the options of ``reknit.drop`` (with its seed), and ``control``, ``threads``, ``budget``. The
network is trained once and kept in ``bench/out/nets``. Controls are made from a true one so that no claim may stand:
``rows`` shuffles every pred column on its own, ``columns`` moves the pred columns on by one, ``duplicate`` puts the
layers of one block in the place of another's and records the answers anew.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from threadpoolctl import threadpool_limits

from bench.common import OUT, Truth, read_truth, scratch, search_seconds
from reknit.assembly.result import Assembly
from reknit.assembly.trace_ratio import trace_ratio
from reknit.assembly.verb import assemble
from reknit.errors import ReknitError, UsageError
from reknit.network.spec import ResidualSpec
from reknit.puzzle.verb import drop
from reknit.solvers.assignment import best_matching


def dropped(net: dict[str, Any]) -> Path:
    """The folder of a trained and scattered network, from an earlier run or made now."""
    folder: Path = OUT / "nets" / "-".join(str(value) for value in net.values())
    if not (folder / "data.csv").exists() or not folder.with_name(f"{folder.name}.key.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        drop(folder, **net, force=True)
    return folder


def spoil(folder: Path, control: str, order: list[str], spec: ResidualSpec, seed: int) -> None:
    """Turn a copy of a dropped network into a control."""
    rng = np.random.default_rng(seed)
    table = pl.read_csv(folder / "data.csv")
    targets = [name for name in table.columns if name.startswith("pred")]
    if control == "rows":
        new = {name: table[name].to_numpy()[rng.permutation(len(table))] for name in targets}
    elif control == "columns":
        new = {name: table[targets[k - 1]].to_numpy() for k, name in enumerate(targets)}
    else:
        first, second = (int(k) for k in rng.choice(spec.blocks, 2, replace=False))
        for part in (0, 1):
            source, place = (folder / "pieces" / f"{order[2 * k + part]}.pth" for k in (first, second))
            shutil.copyfile(source, place)
        truth = read_truth(folder / "pieces", folder / "data.csv", order, spec)
        answers = truth.stack.forward(truth.x, truth.arrangement)
        new = {name: answers[:, k] for k, name in enumerate(targets)}
    table.with_columns(**{name: pl.Series(values) for name, values in new.items()}).write_csv(folder / "data.csv")


def score(assembly: Assembly, truth: Truth, order: list[str], check: float) -> dict[str, Any]:
    """What is right by the key, and what it took."""
    true_pairs = set(zip(order[:-1:2], order[1:-1:2], strict=True))
    by_weights = assembly.run.get("pairs_by_weights")
    return {
        "verdict": assembly.verdict,
        "reason": assembly.reason,
        "right": list(assembly.order) == order,
        "trace": int((best_matching(trace_ratio(truth.stack)) == np.arange(truth.stack.blocks)).sum()),
        "weights": None if by_weights is None else len({tuple(pair) for pair in by_weights} & true_pairs),
        "data": len({(pair.in_piece, pair.out_piece) for pair in assembly.pairs} & true_pairs),
        "mse": assembly.residual.mse,
        "variance": assembly.residual.variance,
        "undecided": len(assembly.undecided),
        "activation": [assembly.spec.activation, truth.stack.activation.name],
        "norm": [assembly.spec.norm, truth.stack.norm.name],
        "seconds": dict(assembly.seconds),
        "check": check,
        "checks": search_seconds(assembly) / check,
    }


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Train or find the network, assemble it, score it."""
    options = {name: job.pop(name) for name in ("control", "threads", "budget")}
    torch.set_num_threads(options["threads"])  # trains the network
    threadpool_limits(options["threads"], user_api="blas")
    try:
        folder = dropped(job)
    except UsageError as error:
        return {"verdict": "untrainable", "reason": str(error)}
    key = json.loads(folder.with_name(f"{folder.name}.key.json").read_text())
    spec, order = ResidualSpec.from_config(key["spec"]), list(key["order"])
    with scratch() as place:
        if options["control"]:
            folder = Path(shutil.copytree(folder, place / "net"))
            spoil(folder, options["control"], order, spec, job["seed"])
        truth = read_truth(folder / "pieces", folder / "data.csv", order, spec)
        before = truth.check_seconds()
        try:
            assembly = assemble(
                folder / "pieces",
                folder / "data.csv",
                seed=job["seed"],
                threads=options["threads"],
                budget=options["budget"],
            )
        except ReknitError as error:
            return {"verdict": "error", "reason": str(error), "right": False}
        return score(assembly, truth, order, (before + truth.check_seconds()) / 2)


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
