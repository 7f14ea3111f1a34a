"""How much laundering ``lineage`` sees through: children made with a key, each change alone, and chains of three.

    python -m bench kinship_power

Parents are nets trained here: an MLP of 128 units (panel: 19 others) and a decoder of the llama kind (panel: 9 others).
A chain with ``permute`` moves every group of units, so no label is left in place and the exact tests have nothing to
see: there the panel has to tell. Everything else leaves labels on some axis. Beside them, on the same children:

- raw cosine: mean cosine of matrices as they stand, above that of every panel net;
- two matchings as published: claimed p below .001 in some group, which independent nets reach just as well
  (``python -m bench kinship_validity``), so that it tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from bench import kinship_nets
from bench.common import OUT, Lines, options, show
from bench.merge_nets import kind_of, net_file, trained
from reknit.changes.launder import launder
from reknit.kinship.comparing import Kin, evidence
from reknit.kinship.sweeps import sweeps
from reknit.kinship.two_matchings import published_log10_p
from reknit.kinship.units_by_skeleton import Plan, planned
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace

State = dict[str, np.ndarray]
FOUND = -3.0
ALONE = {
    "mlp-128": (
        *("permute", "scale", "cast:bf16", "round:4:row", "round:2:row", "prune:0.5", "low-rank:8:0.5"),
        *("noise:1", "noise:4", "finetune:10", "finetune:100", "finetune:1000"),
    ),
    "llama-64": (
        *("permute", "scale", "sign", "rotate", "cast:bf16", "round:4:row", "prune:0.5", "low-rank:8:0.5"),
        *("noise:1", "finetune:10", "finetune:100"),
        "noise:0.5,prune:0.5,permute,scale,rotate,round:4:row",
    ),
}
PARTS = {
    "mlp-128": (
        "permute",
        "scale",
        "cast:bf16",
        "round:4:row",
        "prune:0.5",
        "low-rank:8:0.1",
        "noise:0.5",
        "finetune:20",
    ),
    "llama-64": ("permute", "scale", "rotate", "cast:bf16", "round:4:row", "prune:0.5", "low-rank:8:0.1", "noise:0.5"),
}
CHAINS = 10
"""Of three different steps, for each parent."""


@cache
def family(name: str) -> tuple[Plan, Path, Path, tuple[State, ...]]:
    """The plan, the file of the parent, its data, and a panel."""
    folder = OUT / "kin"
    folder.mkdir(parents=True, exist_ok=True)
    kind = kind_of(name)
    found = resolve(kind.like)
    parent = folder / f"parent-{name}.safetensors"
    if name in kinship_nets.COUNTS:
        nets = kinship_nets.many(name)
        save_file(kinship_nets.net_of(nets, 0), parent)
        panel = tuple(kinship_nets.net_of(nets, number) for number in range(1, 20))
    else:
        parent = net_file(name, 0)
        panel = tuple(trained(name, seed) for seed in range(1, 10))
    data = folder / f"data-{name}.npz"
    (x,), y = kind.known.inputs, kind.known.targets
    assert y is not None
    np.savez(data, inputs=x.numpy(), targets=y.numpy())
    return planned(trace(found.module, found.inputs, name=name)), parent, data, panel


def chains(name: str) -> list[str]:
    """Each change alone, then chains of three that are drawn."""
    rng = np.random.default_rng([len(name), 3])
    drawn: dict[str, None] = {}
    while len(drawn) < CHAINS:
        drawn[",".join(rng.choice(PARTS[name], 3, replace=False))] = None
    return [*ALONE[name], *drawn]


def laundered(key: tuple[str, str]) -> dict[str, Any]:
    """What is said of one child."""
    name, how = key
    plan, parent, data, panel = family(name)
    made = launder(parent, how, like=kind_of(name).like, data=data, seed=1)
    slots = {slot.key for slot in plan.skeleton.slots}
    a = dict(trained(name, 0)) if name not in kinship_nets.COUNTS else kinship_nets.net_of(kinship_nets.many(name), 0)
    b = {slot: np.asarray(value, dtype=np.float32) for slot, value in made.tensors.items() if slot in slots}
    assert b.keys() == a.keys()
    exact = evidence(a, b, Kin(plan))
    own = sweeps(plan, a, b, np.random.default_rng(0))
    likeness = [raw_cosine(a, each) for each in (b, *panel)]
    claims = [published_log10_p(n, own.units[group]) for group, n in own.agreeing.items()]
    return {
        "log10_p": exact.log10_p,
        "kinds": dict(exact.kinds),
        "effect": exact.effect,
        "share": own.share,
        "panel": shares_of_panel(name),
        "cosine": likeness[0],
        "cosines": likeness[1:],
        "claimed": min(claims, default=0.0),
    }


@cache
def shares_of_panel(name: str) -> list[float]:
    """The share of units that both sweeps agree on, of the parent and each net of the panel."""
    plan, _, _, panel = family(name)
    a = dict(trained(name, 0)) if name not in kinship_nets.COUNTS else kinship_nets.net_of(kinship_nets.many(name), 0)
    return [sweeps(plan, a, each, np.random.default_rng(0)).share for each in panel]


def raw_cosine(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> float:
    """The mean cosine of matrices as they stand."""
    pairs = [(a[key].ravel().astype(float), b[key].ravel().astype(float)) for key in a if a[key].ndim > 1]
    return float(np.mean([x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for x, y in pairs]))


def row(name: str, line: Mapping[str, Any]) -> tuple[object, ...]:
    """One child in a table."""
    kinds = min(line["kinds"], key=lambda kind: line["kinds"][kind])
    return (
        name,
        line["key"][1],
        float(line["log10_p"]),
        kinds if line["log10_p"] <= FOUND else None,
        f"{line['effect']:.2f}",
        f"{line['share']:.2f}",
        f"{max(line['panel']):.2f}",
        f"{line['cosine']:.2f}",
        f"{max(line['cosines']):.2f}",
        float(line["claimed"]),
    )


def shares(lines: Sequence[Mapping[str, Any]]) -> tuple[object, ...]:
    """How many were found, and by what."""
    exact = [line["log10_p"] <= FOUND for line in lines]
    panel = [line["share"] > max(line["panel"]) for line in lines]
    cosine = [line["cosine"] > max(line["cosines"]) for line in lines]
    either = [x or y for x, y in zip(exact, panel, strict=True)]
    return (len(lines), *(f"{sum(each)}" for each in (exact, panel, either, cosine)))


def main(argv: list[str]) -> None:
    """All children of both parents."""
    given = options("kinship_power", argv)
    store = Lines("kinship_power", given.fresh, ("kinship", "changes"))
    keys = [(name, how) for name in ALONE for how in chains(name)]
    lines = list(store.each(keys, laundered))
    head = ("parent", "changes", "log10 p", "by", "in place", "agree", "panel's most", "cosine", "its most", "claimed")
    show("children, laundered", head, [row(line["key"][0], line) for line in lines])
    kept = [line for line in lines if "permute" not in line["key"][1]]
    moved = [line for line in lines if "permute" in line["key"][1]]
    drawn = [line for line in lines if line["key"][1] not in ALONE[line["key"][0]]]
    rows = [
        ("labels in place on some axis", *shares(kept)),
        ("every label moved", *shares(moved)),
        ("of both, chains of three", *shares(drawn)),
    ]
    show("how many were found", ("children", "of", "exact p < .001", "above the panel", "either", "raw cosine"), rows)
    print(f"\n{store.codes()}")
    assert sum(line["log10_p"] <= FOUND for line in kept) >= 0.9 * len(kept)
    assert all(line["log10_p"] > FOUND for line in lines if line["key"][1] == "permute")
