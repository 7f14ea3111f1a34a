"""Real checkpoints and nets trained here, stripped of names and shuffled, wired from weights and from outputs.

    python -m bench.wiring [NAME...] [--inputs 0 2 8] [--seeds 1] [--budget 60]

Names as in ``bench.solved_piles``. For a network that the shipped weights of evidence were learned from, weights are
learned again without it. What is scored, over all slots of which there is more than one of a shape:

    roles   the tensor belongs to the family of its slot
    edges   pairs of slots of one block, matrices alone, whose tensors belong to one block
    slots   the tensor belongs in this very slot
    certain how many are reported certain, and how many of these are wrong (none may be)

With outputs, an exchange without effect on any answer counts as right: it is checked in float64 on other inputs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.func import functional_call

from bench.common import OUT
from bench.learn_evidence import committee
from bench.solved_piles import like_of, solved
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.learned import Learned, as_json, from_json, learned
from reknit.wiring.options import WiringOptions
from reknit.wiring.recording import tensors_in
from reknit.wiring.result import Wiring
from reknit.wiring.verb import wire

NAMES = ("rxnfp", "antiberty", "minilm", "gpt2-6-0", "gpt2-6-1", "gpt2-6-2", "llama-6-0", "llama-6-1", "llama-6-2")


def evidence_without(name: str) -> Learned:
    """The weights of evidence, learned without this network."""
    shipped = learned()
    if name not in shipped.source:
        return shipped
    path = OUT / f"learned-without-{name}.json"
    if not path.exists():
        others = [each for each in shipped.source if each != name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(as_json(committee(others))), encoding="utf-8")
    return from_json(json.loads(path.read_text(encoding="utf-8")))


def run(name: str, inputs: int, seed: int, budget: float) -> None:
    """One network, shuffled by the seed; prints a line."""
    skeleton, tensors = solved(name)
    rng = np.random.default_rng([seed, 17])
    keys = list(tensors)
    key_of = {f"t_{k:04d}": keys[place] for k, place in enumerate(rng.permutation(len(keys)))}
    like = like_of(name)
    with tempfile.TemporaryDirectory() as folder:
        pile = Path(folder) / "pile.safetensors"
        save_file({piece: np.ascontiguousarray(tensors[key]) for piece, key in key_of.items()}, pile)
        data = record(like, skeleton, tensors, inputs, seed, Path(folder)) if inputs else None
        evidence = evidence_without(name)
        started = time.perf_counter()
        options = WiringOptions(like=like, seed=seed, budget=budget)
        wiring = wire(pile, data, options, evidence=evidence)
        seconds = time.perf_counter() - started
        same = inputs > 0 and computes_the_same(wiring, tensors, skeleton, seed)
    print(
        f"{name:<12} seed {seed} inputs {inputs:2d}  {score(wiring, skeleton, key_of, same)}  {seconds:6.1f} s",
        flush=True,
    )
    assert certain_wrong(wiring, key_of, same) == 0, f"{name}: a slot reported certain is wrong"


def score(wiring: Wiring, skeleton: Skeleton, key_of: Mapping[str, str], same: bool) -> str:
    """Roles, edges, slots, and what was certain."""
    several = {slot.shape for slot in skeleton.slots}
    counts = {shape: sum(slot.shape == shape for slot in skeleton.slots) for shape in several}
    counted = [placed for placed in wiring.slots if counts[skeleton[placed.slot].shape] > 1]
    true = {placed.slot: skeleton[key_of[placed.piece]] for placed in counted}
    matrices = [p for p in counted if len(skeleton[p.slot].shape) > 1]
    found = []
    for title, group in (("matrices", matrices), ("all", counted)):
        roles = sum(true[p.slot].family == skeleton[p.slot].family for p in group)
        slots = sum(true[p.slot].key == p.slot for p in group)
        found.append(f"{title}: roles {roles}, slots {slots} of {len(group)}")
    blocks = [p for p in matrices if skeleton[p.slot].index]
    pairs = [(a, b) for a, b in itertools.combinations(blocks, 2) if skeleton[a.slot].index == skeleton[b.slot].index]
    edges = sum(true[a.slot].index == true[b.slot].index for a, b in pairs)
    certain = sum(p.certain for p in counted)
    wrong = certain_wrong(wiring, key_of, same)
    text = (
        f"{wiring.verdict:<10} {found[0]}; edges {edges} of {len(pairs)}; {found[1]}; certain {certain}, wrong {wrong}"
    )
    return text + (f"; same function {same}" if wiring.residual is not None else "")


def certain_wrong(wiring: Wiring, key_of: Mapping[str, str], same: bool) -> int:
    """Slots reported certain that hold another tensor, unless the network computes the same."""
    return sum(p.certain and key_of[p.piece] != p.slot and not same for p in wiring.slots)


def record(
    like: str, skeleton: Skeleton, tensors: Mapping[str, np.ndarray], inputs: int, seed: int, folder: Path
) -> Path:
    """Random tokens and what the network answers to them, in an npz file."""
    tokens = draw(skeleton, inputs, seed)
    answers = answer(like, skeleton, tensors, tokens, torch.float32)
    path = folder / "record.npz"
    named = {f"output_{k}": value.numpy() for k, value in enumerate(answers)}
    np.savez(path, inputs=tokens.numpy(), allow_pickle=False, **named)
    return path


def draw(skeleton: Skeleton, inputs: int, seed: int) -> torch.Tensor:
    """Random tokens of the vocabulary: the first axis of the first embedding."""
    vocab = skeleton[skeleton.uses[0].slots["weight"]].shape[0]
    return torch.randint(vocab, (inputs, 20), generator=torch.Generator().manual_seed(seed))


def answer(
    like: str, skeleton: Skeleton, tensors: Mapping[str, np.ndarray], tokens: torch.Tensor, dtype: torch.dtype
) -> list[torch.Tensor]:
    """What the module answers with these tensors in its slots."""
    from reknit.skeleton.like import resolve

    state: dict[str, torch.Tensor] = {}
    for slot in skeleton.slots:
        value = torch.from_numpy(np.ascontiguousarray(tensors[slot.key]))
        value = value.to(dtype) if value.is_floating_point() else value
        state |= dict.fromkeys((slot.key, *slot.aliases), value)
    with torch.no_grad():
        return tensors_in(functional_call(resolve(like).module, state, (tokens,)))


def computes_the_same(wiring: Wiring, tensors: Mapping[str, np.ndarray], skeleton: Skeleton, seed: int) -> bool:
    """Whether the wired network answers other inputs as the true one does, in float64."""
    tokens = draw(skeleton, 4, seed + 1000)
    pairs = zip(
        answer(wiring.skeleton.like, skeleton, tensors, tokens, torch.float64),
        answer(wiring.skeleton.like, skeleton, wiring.tensors, tokens, torch.float64),
        strict=True,
    )
    return all(float((a - b).abs().max()) <= 1e-4 * float(a.abs().max()) for a, b in pairs)


def main(argv: Sequence[str] | None = None) -> None:
    """Every network asked for, with every number of inputs."""
    parser = argparse.ArgumentParser(prog="bench.wiring")
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--inputs", type=int, nargs="*", default=[0, 2, 8])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=float, default=60.0)
    asked = parser.parse_args(argv)
    for name in asked.names or NAMES:
        for inputs, seed in itertools.product(asked.inputs, range(asked.seeds)):
            run(name, inputs, seed, asked.budget)


if __name__ == "__main__":
    main()
