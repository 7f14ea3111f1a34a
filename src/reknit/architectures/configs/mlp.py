"""The config of a plain MLP."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from reknit.architectures.configs.checks import check_chain, check_sizes
from reknit.architectures.configs.slots import Slots, batch_norm, counters, linear


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

    def slots(self) -> Slots:
        """The shapes of its tensors."""
        found = [slot for sizes in pairwise(self.sizes) for slot in linear("layer", sizes[1], sizes[0], self.bias)]
        normed = self.sizes[1:-1] if self.batch_norm else ()
        found += [slot for size in normed for slot in batch_norm("norm", size)]
        return Slots(found, counters(len(normed)))
