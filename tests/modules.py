"""Modules to trace, random numbers to fill them with, and how far a change of weights changes what they compute."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reknit.skeleton.skeleton import Group, Member, Skeleton
from reknit.skeleton.symmetry import Permutation, Symmetry


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in float64 and evaluation mode, every number of its state dict drawn anew, statistics too."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for key, tensor in module.state_dict(keep_vars=True).items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                fan_in = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 4
                drawn = drawn / fan_in**0.5 + (0.3 if tensor.ndim == 1 else 0)
                tensor.copy_(drawn.abs() + 0.5 if key.endswith("running_var") else drawn)
    return module


def computed(module: nn.Module, inputs: tuple[Tensor, ...] | Mapping[str, Tensor]) -> list[Tensor]:
    """All tensors of floating point in what the module returns."""
    with torch.no_grad():
        made = module(**inputs) if isinstance(inputs, Mapping) else module(*inputs)
    return [tensor for tensor in _tensors(made) if tensor.is_floating_point()]


def _tensors(made: object) -> Iterator[Tensor]:
    if isinstance(made, Tensor):
        yield made
    elif isinstance(made, Mapping | tuple | list):
        for item in made.values() if isinstance(made, Mapping) else made:
            yield from _tensors(item)


class Subject:
    """A traced module with random numbers, and how its function answers to changed weights."""

    def __init__(self, module: nn.Module, inputs, skeleton: Skeleton) -> None:
        self.module, self.inputs, self.skeleton = filled(module), inputs, skeleton
        self.state = {key: tensor.clone() for key, tensor in self.module.state_dict().items()}
        self.before = computed(self.module, inputs)

    def deviation(self, tensors: Mapping[str, Tensor]) -> float:
        """The largest change of an output, relative to the largest output."""
        self.module.load_state_dict(tensors)
        after = computed(self.module, self.inputs)
        self.module.load_state_dict(self.state)
        return max(
            float((a - b).abs().max() / (b.abs().max() + 1e-30)) for a, b in zip(after, self.before, strict=True)
        )

    def under(self, symmetry: Symmetry) -> float:
        """The change of the outputs under a symmetry."""
        return self.deviation(symmetry.apply(self.state))

    def alone(self, group: Group, member: Member) -> float:
        """The change of the outputs when one member of a group is moved and the others are left behind."""
        rest = tuple(
            dataclasses.replace(each, members=(member,)) if each.name == group.name else each
            for each in self.skeleton.groups
        )
        skeleton = dataclasses.replace(self.skeleton, groups=rest)
        return self.deviation(Symmetry(skeleton, (rolled(self.skeleton, group),)).apply(self.state))

    def freed(self, group: Group) -> float:
        """The change of the outputs when a group that is fixed is moved all the same."""
        rest = tuple(
            dataclasses.replace(each, fixed="") if each.name == group.name else each for each in self.skeleton.groups
        )
        skeleton = dataclasses.replace(self.skeleton, groups=rest)
        return self.deviation(Symmetry(skeleton, (rolled(skeleton, group),)).apply(self.state))

    def free(self) -> list[Group]:
        """Groups that are not fixed."""
        return [group for group in self.skeleton.groups if not group.fixed]


def rolled(skeleton: Skeleton, group: Group) -> Permutation:
    """Every unit to the place of the next."""
    outer = {each.name: each.size for each in skeleton.groups}
    return Permutation(group.name, np.tile(np.roll(np.arange(group.size), 1), (outer.get(group.within, 1), 1)))


# --- attention in the layouts that are in use ---------------------------------------------------------------------


class Attention(nn.Module):
    """Self-attention; ``layout`` says how the three matrices are fused and taken apart."""

    LAYOUTS = ("apart", "split", "matrices first", "heads first", "einsum", "stacked")

    def __init__(self, width: int, heads: int, size: int, layout: str, by_hand: bool = False) -> None:
        super().__init__()
        self.heads, self.size, self.layout, self.by_hand = heads, size, layout, by_hand
        inner = heads * size
        # keys have no bias: added to every score of a row, it would change nothing
        if layout in {"apart", "stacked"}:
            self.q, self.k, self.v = (nn.Linear(width, inner, bias=name != "k") for name in "qkv")
        elif layout == "einsum":
            self.qkv = nn.Parameter(torch.zeros(3 * heads, width, size))
        else:
            self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.out = nn.Linear(inner, width)

    def _taken_apart(self, x: Tensor) -> tuple[Tensor, ...]:
        rows, length = x.shape[:2]
        heads = (rows, length, self.heads, self.size)
        if self.layout == "apart":
            return tuple(each(x).view(heads).transpose(1, 2) for each in (self.q, self.k, self.v))
        if self.layout == "stacked":
            return tuple(torch.stack([each(x).view(heads) for each in (self.q, self.k, self.v)]).transpose(2, 3))
        if self.layout == "einsum":
            return torch.einsum("btc,hcd->bhtd", x, self.qkv).chunk(3, dim=1)
        if self.layout == "split":
            parts = self.qkv(x).split(self.heads * self.size, dim=-1)
            return tuple(part.view(heads).transpose(1, 2) for part in parts)
        if self.layout == "matrices first":
            return self.qkv(x).reshape(rows, length, 3, self.heads, self.size).permute(2, 0, 3, 1, 4).unbind(0)
        fused = self.qkv(x).view(rows, length, self.heads, 3 * self.size).transpose(1, 2)
        return fused.chunk(3, dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self._taken_apart(x)
        if self.by_hand:
            read = ((q @ k.transpose(-2, -1)) * self.size**-0.5).softmax(-1) @ v
        else:
            read = functional.scaled_dot_product_attention(q, k, v)
        return self.out(read.transpose(1, 2).flatten(2))


class GroupedAttention(nn.Module):
    """Attention in which several queries share a key and a value; ``how`` these are repeated."""

    HOWS = ("expand", "repeat_interleave", "enable_gqa")

    def __init__(self, width: int, groups: int, shared: int, size: int, how: str, normed: bool = False) -> None:
        super().__init__()
        self.groups, self.shared, self.size, self.how = groups, shared, size, how
        self.q = nn.Linear(width, groups * shared * size)
        self.k = nn.Linear(width, groups * size, bias=False)
        self.v = nn.Linear(width, groups * size)
        self.norm = nn.RMSNorm(size) if normed else nn.Identity()
        self.out = nn.Linear(groups * shared * size, width)

    def forward(self, x: Tensor) -> Tensor:
        rows, length = x.shape[:2]
        q, k, v = (each(x).view(rows, length, -1, self.size).transpose(1, 2) for each in (self.q, self.k, self.v))
        q = self.norm(q)
        if self.how == "expand":
            k, v = (
                each[:, :, None]
                .expand(rows, self.groups, self.shared, length, self.size)
                .reshape(rows, -1, length, self.size)
                for each in (k, v)
            )
        elif self.how == "repeat_interleave":
            k, v = (each.repeat_interleave(self.shared, dim=1) for each in (k, v))
        read = functional.scaled_dot_product_attention(q, k, v, enable_gqa=self.how == "enable_gqa")
        return self.out(read.transpose(1, 2).reshape(rows, length, -1))


# --- other branches -----------------------------------------------------------------------------------------------


class MLP(nn.Module):
    def __init__(self, width: int, hidden: int, act: nn.Module) -> None:
        super().__init__()
        self.inp, self.act, self.out = nn.Linear(width, hidden), act, nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.act(self.inp(x)))


class GatedMLP(nn.Module):
    """A gate beside the hidden units; both from one matrix, the gate in the first half or in every second unit."""

    def __init__(self, width: int, hidden: int, interleaved: bool) -> None:
        super().__init__()
        self.interleaved = interleaved
        self.inp, self.out = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        both = self.inp(x)
        gate, value = (both[..., ::2], both[..., 1::2]) if self.interleaved else both.chunk(2, dim=-1)
        return self.out(functional.silu(gate) * value)


class Branches(nn.Module):
    """Two branches of different widths, one after the other on one axis; one of their parts is read again."""

    def __init__(self, width: int, first: int, second: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, first), nn.Linear(width, second)
        self.out, self.again = nn.Linear(first + second, width), nn.Linear(first, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self.first(x).tanh(), functional.gelu(self.second(x))], dim=-1)
        return self.out(joined) + self.again(joined[..., : self.first.out_features])


class Residual(nn.Module):
    def __init__(self, norm: nn.Module, branch: nn.Module, scale: int = 0) -> None:
        super().__init__()
        self.norm, self.branch = norm, branch
        self.scale = nn.Parameter(torch.ones(scale)) if scale else None

    def forward(self, x: Tensor) -> Tensor:
        added = self.branch(self.norm(x))
        return x + (added if self.scale is None else self.scale * added)


class Squeeze(nn.Module):
    """One factor a channel, from the means of all channels."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.inp, self.out = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.out(functional.silu(self.inp(x.mean((2, 3), keepdim=True)))).sigmoid()


class Shuffle(nn.Module):
    """Channels of several groups, dealt out to the groups in turn."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        rows, channels, *places = x.shape
        return x.view(rows, self.groups, channels // self.groups, *places).transpose(1, 2).reshape(x.shape)
