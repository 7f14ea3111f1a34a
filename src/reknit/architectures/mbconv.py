"""A net of inverted bottlenecks (MBConv): widen, look around channel by channel, narrow; the stream is the narrow part.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv 1801.04381; Tan, Le, "EfficientNet",
arXiv 1905.11946. The default config is EfficientNet-Lite0, which has no squeeze and excitation and clips at 6:

    x = act(bn0(conv_stem(image)))
    x = [x +] bn2(project(act(bn1(depthwise(act(bn0(expand(x))))))))       for every block; x + where sizes stay
    logits = fc(mean(act(bn1(conv_head(x)))))

The keys of the state dict are the usual ones of EfficientNet in torch, without their leading underscores.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from reknit.architectures.configs.mbconv import MbconvConfig, MbconvStage
from reknit.architectures.convolutions import Image, example_image, mean_over_positions, pad_as_tensorflow
from reknit.network.residual_mlp import ACTIVATIONS


def activation(config: MbconvConfig) -> Callable[[Tensor], Tensor]:
    """torch's own function."""
    return functional.relu6 if config.activation == "relu6" else ACTIVATIONS[config.activation]


class SameConv2d(nn.Conv2d):
    """A convolution without bias that answers ``ceil(size / stride)`` positions, padded in one of two ways."""

    def __init__(
        self, config: MbconvConfig, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        self.as_tensorflow = config.as_tensorflow
        padding = 0 if self.as_tensorflow else kernel // 2
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Image) -> Image:
        """The convolved image."""
        return super().forward(pad_as_tensorflow(x, self.kernel_size[0], self.stride[0]) if self.as_tensorflow else x)


class InvertedBottleneck(nn.Module):
    """Widen, look around, narrow."""

    def __init__(self, config: MbconvConfig, inputs: int, stage: MbconvStage, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        self.widens = stage.expansion != 1
        if self.widens:
            self.expand_conv = SameConv2d(config, inputs, wide, 1)
            self.bn0 = nn.BatchNorm2d(wide, config.eps)
        self.depthwise_conv = SameConv2d(config, wide, wide, stage.kernel, stride, groups=wide)
        self.bn1 = nn.BatchNorm2d(wide, config.eps)
        self.project_conv = SameConv2d(config, wide, stage.width, 1)
        self.bn2 = nn.BatchNorm2d(stage.width, config.eps)
        self.adds = stride == 1 and inputs == stage.width
        self.act = activation(config)

    def forward(self, x: Image) -> Image:
        """The new stream."""
        stream = x
        if self.widens:
            x = self.act(self.bn0(self.expand_conv(x)))
        x = self.act(self.bn1(self.depthwise_conv(x)))
        narrow: Tensor = self.bn2(self.project_conv(x))
        return narrow + stream if self.adds else narrow


class Mbconv(nn.Module):
    """A net of inverted bottlenecks; see the module's docstring for its equations."""

    def __init__(self, config: MbconvConfig) -> None:
        super().__init__()
        self.config = config
        self.conv_stem = SameConv2d(config, config.inputs, config.stem, config.stem_kernel, stride=2)
        self.bn0 = nn.BatchNorm2d(config.stem, config.eps)
        self.blocks = nn.ModuleList()
        width = config.stem
        for stage in config.stages:
            for number in range(stage.blocks):
                self.blocks.append(InvertedBottleneck(config, width, stage, stage.stride if number == 0 else 1))
                width = stage.width
        self.conv_head = SameConv2d(config, width, config.head, 1)
        self.bn1 = nn.BatchNorm2d(config.head, config.eps)
        self.fc = nn.Linear(config.head, config.outputs)
        self.act = activation(config)

    def forward(self, image: Image) -> Float[Tensor, "batch outputs"]:
        """Logits of the classes."""
        x = self.act(self.bn0(self.conv_stem(image)))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.fc(mean_over_positions(self.act(self.bn1(self.conv_head(x)))))
        return logits


def mbconv(config: MbconvConfig) -> Mbconv:
    """The module of a config, in eval mode; build it under ``torch.device("meta")`` for a skeleton."""
    return Mbconv(config).eval()


def example_inputs(config: MbconvConfig) -> tuple[Tensor]:
    """An image."""
    return example_image(config.inputs, 2, 64)
