"""The config of a residual MLP with a stem and norms that have parameters."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_choice, check_sizes

NORMS = ("none", "layer", "rms", "batch")


@dataclass(frozen=True)
class ResidualMlpConfig:
    """A residual MLP: everything but its numbers.

    Attributes:
        blocks: number of residual blocks.
        width: size of the stream.
        hidden: size inside a block.
        outputs: size of the head's answer.
        inputs: size of what the stem reads; 0 for no stem: the input is the stream.
        activation: a name in ``reknit.network.activations``.
        norm: what a block reads the stream through: ``none``, ``layer``, ``rms`` or ``batch``.
        final_norm: the same before the head.
        affine: whether layer and rms norms have parameters; a batch norm always has.
        bias: whether the linear layers have one.
        eps: what the norms add under the root.
    """

    blocks: int = 8
    width: int = 64
    hidden: int = 128
    outputs: int = 1
    inputs: int = 0
    activation: str = "relu"
    norm: str = "layer"
    final_norm: str = "none"
    affine: bool = True
    bias: bool = True
    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "residual-mlp", may_be_zero=frozenset({"inputs"}))
        check_choice("residual-mlp", "norm", self.norm, NORMS)
        check_choice("residual-mlp", "final_norm", self.final_norm, NORMS)
