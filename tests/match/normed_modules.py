"""Small nets with BatchNorms in a residual stream, for ``--like``."""

import torch
from torch import Tensor, nn

EXAMPLE = (torch.zeros(2, 3, 9),)


class Stream(nn.Module):
    """Two branches added to a stream, each behind a norm, and a head that reads it."""

    def __init__(self, *, affine: bool = True, twice: bool = False, bias: bool = True, width: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv1d(3, width, 1, bias=bias)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width, affine=affine) for _ in range(1 if twice else 2))
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1, bias=bias) for _ in range(2))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for k, conv in enumerate(self.convs):
            x = x + conv(torch.relu(self.norms[k % len(self.norms)](x)))
        return self.head(x.mean(-1))


def usual():
    """Gains and biases everywhere."""
    return Stream(), EXAMPLE


def no_affine():
    """BatchNorms without gain and bias."""
    return Stream(affine=False), EXAMPLE


def no_bias():
    """Convolutions without biases."""
    return Stream(bias=False), EXAMPLE


def twice():
    """One BatchNorm in both branches."""
    return Stream(twice=True), EXAMPLE
