"""The numbers themselves: two networks hold the same ones, whatever the order and the factors of their units.

No test can be exact by symmetry alone and see through every permutation of units (docs/kinship.md). This one rests on
something else, which is said with it: in independent networks a weight comes within ``WINDOW`` of its counterpart, in
units of the root mean square, with a probability of at most ``CHANCE`` whatever the other weights are. Then, for k of n
weights that agree so in one of M arrangements, by the union bound over arrangements and choices of weights,

    P <= M * C(n, k) * CHANCE^k

Weights that are 0 in either network are left out, and matrices that agree in independent networks, too
(``Aligned.left_out``): on a grid of few levels, written rather than drawn (sines, windows, filter banks), or with no
hidden units at either end, as where training leads to the only minimum there is. Copies with the slightest training
behind them do not agree and are not found this way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from reknit.kinship.aligned import Aligned
from reknit.kinship.fixed_points import LN10

WINDOW, CHANCE = 1e-4, 1 / 16


@dataclass(frozen=True)
class SameNumbers:
    """Weights of two networks that agree.

    Attributes:
        agree: how many do, within ``WINDOW``.
        numbers: how many were compared.
        log10_p: the bound.
    """

    agree: int
    numbers: int
    log10_p: float

    @property
    def share(self) -> float:
        """Of all that were compared."""
        return self.agree / self.numbers if self.numbers else 0.0


def same_numbers(found: Aligned) -> SameNumbers:
    """How many weights of two networks in one basis agree, and how improbable that is."""
    agree = numbers = 0
    for key, x in found.left.items():
        if key in found.left_out:
            continue
        y = found.right[key]
        held = (x != 0) & (y != 0)
        size = np.sqrt(np.mean(np.square(x[held]))) if held.any() else 1.0
        agree += int((np.abs(x - y)[held] <= WINDOW * size).sum())
        numbers += int(held.sum())
    choices = gammaln(numbers + 1) - gammaln(agree + 1) - gammaln(numbers - agree + 1)
    bound = found.ln_arrangements + choices + agree * np.log(CHANCE)
    return SameNumbers(agree, numbers, min(float(bound) / LN10, 0.0))
