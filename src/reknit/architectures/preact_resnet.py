"""A pre-activation residual conv net in one or two dimensions: norm and activation stand before each convolution.

He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", arXiv 1603.05027:

    x = stem(input)
    x = x + conv2(act(bn2(conv1(act(bn1(x))))))                            for every block
    x = shortcut(a) + conv2(act(bn2(conv1(a)))),  a = act(bn1(x))          where width or stride change
    answer = head(mean(act(norm(x))))

With ``skips`` the head reads ``sum_s skip_s(x behind stage s)`` instead, the stem counting as a stage: the net of
Jaganathan et al., "Predicting Splicing from Primary Sequence with Deep Learning", Cell 176 (2019), is one of these
(``SPLICE_AI_10K``).
"""

from __future__ import annotations

from functools import partial, reduce
from operator import add

from jaxtyping import Float
from torch import Tensor, nn

from reknit.architectures.configs.preact_resnet import PreactResnetConfig
from reknit.architectures.configs.stage import Stage
from reknit.architectures.convolutions import (
    Image,
    batch_norm,
    convolution,
    crop,
    example_image,
    mean_over_positions,
)
from reknit.network.residual_mlp import ACTIVATIONS

SPLICE_AI_10K = PreactResnetConfig(
    inputs=4,
    stem=32,
    stages=(Stage(4, 32, 11), Stage(4, 32, 11, 1, 4), Stage(4, 32, 21, 1, 10), Stage(4, 32, 41, 1, 25)),
    outputs=3,
    dimensions=1,
    stem_kernel=1,
    skips=True,
    final_norm=False,
    per_position=True,
    crop=5000,
    softmax=True,
    bias=True,
    eps=1e-3,
)
"""Input: one channel for each of A, C, G, T. Answer: neither, acceptor, donor."""


class Block(nn.Module):
    """Two convolutions, each behind a norm and an activation, added to the stream."""

    def __init__(self, config: PreactResnetConfig, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        dimensions, width, bias = config.dimensions, stage.width, config.bias
        around = partial(
            convolution, dimensions, outputs=width, kernel=stage.kernel, dilation=stage.dilation, bias=bias
        )
        self.bn1 = batch_norm(dimensions, inputs, config.eps)
        self.conv1 = around(inputs=inputs, stride=stride)
        self.bn2 = batch_norm(dimensions, width, config.eps)
        self.conv2 = around(inputs=width)
        self.changes = inputs != width or stride != 1
        if self.changes:
            self.shortcut = convolution(dimensions, inputs, width, 1, stride=stride, bias=bias)
        self.act = ACTIVATIONS[config.activation]

    def forward(self, x: Image) -> Image:
        """The new stream."""
        active = self.act(self.bn1(x))
        added: Tensor = self.conv2(self.act(self.bn2(self.conv1(active))))
        return added + (self.shortcut(active) if self.changes else x)


class PreactResnet(nn.Module):
    """A pre-activation residual conv net; see the module's docstring for its equations."""

    def __init__(self, config: PreactResnetConfig) -> None:
        super().__init__()
        self.config = config
        dimensions, width = config.dimensions, config.stem
        self.stem = convolution(dimensions, config.inputs, width, config.stem_kernel, bias=config.bias)
        self.stages = nn.ModuleList()
        for stage in config.stages:
            blocks = nn.Sequential()
            for number in range(stage.blocks):
                blocks.append(Block(config, width, stage, stage.stride if number == 0 else 1))
                width = stage.width
            self.stages.append(blocks)
        if config.skips:
            skips = range(len(config.stages) + 1)
            self.skips = nn.ModuleList(convolution(dimensions, width, width, 1, bias=config.bias) for _ in skips)
        if config.final_norm:
            self.norm = batch_norm(dimensions, width, config.eps)
        self.act = ACTIVATIONS[config.activation]
        if config.per_position:
            self.head: nn.Module = convolution(dimensions, width, config.outputs, 1, bias=True)
        else:
            self.head = nn.Linear(width, config.outputs)

    def forward(self, x: Image) -> Float[Tensor, "batch outputs *positions"]:
        """The answer: a column for each position, or one for each image."""
        config = self.config
        x = self.stem(x)
        behind = [x]
        for stage in self.stages:
            x = stage(x)
            behind.append(x)
        if config.skips:
            x = reduce(add, (skip(part) for skip, part in zip(self.skips, behind, strict=True)))
        if config.final_norm:
            x = self.act(self.norm(x))
        x = crop(x, config.crop) if config.crop else x
        answer: Tensor = self.head(x if config.per_position else mean_over_positions(x))
        return answer.softmax(1) if config.softmax else answer


def preact_resnet(config: PreactResnetConfig) -> PreactResnet:
    """The module of a config, in eval mode; build it under ``torch.device("meta")`` for a skeleton."""
    return PreactResnet(config).eval()


def example_inputs(config: PreactResnetConfig) -> tuple[Tensor]:
    """An image or a sequence large enough for the strides and the crop."""
    return example_image(config.inputs, config.dimensions, 2 * config.crop + 32)
