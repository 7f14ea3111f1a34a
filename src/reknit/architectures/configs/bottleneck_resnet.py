"""The config of a bottleneck residual conv net."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_sizes
from reknit.architectures.configs.slots import Slots, batch_norm, convolution, counters, linear
from reknit.architectures.configs.stage import Stage, check_odd, check_stages


@dataclass(frozen=True)
class BottleneckResnetConfig:
    """A residual conv net of bottleneck blocks in one or two dimensions: everything but its numbers.

    Attributes:
        inputs: channels of the input.
        stem: channels of the first convolution.
        stages: the residual blocks; their width is that of the narrow part.
        outputs: classes.
        dimensions: 1 or 2.
        stem_kernel: size of the first convolution, an odd number.
        stem_stride: its stride.
        stem_pool: whether a maximum over 3 positions, stride 2, follows.
        expansion: the wide part of a block is so many times the narrow part.
        stride_first: whether the first convolution of a block strides, as in the paper, or the middle one.
        bias: whether the convolutions have one.
        activation: a name in ``reknit.network.activations``.
        eps: what BatchNorm adds to the variance.
    """

    inputs: int = 3
    stem: int = 64
    stages: tuple[Stage, ...] = (Stage(3, 64), Stage(4, 128, 3, 2), Stage(6, 256, 3, 2), Stage(3, 512, 3, 2))
    outputs: int = 1000
    dimensions: int = 2
    stem_kernel: int = 7
    stem_stride: int = 2
    stem_pool: bool = True
    expansion: int = 4
    stride_first: bool = False
    bias: bool = False
    activation: str = "relu"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "bottleneck-resnet")
        check_stages("bottleneck-resnet", self.dimensions, self.stages)
        check_odd("bottleneck-resnet", "stem_kernel", self.stem_kernel)

    def slots(self) -> Slots:
        """The shapes of its tensors."""
        dimensions, bias, width = self.dimensions, self.bias, self.stem
        found = convolution("stem", width, self.inputs, self.stem_kernel, dimensions, bias)
        found += batch_norm("norm of the stem", width)
        norms = 1
        for stage in self.stages:
            narrow, wide = stage.width, self.expansion * stage.width
            for number in range(stage.blocks):
                found += convolution("narrowing", narrow, width, 1, dimensions, bias)
                found += convolution("looking around", narrow, narrow, stage.kernel, dimensions, bias)
                found += convolution("widening", wide, narrow, 1, dimensions, bias)
                found += 2 * batch_norm("norm of a narrow part", narrow) + batch_norm("norm of a wide part", wide)
                norms += 3
                if width != wide or (number == 0 and stage.stride != 1):
                    found += convolution("downsampling", wide, width, 1, dimensions, bias)
                    found += batch_norm("norm of the downsampling", wide)
                    norms += 1
                width = wide
        return Slots(found + linear("head", self.outputs, width), counters(norms))
