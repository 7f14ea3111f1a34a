"""Decoders trained apart: losses half way, with units permuted, and with the stream and insides of heads turned.

    python -m bench rotation [--pairs 5] [--kinds llama-64,decoder-64]

``decoder-64`` is untied first: the gain of its last norm cannot be folded into a matrix that is the embedding too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from bench.common import options, show
from bench.intervals import told
from bench.merge_nets import Kind, kind_of, trained
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.spelling import spell_config
from reknit.match.activation_matching import match_activations
from reknit.match.averages import average
from reknit.match.computing import Computer, same_function
from reknit.match.judging import judged
from reknit.match.rotation_matching import RotationMatching, match_rotations
from reknit.match.samples import Samples, draw_samples
from reknit.match.turned_network import RotationOptions
from reknit.match.weight_matching import match_weights
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace
from reknit.solvers.polar import Method

KINDS = ("llama-64", "decoder-64")
Tensors = Mapping[str, np.ndarray]
INEXACT: tuple[tuple[Method, int], ...] = (
    ("svd", 0),
    *(("cubic", steps) for steps in (5, 10, 15, 20)),
    *(("quintic", steps) for steps in (5, 10)),
    ("muon", 5),
    *(("polar-express", steps) for steps in (5, 8)),
)


@cache
def untied(name: str) -> tuple[Kind, Computer]:
    """A kind with a head of its own, and what runs it."""
    kind = kind_of(name)
    if isinstance(kind.config, Gpt2Config):
        kind = replace(kind, config=replace(kind.config, tied=False))
    like = resolve(kind.like)
    return kind, Computer(like, trace(like.module, like.inputs, name=spell_config(kind.config)))


def net(name: str, seed: int) -> dict[str, np.ndarray]:
    """A trained net with a head of its own."""
    found = trained(name, seed)
    if name.startswith("decoder"):
        found["lm_head.weight"] = found["transformer.wte.weight"]
    return found


def loss(name: str, tensors: Tensors) -> float:
    kind, computer = untied(name)
    return float(judged(computer, [tensors], [0.0], kind.judged).losses[0])


def half_way(name: str, first: Tensors, second: Tensors) -> float:
    return loss(name, average([first, second], [0.5, 0.5]))


def noise(computer: Computer) -> Samples:
    return draw_samples(computer.like, computer.skeleton, torch.Generator().manual_seed(0))


def turned(
    name: str, first: Tensors, second: Tensors, chosen: RotationOptions
) -> tuple[RotationMatching, dict[str, np.ndarray]]:
    """By rotations; the function is held against what it was before a loss is told."""
    _, computer = untied(name)
    found = match_rotations(computer, first, second, options=chosen)
    moved = found.basis.apply(second)
    if chosen.polar == "svd":
        assert same_function(computer, second, moved, noise(computer)).holds, "a rotation changed the function"
    return found, moved


def ways(name: str) -> dict[str, Callable[[Tensors, Tensors], Tensors]]:
    """Every way to bring the second net into the first one's basis."""
    kind, computer = untied(name)
    return {
        "as they are": lambda _, b: b,
        "permuted, by weights": lambda a, b: match_weights(computer.skeleton, a, b).symmetry.apply(dict(b)),
        "permuted, by activations": lambda a, b: match_activations(computer, a, b, kind.known).symmetry.apply(dict(b)),
        "stream turned, rest permuted": lambda a, b: turned(name, a, b, RotationOptions(heads=False))[1],
        "stream and heads turned": lambda a, b: turned(name, a, b, RotationOptions())[1],
    }


def distance(first: Tensors, second: Tensors) -> float:
    """Relative distance over all tensors together."""
    gap = sum(float(np.square(first[k] - second[k]).sum()) for k in first)
    sizes = [sum(float(np.square(each[k]).sum()) for k in first) for each in (first, second)]
    return float(np.sqrt(gap / np.sqrt(sizes[0] * sizes[1])))


def compared(name: str, pairs: int) -> None:
    """Losses half way over pairs, and against the best permutation pair by pair."""
    nets = [(net(name, 2 * k), net(name, 2 * k + 1)) for k in range(pairs)]
    ends = np.array([[loss(name, each) for each in pair] for pair in nets])
    rows, losses = [("ends", told(ends.mean(1)), "", "")], {}
    for way, bring in ways(name).items():
        moved = [bring(a, b) for a, b in nets]
        losses[way] = np.array([half_way(name, a, c) for (a, _), c in zip(nets, moved, strict=True)])
        apart = np.array([distance(a, c) for (a, _), c in zip(nets, moved, strict=True)])
        beside = losses.get("permuted, by weights")
        gained = "" if beside is None or way == "permuted, by weights" else told(losses[way] - beside)
        rows.append((way, told(losses[way]), gained, told(apart)))
    head = ("second net", "loss half way", "less permuted by weights", "distance")
    show(f"{name}, {pairs} pairs, cross-entropy of the next byte on text left out, 95 %", head, rows)


def inexact(name: str, pairs: int) -> None:
    """Polar factors by a few products: how far from orthogonal, and what that does."""
    _, computer = untied(name)
    rows, exact = [], np.zeros(0)
    for polar, steps in INEXACT:
        defects, changed, losses = [], [], []
        for k in range(pairs):
            a, b = net(name, 2 * k), net(name, 2 * k + 1)
            found, moved = turned(name, a, b, RotationOptions(polar, max(steps, 1), heads=False))
            defects.append(found.basis.defect)
            changed.append(same_function(computer, b, moved, noise(computer)).largest)
            losses.append((loss(name, moved), half_way(name, a, moved)))
        both = np.array(losses)
        exact = both[:, 1] if polar == "svd" else exact
        own = (told(both[:, 0]), told(both[:, 1]), told(both[:, 1] - exact) if steps else "")
        rows.append((polar, steps, max(defects), max(changed), *own))
    head = ("polar factor", "steps", "defect", "answers off by", "loss of the turned net", "half way", "less svd's")
    show(f"{name}, {pairs} pairs, the stream turned by inexact polar factors, 95 %", head, rows)


def main(argv: list[str]) -> None:
    """All kinds."""
    asked = options("rotation", argv, pairs=5, kinds=",".join(KINDS))
    kinds = asked.kinds.split(",")
    for name in kinds:
        compared(name, asked.pairs)
    inexact(kinds[0], asked.pairs)
