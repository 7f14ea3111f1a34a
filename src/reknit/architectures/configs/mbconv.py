"""The config of a net of inverted bottlenecks."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_sizes
from reknit.architectures.configs.slots import Slots, batch_norm, convolution, counters, linear
from reknit.architectures.configs.stage import check_odd
from reknit.errors import UsageError


@dataclass(frozen=True)
class MbconvStage:
    """Inverted bottlenecks of one width in a row.

    Attributes:
        blocks: how many.
        width: channels of the narrow part.
        kernel: size of the depthwise convolutions, an odd number.
        stride: of the first block.
        expansion: the wide part of a block is so many times the width that it reads; 1 leaves the widening away.
    """

    blocks: int
    width: int
    kernel: int = 3
    stride: int = 1
    expansion: int = 6

    def __post_init__(self) -> None:
        check_sizes(self, "stage")
        check_odd("stage", "kernel", self.kernel)


LITE_0 = (
    MbconvStage(1, 16, 3, 1, 1),
    MbconvStage(2, 24, 3, 2),
    MbconvStage(2, 40, 5, 2),
    MbconvStage(3, 80, 3, 2),
    MbconvStage(3, 112, 5, 1),
    MbconvStage(4, 192, 5, 2),
    MbconvStage(1, 320, 3, 1),
)
"""EfficientNet-Lite0."""


@dataclass(frozen=True)
class MbconvConfig:
    """A net of inverted bottlenecks, without squeeze and excitation: everything but its numbers.

    Attributes:
        inputs: channels of the image.
        stem: channels of the first convolution.
        stages: the blocks.
        head: channels of the last convolution.
        outputs: classes.
        stem_kernel: size of the first convolution, an odd number.
        as_tensorflow: whether images are padded as TensorFlow does (the odd zero at the end), or evenly.
        activation: ``relu6`` (a ReLU that is clipped at 6) or a name in ``reknit.network.activations``.
        eps: what BatchNorm adds to the variance.
    """

    inputs: int = 3
    stem: int = 32
    stages: tuple[MbconvStage, ...] = LITE_0
    head: int = 1280
    outputs: int = 1000
    stem_kernel: int = 3
    as_tensorflow: bool = True
    activation: str = "relu6"
    eps: float = 1e-3

    def __post_init__(self) -> None:
        check_sizes(self, "mbconv", activations=("relu6",))
        check_odd("mbconv", "stem_kernel", self.stem_kernel)
        if not self.stages:
            raise UsageError("there are no stages", "mbconv", "Give at least one")

    def slots(self) -> Slots:
        """The shapes of its tensors."""
        width = self.stem
        found = convolution("stem", width, self.inputs, self.stem_kernel, 2) + batch_norm("norm of the stem", width)
        norms = 2
        for stage in self.stages:
            for _ in range(stage.blocks):
                wide = width * stage.expansion
                if stage.expansion != 1:
                    found += convolution("widening", wide, width, 1, 2) + batch_norm("norm of a wide part", wide)
                found += convolution("looking around", wide, 1, stage.kernel, 2) + batch_norm(
                    "norm of a wide part", wide
                )
                found += convolution("narrowing", stage.width, wide, 1, 2)
                found += batch_norm("norm of a narrow part", stage.width)
                norms += 2 + (stage.expansion != 1)
                width = stage.width
        found += convolution("last convolution", self.head, width, 1, 2) + batch_norm("last norm", self.head)
        return Slots(found + linear("head", self.outputs, self.head), counters(norms))
