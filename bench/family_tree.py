"""A thousand checkpoints of twenty families, made by laundering: is every file placed beside its parent?

    python -m bench family_tree [--families 20] [--members 50] [--kind mlp-64]

Twenty networks are trained apart on the same digits (the roots). Every other file is made by one step from a file of
its family that is drawn at random. Then one run of ``lineage`` over all files but one, and one for the last. Counted

    right    the true parent and child are joined
    open     they are not, but their link is listed with an edge that it cannot be told from
    copy     child and parent hold the same numbers (a step that changed nothing)
    wrong    anything else

and of edges whose direction is called known, how many point from a file to one that was made from it, in one step or
several, how many the other way, and how many join files neither of which was made from the other.
"""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from bench.common import OUT, options, show
from bench.merge_nets import kind_of, trained
from reknit.changes.laundering.chain import run_chain
from reknit.changes.laundering.layout import laid_out
from reknit.changes.laundering.options import samples_for, setting_for
from reknit.changes.laundering.registry import read_chain
from reknit.changes.laundering.state import read_state
from reknit.containers.safetensors_bytes import safetensors_bytes
from reknit.kinship.lineage import Lineage, lineage
from reknit.kinship.tree import Family

STEPS = (
    *("permute", "permute", "scale"),
    *("cast:bf16:kept", "cast:fp16:kept", "round:8:row", "round:4:row"),
    *("prune:0.5", "prune:0.3:random"),
    *("finetune:10", "finetune:40", "finetune:160", "noise:0.1", "low-rank:4:0.1"),
    "shuffle",
)
FIRST_SEED = 0


@dataclass(frozen=True)
class Made:
    """A file, and where it comes from.

    Attributes:
        path: of it.
        parent: place of the file it was made from; None of a root.
        family: its number.
        step: that made it.
    """

    path: Path
    parent: int | None
    family: int
    step: str


def main(argv: Sequence[str]) -> None:
    """Make the files, find the trees, count."""
    chosen = options("family_tree", argv, families=20, members=50, kind="mlp-64", nearest=12, seed=0)
    torch.set_num_threads(chosen.threads)
    folder = OUT / f"families-{chosen.kind}-{chosen.families}x{chosen.members}-{chosen.seed}"
    began = time.perf_counter()
    made = make(folder, chosen.kind, chosen.families, chosen.members, chosen.seed)
    print(f"  {len(made)} files of {chosen.families} families made in {time.perf_counter() - began:.0f} s", flush=True)
    db = folder / "kin.duckdb"
    db.unlink(missing_ok=True)
    like = kind_of(chosen.kind).like
    *most, last = [each.path for each in made]
    first = lineage(most, like=like, db=db, nearest=chosen.nearest)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    again = lineage([last], like=like, db=db, nearest=chosen.nearest)
    assert again.compared <= chosen.nearest, "one more file asked for more than one round"
    _print(made, again, first, memory)


def make(folder: Path, kind: str, families: int, members: int, seed: int) -> list[Made]:
    """The files, made once and kept; the list of them lies beside them."""
    listed = folder / "made.json"
    if not listed.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rng = np.random.default_rng(seed)
        found: list[Made] = []
        for family in range(families):
            found += _family(folder, kind, family, members, len(found), rng)
        listed.write_text(json.dumps([{**vars(each), "path": each.path.name} for each in found]))
    return [Made(**{**each, "path": folder / each["path"]}) for each in json.loads(listed.read_text())]


def _family(folder: Path, kind: str, family: int, members: int, before: int, rng: np.random.Generator) -> list[Made]:
    like = kind_of(kind).like
    setting = setting_for(like, None)
    data = folder / "data.npz"
    if not data.exists():
        known = kind_of(kind).known
        assert known.targets is not None
        np.savez(data, inputs=known.inputs[0].numpy(), targets=known.targets.numpy())
    names = [f"{name:05d}.safetensors" for name in rng.permutation(100_000)[:members]]
    paths = [folder / f"{family:02d}-{name}" for name in names]
    save_file({k: np.ascontiguousarray(v) for k, v in trained(kind, FIRST_SEED + family).items()}, paths[0])
    found = [Made(paths[0], None, family, "root")]
    for path in paths[1:]:
        parent, step = int(rng.integers(len(found))), str(rng.choice(STEPS))
        chain = read_chain(step)
        state, _ = read_state(found[parent].path, setting)
        samples = samples_for(setting, data, chain, 0)
        ran = run_chain(state, chain, seed=int(rng.integers(2**31)), samples=samples, progress=lambda _: None)
        path.write_bytes(safetensors_bytes(tuple(laid_out(ran.state, ran.stored))))
        found.append(Made(path, before + parent, family, step))
    return found


def _print(made: Sequence[Made], found: Lineage, first: Lineage, memory: float) -> None:
    place = {path: number for number, path in enumerate(found.files)}
    of = {place[each.path]: number for number, each in enumerate(made)}
    counted, by_step, arrows = score(made, found.families, of)
    whole = len(first.files)
    rows: list[list[object]] = [
        ["files", whole],
        ["pairs compared in full", f"{first.compared} of {first.possible} ({first.compared / first.possible:.2%})"],
        ["seconds", f"{first.seconds:.0f}"],
        ["peak memory, MB", f"{memory:.0f}"],
        ["one more file: pairs, seconds", f"{found.compared}, {found.seconds:.1f}"],
        ["families found", f"{_whole(made, found.families, of)} of {len({each.family for each in made})} whole"],
        ["families joined that are not kin", _mixed(made, found.families, of)],
        ["edges", ", ".join(f"{name} {counted[name]}" for name in ("right", "copy", "open", "wrong"))],
        ["direction known", ", ".join(f"{name} {number}" for name, number in sorted(arrows.items()))],
    ]
    show("A thousand checkpoints", ("", ""), rows)
    names = ("right", "copy", "open", "wrong")
    steps = sorted(by_step)
    show("By the step that made the child", ("step", *names), [[s, *(by_step[s][n] for n in names)] for s in steps])


def score(
    made: Sequence[Made], families: Sequence[Family], of: Mapping[int, int]
) -> tuple[Counter[str], dict[str, Counter[str]], Counter[str]]:
    """How every child was placed, by the step that made it too, and how edges of a known direction point.

    Args:
        made: the truth.
        families: what was found.
        of: number of a file in ``families`` -> its place in ``made``.
    """
    first = {of[copy]: of[group[0]] for each in families for group in each.copies for copy in group}
    node = [first.get(number, number) for number in range(len(made))]
    edges = {frozenset((of[e.parent], of[e.child])) for each in families for e in each.edges}
    open_ = {frozenset((of[a], of[b])) for each in families for e in each.edges for a, b in e.instead}
    counted: Counter[str] = Counter()
    by_step: dict[str, Counter[str]] = {}
    for number, each in enumerate(made):
        if each.parent is None:
            continue
        pair = frozenset((node[number], node[each.parent]))
        said = "copy" if len(pair) == 1 else "right" if pair in edges else "open" if pair in open_ else "wrong"
        counted[said] += 1
        by_step.setdefault(each.step, Counter())[said] += 1
    return counted, by_step, _arrows(made, families, of, node)


def _arrows(
    made: Sequence[Made], families: Sequence[Family], of: Mapping[int, int], node: Sequence[int]
) -> Counter[str]:
    above: list[set[int]] = []
    for number, each in enumerate(made):
        above.append(set() if each.parent is None else {node[each.parent], node[number]} | above[each.parent])
    found: Counter[str] = Counter()
    for family in families:
        for edge in family.edges:
            parent, child = of[edge.parent], of[edge.child]
            if edge.direction != "undirected":
                said = "right" if parent in above[child] else "turned round" if child in above[parent] else "of neither"
                found[f"{edge.direction} {said}"] += 1
    return found


def _whole(made: Sequence[Made], families: Sequence[Family], of: Mapping[int, int]) -> int:
    """Families all of whose members are in one."""
    found = {frozenset(of[member] for member in each.members) for each in families}
    true: dict[int, set[int]] = {}
    for number, each in enumerate(made):
        true.setdefault(each.family, set()).add(number)
    return sum(any(members <= each for each in found) for members in true.values())


def _mixed(made: Sequence[Made], families: Sequence[Family], of: Mapping[int, int]) -> int:
    return sum(len({made[of[member]].family for member in each.members}) > 1 for each in families)
