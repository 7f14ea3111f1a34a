"""Convolutions and BatchNorm in one and two dimensions, and what the conv nets do with them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Image = Float[Tensor, "batch channels *positions"]
"""One spatial axis or two."""


def convolution(
    dimensions: int, inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, bias: bool = False
) -> nn.Conv1d | nn.Conv2d:
    """A convolution with an odd kernel that, at stride 1, keeps the number of positions."""
    kind = nn.Conv1d if dimensions == 1 else nn.Conv2d
    return kind(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, bias=bias)


def batch_norm(dimensions: int, width: int, eps: float) -> nn.BatchNorm1d | nn.BatchNorm2d:
    """BatchNorm over the channels."""
    return (nn.BatchNorm1d if dimensions == 1 else nn.BatchNorm2d)(width, eps)


def mean_over_positions(x: Image) -> Float[Tensor, "batch channels"]:
    """One number a channel."""
    return x.flatten(2).mean(2)


def crop(x: Image, positions: int) -> Image:
    """Cut positions off on each side of every spatial axis."""
    for axis in range(2, x.ndim):
        x = x.narrow(axis, positions, x.shape[axis] - 2 * positions)
    return x


def pad_as_tensorflow(x: Image, kernel: int, stride: int) -> Image:
    """Zeros such that a convolution answers ``ceil(size / stride)`` positions; the odd one stands at the end."""
    pads: list[int] = []
    for size in reversed(x.shape[2:]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


def example_image(inputs: int, dimensions: int, size: int) -> tuple[Tensor]:
    """Two images of zeros."""
    return (torch.zeros(2, inputs, *[size] * dimensions),)
