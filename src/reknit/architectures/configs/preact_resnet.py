"""The config of a pre-activation residual conv net."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_sizes
from reknit.architectures.configs.slots import Slots, batch_norm, convolution, counters, linear
from reknit.architectures.configs.stage import Stage, check_odd, check_stages
from reknit.errors import UsageError


@dataclass(frozen=True)
class PreactResnetConfig:
    """A pre-activation residual conv net in one or two dimensions: everything but its numbers.

    Attributes:
        inputs: channels of the input.
        stem: channels of the first convolution.
        stages: the residual blocks.
        outputs: channels or classes of the answer.
        dimensions: 1 or 2.
        stem_kernel: size of the first convolution, an odd number.
        skips: whether the stem and every stage add to a second stream through a convolution of kernel 1, and the head
            reads that stream; all widths are then the stem's.
        final_norm: whether the head reads through a BatchNorm and an activation.
        per_position: whether the head answers at every position, or once, on the mean over all positions.
        crop: positions that are cut off on each side before the head.
        softmax: whether the answer is shares, or logits.
        bias: whether the convolutions before the head have one.
        activation: a name in ``reknit.network.activations``.
        eps: what BatchNorm adds to the variance.
    """

    inputs: int = 3
    stem: int = 64
    stages: tuple[Stage, ...] = (Stage(2, 64), Stage(2, 128, 3, 2), Stage(2, 256, 3, 2), Stage(2, 512, 3, 2))
    outputs: int = 10
    dimensions: int = 2
    stem_kernel: int = 3
    skips: bool = False
    final_norm: bool = True
    per_position: bool = False
    crop: int = 0
    softmax: bool = False
    bias: bool = False
    activation: str = "relu"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "preact-resnet", may_be_zero=frozenset({"crop"}))
        check_stages("preact-resnet", self.dimensions, self.stages)
        check_odd("preact-resnet", "stem_kernel", self.stem_kernel)
        if self.skips and any(stage.width != self.stem or stage.stride != 1 for stage in self.stages):
            remedy = "Give every stage the stem's width and stride 1"
            raise UsageError("skips are summed, but stages differ in size", "preact-resnet", remedy)

    def slots(self) -> Slots:
        """The shapes of its tensors."""
        dimensions, bias, width = self.dimensions, self.bias, self.stem
        found = convolution("stem", width, self.inputs, self.stem_kernel, dimensions, bias)
        for stage in self.stages:
            for number in range(stage.blocks):
                found += batch_norm("norm of a block", width)
                found += convolution("convolution", stage.width, width, stage.kernel, dimensions, bias)
                found += batch_norm("norm of a block", stage.width)
                found += convolution("convolution", stage.width, stage.width, stage.kernel, dimensions, bias)
                if width != stage.width or (number == 0 and stage.stride != 1):
                    found += convolution("shortcut", stage.width, width, 1, dimensions, bias)
                width = stage.width
        if self.skips:
            found += (len(self.stages) + 1) * convolution("skip", width, width, 1, dimensions, bias)
        if self.final_norm:
            found += batch_norm("last norm", width)
        if self.per_position:
            found += convolution("head", self.outputs, width, 1, dimensions, bias=True)
        else:
            found += linear("head", self.outputs, width)
        blocks = sum(stage.blocks for stage in self.stages)
        return Slots(found, counters(2 * blocks + self.final_norm))
