"""Small residual networks with BatchNorm whose statistics are counted, not trained: random weights, real forwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from reknit.evidence.batch_norm_moments import Moments
from reknit.evidence.batch_norm_pieces import Unit


@dataclass(frozen=True)
class Convolution:
    """A kernel, out x in of one group x taps."""

    kernel: np.ndarray


@dataclass(frozen=True)
class Norm:
    """The four vectors of a BatchNorm."""

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


SHAPES = {
    "pre-activation": ((12, 12, 3), (12, 12, 3)),
    "basic": ((12, 12, 3), (12, 12, 3)),
    "linear bottleneck": ((24, 12, 1), (24, 1, 3), (12, 24, 1)),
}


class Block(nn.Module):
    """One residual unit; the order of its layers by its kind."""

    def __init__(self, kind: str, rng: np.random.Generator) -> None:
        super().__init__()
        shapes = SHAPES[kind]
        self.kind = kind
        self.convolutions = nn.ModuleList(_convolution(*shape) for shape in shapes)
        widths = [shapes[-1][0], *(shape[0] for shape in shapes[:-1])]
        widths = widths if kind == "pre-activation" else [shape[0] for shape in shapes]
        self.norms = nn.ModuleList(nn.BatchNorm1d(width, momentum=None) for width in widths)
        with torch.no_grad():
            for norm in self.norms:
                norm.weight.copy_(torch.tensor(rng.uniform(0.5, 1.5, len(norm.weight))))
                norm.bias.copy_(torch.tensor(rng.normal(0, 0.5, len(norm.bias))))
            for layer in self.convolutions:
                spread = (layer.weight[0].numel()) ** -0.5
                layer.weight.copy_(torch.tensor(rng.normal(0, spread, layer.weight.shape)))
            inner = list(self.norms)[1:] if kind == "pre-activation" else list(self.norms)[:-1]
            layers = list(self.convolutions)
            for before, norm, behind in zip(layers[:-1], inner, layers[1:], strict=True):
                strengths = torch.tensor(np.exp(rng.normal(0, 0.7, len(norm.weight))))
                before.weight *= strengths[:, None, None]  # as training leaves them: a strong unit is strong throughout
                norm.weight *= strengths.sqrt()
                behind.weight *= strengths[:, None, None] if behind.groups > 1 else strengths[None, :, None]

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        x = stream
        if self.kind == "pre-activation":
            for norm, layer in zip(self.norms, self.convolutions, strict=True):
                x = layer(torch.relu(norm(x)))
            return stream + x
        for k, (layer, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(layer(x if k == 0 else torch.relu(x)))
        return torch.relu(stream + x) if self.kind == "basic" else stream + x


def _convolution(out: int, inside: int, taps: int) -> nn.Conv1d:
    groups = out if inside == 1 else 1
    return nn.Conv1d(inside * groups, out, taps, padding=taps // 2, groups=groups, bias=False, dtype=torch.float64)


def counted_net(kind: str, count: int, seed: int) -> tuple[list[Unit], list[Convolution], list[Norm], Moments | None]:
    """Units, their convolutions and norms in the order of the forward pass, and the start where one is needed."""
    rng = np.random.default_rng(seed)
    blocks = nn.Sequential(*(Block(kind, rng) for _ in range(count))).double().train()
    beta, gamma = rng.normal(0, 0.5, 12), rng.uniform(0.5, 1.5, 12)
    noise = np.cumsum(rng.standard_normal((64, 12, 40)), axis=2)  # neighbours in space resemble each other
    noise = (noise - noise.mean((0, 2), keepdims=True)) / noise.std((0, 2), keepdims=True)
    stream = torch.tensor(noise * gamma[:, None] + beta[:, None])
    start = None
    if kind != "pre-activation":
        stream = torch.relu(stream) if kind == "basic" else stream
        start = Moments(stream.mean((0, 2)).numpy(), stream.var((0, 2)).numpy())
    with torch.no_grad():
        blocks(stream)
    activation = "relu" if kind == "basic" else "identity"
    units = [Unit(SHAPES[kind], kind == "pre-activation", "relu", activation)] * count
    convolutions = [Convolution(layer.weight.detach().numpy()) for block in blocks for layer in block.convolutions]
    norms = [
        Norm(*(t.detach().numpy() for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var)))
        for block in blocks
        for norm in block.norms
    ]
    return units, convolutions, norms, start
