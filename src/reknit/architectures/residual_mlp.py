"""The residual MLP with a stem and norms that have parameters: ``x -> x + out(act(in(norm(x))))``, n times.

Without a stem, with norms that have no parameters, the keys of the state dict and the function are those of
``reknit.network.residual_mlp``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reknit.architectures.configs.residual_mlp import ResidualMlpConfig
from reknit.network.residual_mlp import ACTIVATIONS

Rows = Float[Tensor, "rows width"]


def norm(name: str, config: ResidualMlpConfig) -> nn.Module:
    """The norm of that name over the stream."""
    match name:
        case "layer":
            return nn.LayerNorm(config.width, config.eps, config.affine)
        case "rms":
            return nn.RMSNorm(config.width, config.eps, config.affine)
        case "batch":
            return nn.BatchNorm1d(config.width, config.eps)
        case _:
            return nn.Identity()


class ResidualBlock(nn.Module):
    """``x -> x + out(act(in(norm(x))))``."""

    def __init__(self, config: ResidualMlpConfig) -> None:
        super().__init__()
        self.norm = norm(config.norm, config)
        # "in" is a Python keyword, so the layer cannot be an attribute written out
        self.add_module("in", nn.Linear(config.width, config.hidden, config.bias))
        self.out = nn.Linear(config.hidden, config.width, config.bias)
        self.act = ACTIVATIONS[config.activation]

    def forward(self, x: Rows) -> Rows:
        """Add the branch to the stream."""
        added: Tensor = self.out(self.act(self.get_submodule("in")(self.norm(x))))
        return x + added


class ResidualMlp(nn.Module):
    """A residual MLP; see the module's docstring for its equation."""

    def __init__(self, config: ResidualMlpConfig) -> None:
        super().__init__()
        self.config = config
        if config.inputs:
            self.stem = nn.Linear(config.inputs, config.width, config.bias)
        self.blocks = nn.ModuleList(ResidualBlock(config) for _ in range(config.blocks))
        self.final_norm = norm(config.final_norm, config)
        self.head = nn.Linear(config.width, config.outputs, config.bias)

    def forward(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """The network's answer."""
        if self.config.inputs:
            x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        answer: Tensor = self.head(self.final_norm(x))
        return answer


def residual_mlp(config: ResidualMlpConfig) -> ResidualMlp:
    """The module of a config, in eval mode; build it under ``torch.device("meta")`` for a skeleton."""
    return ResidualMlp(config).eval()


def example_inputs(config: ResidualMlpConfig) -> tuple[Tensor]:
    """Rows of numbers."""
    return (torch.zeros(4, config.inputs or config.width),)
