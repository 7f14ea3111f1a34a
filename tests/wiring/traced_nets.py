"""Tiny networks as skeletons, each traced once, and random numbers for their slots."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modules import MLP, GatedMLP, GroupedAttention, Residual
from modules import Attention as AnyAttention
from reknit.skeleton.like import resolve
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.trace import trace
from reknit.wiring.pools import Pool

WIDTH = 12
BERT = "bert:layers=2,width=12,heads=3,hidden=20,vocab=30,positions=8"
GPT2 = "gpt2:layers=2,width=12,heads=3,hidden=20,vocab=30,positions=8"
LLAMA = "llama:layers=2,width=16,heads=4,kv_heads=2,hidden=20,vocab=30"
RESIDUAL_MLP = "residual-mlp:blocks=3,width=6,hidden=8,outputs=1"


class KeyFirst(nn.Module):
    """Attention whose key is declared, named and computed before its query."""

    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        self.a, self.b, self.c, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.by_hand = by_hand

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        k, v, q = (each(x).unflatten(-1, (3, 4)).transpose(1, 2) for each in (self.a, self.b, self.c))
        if self.by_hand:
            read = (q @ k.transpose(-2, -1) / 2).softmax(-1) @ v
        else:
            read = functional.scaled_dot_product_attention(q, k, v)
        return self.out(read.transpose(1, 2).flatten(2))


class Gated(nn.Module):
    """A gated MLP of three matrices: which of the first two goes through the activation, which stands on the left."""

    def __init__(self, bent: str, left: str) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(WIDTH, 7), nn.Linear(WIDTH, 7), nn.Linear(7, WIDTH)
        self.bent, self.left = bent, left

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = {"a": self.a(x), "b": self.b(x)}
        made[self.bent] = functional.silu(made[self.bent])
        right = "b" if self.left == "a" else "a"
        return self.out(made[self.left] * made[right])


class Kernels(nn.Module):
    """Two residual blocks of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, 6, 3, padding=1)
        self.inp = nn.ModuleList(nn.Conv1d(6, 5, 3, padding=1) for _ in range(2))
        self.out = nn.ModuleList(nn.Conv1d(5, 6, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for inp, out in zip(self.inp, self.out, strict=True):
            x = x + out(torch.relu(inp(x)))
        return x.mean(-1)


BRANCHES = {
    "key first": lambda: KeyFirst(by_hand=False),
    "key first by hand": lambda: KeyFirst(by_hand=True),
    "split": lambda: AnyAttention(WIDTH, 3, 4, "split"),
    "grouped": lambda: GroupedAttention(WIDTH, 2, 2, 3, "enable_gqa"),
    "gate a left a": lambda: Gated("a", "a"),
    "gate a left b": lambda: Gated("a", "b"),
    "gate b left a": lambda: Gated("b", "a"),
    "gate b left b": lambda: Gated("b", "b"),
    "fused gate": lambda: GatedMLP(WIDTH, 6, interleaved=False),
}


@cache
def built_in(like: str) -> Skeleton:
    """The skeleton of a built-in architecture."""
    found = resolve(like)
    return trace(found.module, found.inputs, name=like)


@cache
def around(branch: str) -> Skeleton:
    """A stem (0), a residual block with the branch (1), one with an MLP (2), a head (3)."""
    blocks = [Residual(nn.LayerNorm(WIDTH), made) for made in (BRANCHES[branch](), MLP(WIDTH, 7, nn.GELU()))]
    module = nn.Sequential(nn.Linear(5, WIDTH), *blocks, nn.Linear(WIDTH, 3)).to("meta").eval()
    return trace(module, (torch.zeros(2, 4, 5, device="meta"),), name=branch)


@cache
def kernels() -> Skeleton:
    """Of convolutions."""
    return trace(Kernels().to("meta").eval(), (torch.zeros(2, 4, 9, device="meta"),), name="kernels")


def numbers(skeleton: Skeleton, seed: int = 0) -> dict[str, np.ndarray]:
    """What an untrained network holds: matrices from a normal distribution, gains near one, biases near zero."""
    rng = np.random.default_rng(seed)
    found = {}
    for slot in skeleton.slots:
        drawn = rng.normal(size=slot.shape).astype(np.float32)
        if len(slot.shape) > 1:
            found[slot.key] = drawn / np.sqrt(slot.shape[-1], dtype=np.float32)
        else:
            found[slot.key] = 0.02 * drawn + (not slot.key.endswith("bias"))
    return found


def pools_of(skeleton: Skeleton) -> tuple[Pool, ...]:
    """One pool a shape; every tensor is called by its true slot, with a word before it."""
    found: dict[tuple[int, ...], list[str]] = {}
    for slot in skeleton.slots:
        found.setdefault(slot.shape, []).append(slot.key)
    return tuple(Pool(tuple(keys), tuple(f"of {key}" for key in keys)) for keys in found.values())
