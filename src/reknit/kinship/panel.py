"""A statistic beside those of independent networks: the calibrated tier.

Let P_1 .. P_n be networks trained independently of A, of the architecture and by the recipe of B, so that under the
hypothesis "B is independent of A" B and they are exchangeable. Then the conformal

    p = (1 + #{T(A, P_i) >= T(A, B)}) / (n + 1)

is super-uniform (Vovk, Gammerman, Shafer, "Algorithmic learning in a random world" (2005), doi:10.1007/b106715), for
every T, however dependent its parts are. It is never below 1 / (n + 1); a large gap between B and the panel does not
change that. What it rests on is the panel: networks on other data, or trained otherwise, make it worthless, and nothing
in the weights can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reknit.errors import UsageError


@dataclass(frozen=True)
class Placed:
    """Where a statistic stands among those of a panel.

    Attributes:
        statistic: T(A, B).
        panel: T(A, P_i).
    """

    statistic: float
    panel: tuple[float, ...]

    @property
    def log10_p(self) -> float:
        """log10 (1 + #{T_i >= T}) / (n + 1)."""
        return float(np.log10((1 + sum(each >= self.statistic for each in self.panel)) / (len(self.panel) + 1)))

    def randomised(self, u: float) -> float:
        """A p that is exactly uniform under the hypothesis, with u uniform on [0, 1): for tests of the test."""
        above = sum(each > self.statistic for each in self.panel)
        equal = sum(each == self.statistic for each in self.panel)
        return (above + u * (1 + equal)) / (len(self.panel) + 1)

    @property
    def highest(self) -> float:
        """The largest of the panel: the gap to it is descriptive."""
        return max(self.panel)


def placed(statistic: float, panel: Sequence[float]) -> Placed:
    """A statistic among those of a panel.

    Raises:
        UsageError: the panel is empty.

    >>> round(10 ** placed(9.0, [1.0, 2.0, 0.0, 1.0]).log10_p, 3)
    0.2
    """
    if not len(panel):
        raise UsageError("a panel of no networks says nothing", "--panel", "Name independent networks of this kind")
    return Placed(float(statistic), tuple(map(float, panel)))
