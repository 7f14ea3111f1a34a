"""A residual conv net of bottleneck blocks in one or two dimensions: narrow, look around, widen.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv 1512.03385:

    x = pool(act(bn1(conv1(input))))
    x = act(s(x) + bn3(conv3(act(bn2(conv2(act(bn1(conv1(x)))))))))        for every block
    answer = fc(mean(x))

s is the identity, or ``downsample`` (a convolution of kernel 1 and a norm) where width or stride change. The keys of
the state dict are torchvision's.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from reknit.architectures.configs.bottleneck_resnet import BottleneckResnetConfig
from reknit.architectures.configs.stage import Stage
from reknit.architectures.convolutions import Image, batch_norm, convolution, example_image, mean_over_positions
from reknit.network.residual_mlp import ACTIVATIONS


class Bottleneck(nn.Module):
    """Kernel 1, a kernel that looks around, kernel 1; added to the stream before the last activation."""

    def __init__(self, config: BottleneckResnetConfig, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        dimensions, narrow, wide = config.dimensions, stage.width, config.expansion * stage.width
        first, middle = (stride, 1) if config.stride_first else (1, stride)
        self.conv1 = convolution(dimensions, inputs, narrow, 1, stride=first, bias=config.bias)
        self.bn1 = batch_norm(dimensions, narrow, config.eps)
        self.conv2 = convolution(
            dimensions, narrow, narrow, stage.kernel, stride=middle, dilation=stage.dilation, bias=config.bias
        )
        self.bn2 = batch_norm(dimensions, narrow, config.eps)
        self.conv3 = convolution(dimensions, narrow, wide, 1, bias=config.bias)
        self.bn3 = batch_norm(dimensions, wide, config.eps)
        self.downsample: nn.Sequential | None = None
        if inputs != wide or stride != 1:
            projection = convolution(dimensions, inputs, wide, 1, stride=stride, bias=config.bias)
            self.downsample = nn.Sequential(projection, batch_norm(dimensions, wide, config.eps))
        self.act = ACTIVATIONS[config.activation]

    def forward(self, x: Image) -> Image:
        """The new stream."""
        stream = x if self.downsample is None else self.downsample(x)
        x = self.act(self.bn1(self.conv1(x)))
        x = self.act(self.bn2(self.conv2(x)))
        return self.act(stream + self.bn3(self.conv3(x)))


class BottleneckResnet(nn.Module):
    """A residual conv net of bottlenecks; see the module's docstring for its equations."""

    def __init__(self, config: BottleneckResnetConfig) -> None:
        super().__init__()
        self.config = config
        dimensions, width = config.dimensions, config.stem
        self.conv1 = convolution(
            dimensions, config.inputs, width, config.stem_kernel, stride=config.stem_stride, bias=config.bias
        )
        self.bn1 = batch_norm(dimensions, width, config.eps)
        self.act = ACTIVATIONS[config.activation]
        self.layers = [f"layer{number}" for number in range(1, len(config.stages) + 1)]
        for layer, stage in zip(self.layers, config.stages, strict=True):
            blocks = nn.Sequential()
            for number in range(stage.blocks):
                blocks.append(Bottleneck(config, width, stage, stage.stride if number == 0 else 1))
                width = config.expansion * stage.width
            self.add_module(layer, blocks)
        self.fc = nn.Linear(width, config.outputs)

    def forward(self, x: Image) -> Float[Tensor, "batch outputs"]:
        """Logits of the classes."""
        x = self.act(self.bn1(self.conv1(x)))
        if self.config.stem_pool:
            pool = functional.max_pool1d if self.config.dimensions == 1 else functional.max_pool2d
            x = pool(x, 3, 2, 1)
        for layer in self.layers:
            x = self.get_submodule(layer)(x)
        logits: Tensor = self.fc(mean_over_positions(x))
        return logits


def bottleneck_resnet(config: BottleneckResnetConfig) -> BottleneckResnet:
    """The module of a config, in eval mode; build it under ``torch.device("meta")`` for a skeleton."""
    return BottleneckResnet(config).eval()


def example_inputs(config: BottleneckResnetConfig) -> tuple[Tensor]:
    """An image or a sequence."""
    return example_image(config.inputs, config.dimensions, 64)
