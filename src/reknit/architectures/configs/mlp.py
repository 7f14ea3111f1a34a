"""The config of a plain MLP."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_chain, check_sizes


@dataclass(frozen=True)
class MlpConfig:
    """A plain MLP: everything but its numbers.

    Attributes:
        sizes: of the input, of every hidden layer, of the answer.
        batch_norm: whether a BatchNorm stands between each hidden layer and its activation.
        bias: whether the linear layers have one.
        activation: of the hidden layers, a name in ``reknit.network.activations``.
        eps: what BatchNorm adds to the variance.
    """

    sizes: tuple[int, ...] = (784, 512, 512, 10)
    batch_norm: bool = False
    bias: bool = True
    activation: str = "relu"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "mlp")
        check_chain("mlp", "sizes", self.sizes)
