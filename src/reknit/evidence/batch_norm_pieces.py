"""What the bookkeeping of BatchNorms is about: the unit that repeats, and how wide its norms are.

    norm first (pre-activation)   x + conv_L( act( norm_L( ... conv_1( act( norm_1(x) ) ) ) ) )
    convolution first             act_stream( x + norm_L( conv_L( ... act( norm_1( conv_1(x) ) ) ) ) )

The second form is that of ResNets and, with ``stream_activation = "identity"``, of linear bottlenecks (MBConv).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " channels"]


@dataclass(frozen=True)
class Unit:
    """How the layers of one residual unit follow each other; as many norms as convolutions.

    Attributes:
        shapes: of the kernels, in the order of the forward pass.
        norm_first: whether the unit begins with a norm (pre-activation) or ends with one.
        activation: between the layers; a name that ``moments_after`` knows.
        stream_activation: after the branch was added to the stream.
        adds: whether the branch is added to the stream; otherwise it takes the stream's place, as where a stage begins.
    """

    shapes: tuple[tuple[int, ...], ...]
    norm_first: bool
    activation: str = "relu"
    stream_activation: str = "identity"
    adds: bool = True

    def __len__(self) -> int:
        """How many convolutions there are."""
        return len(self.shapes)

    @property
    def between(self) -> range:
        """The convolutions that stand between two norms: behind norm k, or k - 1, and before the next one."""
        return range(len(self) - 1) if self.norm_first else range(1, len(self))


def norm_widths(units: Sequence[Unit]) -> list[list[int]]:
    """Channels of every norm of every unit; the stream keeps its width where the norm comes first."""
    written = [[shape[0] for shape in unit.shapes] for unit in units]
    return [[row[-1], *row[:-1]] for row in written] if units[0].norm_first else written


def all_widths(units: Sequence[Unit], *, end: bool) -> list[list[int]]:
    """The same, with a row for the norm behind them all, where there is one (norms first only)."""
    widths = norm_widths(units)
    return [*widths, widths[-1][:1]] if end else widths
