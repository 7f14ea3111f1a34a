"""The config of a residual MLP with a stem and norms that have parameters."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_choice, check_sizes
from reknit.architectures.configs.slots import Slot, Slots, batch_norm, counters, linear, norm

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

    def slots(self) -> Slots:
        """The shapes of its tensors."""
        found = linear("stem", self.width, self.inputs, self.bias) if self.inputs else []
        found += self.blocks * (
            self._norm("norm of a block", self.norm)
            + linear("in", self.hidden, self.width, self.bias)
            + linear("out", self.width, self.hidden, self.bias)
        )
        found += self._norm("last norm", self.final_norm) + linear("head", self.outputs, self.width, self.bias)
        return Slots(found, counters(self.blocks * (self.norm == "batch") + (self.final_norm == "batch")))

    def _norm(self, what: str, kind: str) -> list[Slot]:
        if kind == "batch":
            return batch_norm(what, self.width)
        return norm(what, self.width, kind == "layer") if self.affine and kind != "none" else []
