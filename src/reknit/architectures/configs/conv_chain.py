"""The config of a plain chain of convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from reknit.architectures.configs.checks import check_chain, check_sizes
from reknit.architectures.configs.slots import Slots, batch_norm, convolution, counters, linear
from reknit.architectures.configs.stage import check_odd
from reknit.errors import UsageError


@dataclass(frozen=True)
class ConvChainConfig:
    """A plain chain of convolutions in one or two dimensions: everything but its numbers.

    Attributes:
        channels: of the input, then behind every convolution.
        kernels: sizes of the convolutions, odd numbers; one stands for all.
        strides: of the convolutions; one stands for all.
        outputs: size of a linear head on the mean over positions; 0 for none: the last convolution answers.
        dimensions: 1 or 2.
        batch_norm: whether a BatchNorm stands between each convolution and its activation.
        bias: whether the convolutions have one; the head always has.
        activation: a name in ``reknit.network.activations``; without a head the last convolution has none.
        eps: what BatchNorm adds to the variance.
    """

    channels: tuple[int, ...] = (3, 32, 64, 128)
    kernels: tuple[int, ...] = (3,)
    strides: tuple[int, ...] = (1,)
    outputs: int = 10
    dimensions: int = 2
    batch_norm: bool = True
    bias: bool = True
    activation: str = "relu"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "conv-chain", may_be_zero=frozenset({"outputs"}))
        check_chain("conv-chain", "channels", self.channels)
        if self.dimensions not in {1, 2}:
            raise UsageError(f"dimensions is {self.dimensions}", "conv-chain", "Give 1 or 2")
        for field, sizes in (("kernels", self.kernels), ("strides", self.strides)):
            if len(sizes) not in {1, self.convolutions} or min(sizes, default=0) < 1:
                problem = f"{field} are {sizes} for {self.convolutions} convolutions"
                raise UsageError(problem, "conv-chain", "Give one positive number for each, or one for all")
        for kernel in self.kernels:
            check_odd("conv-chain", "kernels", kernel)

    @property
    def convolutions(self) -> int:
        """How many there are."""
        return len(self.channels) - 1

    @property
    def kernel_of_each(self) -> tuple[int, ...]:
        """The kernel of every convolution."""
        return self.kernels * self.convolutions if len(self.kernels) == 1 else self.kernels

    @property
    def stride_of_each(self) -> tuple[int, ...]:
        """The stride of every convolution."""
        return self.strides * self.convolutions if len(self.strides) == 1 else self.strides

    def slots(self) -> Slots:
        """The shapes of its tensors."""
        found = [
            slot
            for (inputs, outputs), kernel in zip(pairwise(self.channels), self.kernel_of_each, strict=True)
            for slot in convolution("convolution", outputs, inputs, kernel, self.dimensions, self.bias)
        ]
        followed = self.channels[1:] if self.outputs else self.channels[1:-1]
        normed = followed if self.batch_norm else ()
        found += [slot for width in normed for slot in batch_norm("norm", width)]
        if self.outputs:
            found += linear("head", self.outputs, self.channels[-1])
        return Slots(found, counters(len(normed)))
