"""A plain MLP: linear layers, each but the last followed by an activation, perhaps behind a BatchNorm."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reknit.architectures.configs.mlp import MlpConfig
from reknit.network.residual_mlp import ACTIVATIONS


class Mlp(nn.Module):
    """``layers[-1](act(norms[k](layers[k](x))))``, k running over all layers but the last."""

    def __init__(self, config: MlpConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(nn.Linear(*sizes, bias=config.bias) for sizes in pairwise(config.sizes))
        if config.batch_norm:
            self.norms = nn.ModuleList(nn.BatchNorm1d(size, config.eps) for size in config.sizes[1:-1])
        self.act = ACTIVATIONS[config.activation]

    def forward(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """The network's answer."""
        last = len(self.layers) - 1
        for k, layer in enumerate(self.layers):
            x = layer(x)
            if k < last:
                x = self.act(self.norms[k](x) if self.config.batch_norm else x)
        return x


def mlp(config: MlpConfig) -> Mlp:
    """The module of a config, in eval mode; build it under ``torch.device("meta")`` for a skeleton."""
    return Mlp(config).eval()


def example_inputs(config: MlpConfig) -> tuple[Tensor]:
    """Rows of numbers."""
    return (torch.zeros(4, config.sizes[0]),)
