"""A plain chain of convolutions in one or two dimensions, and a linear head on the mean over positions."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from reknit.architectures.configs.conv_chain import ConvChainConfig
from reknit.architectures.convolutions import Image, batch_norm, convolution, example_image, mean_over_positions
from reknit.network.residual_mlp import ACTIVATIONS


class ConvChain(nn.Module):
    """``x -> act(norms[k](convs[k](x)))`` for every k; ``head(mean(x))``.

    Without a head the last convolution answers, and neither norm nor activation follows it.
    """

    def __init__(self, config: ConvChainConfig) -> None:
        super().__init__()
        self.config = config
        sizes = zip(pairwise(config.channels), config.kernel_of_each, config.stride_of_each, strict=True)
        self.convs = nn.ModuleList(
            convolution(config.dimensions, inputs, outputs, kernel, stride=stride, bias=config.bias)
            for (inputs, outputs), kernel, stride in sizes
        )
        followed = config.channels[1:] if config.outputs else config.channels[1:-1]
        if config.batch_norm:
            self.norms = nn.ModuleList(batch_norm(config.dimensions, width, config.eps) for width in followed)
        if config.outputs:
            self.head = nn.Linear(config.channels[-1], config.outputs)
        self.followed = len(followed)
        self.act = ACTIVATIONS[config.activation]

    def forward(self, x: Image) -> Float[Tensor, "batch outputs *positions"]:
        """The network's answer."""
        for k, layer in enumerate(self.convs):
            x = layer(x)
            if k < self.followed:
                x = self.act(self.norms[k](x) if self.config.batch_norm else x)
        if not self.config.outputs:
            return x
        answer: Tensor = self.head(mean_over_positions(x))
        return answer


def conv_chain(config: ConvChainConfig) -> ConvChain:
    """The module of a config, in eval mode; build it under ``torch.device("meta")`` for a skeleton."""
    return ConvChain(config).eval()


def example_inputs(config: ConvChainConfig) -> tuple[Tensor]:
    """An image or a sequence."""
    return example_image(config.channels[0], config.dimensions, 32)
