"""Orders (and factors) of units found so far: what holds for the rows of one tensor holds for the columns of another.

Without a skeleton it is not known which axes run over the same units. But a tensor whose other axis is known tells its
units, and those are then tried wherever an axis has their number: a network is unravelled from what is fixed (inputs,
tokens, classes) inwards. Every order is proven, or believed, tensor by tensor (``naming.permutation``); the pool only
says what to try.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

PLAIN = 1e-6
"""Of factors that are 1."""
MOST = 48
"""Orders of one size that are tried."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Units of A for those of B.

    Attributes:
        order: the unit of A for every unit of B.
        factors: on them, of either sign; None where there are none.
        slack: their relative error.
        layer: where it was found.
    """

    order: Int[np.ndarray, " units"] = field(repr=False)
    factors: Float[np.ndarray, " units"] | None = field(default=None, repr=False)
    slack: float = 0.0
    layer: str = ""

    @property
    def moves(self) -> bool:
        """Whether it is another order than that of A."""
        return bool((self.order != np.arange(len(self.order))).any())


@dataclass(eq=False)
class Pool:
    """Every basis found so far, by number of units, in the order in which they were found."""

    found: dict[int, list[Basis]] = field(default_factory=dict)

    def add(self, basis: Basis) -> bool:
        """Take a basis in; whether it is new, and not what is tried anyway."""
        if not basis.moves and (basis.factors is None or np.abs(basis.factors - 1).max() < PLAIN):
            return False
        known = self.found.setdefault(len(basis.order), [])
        for each in known:
            same = np.array_equal(each.order, basis.order)
            if same and (basis.factors is None or _equal(each.factors, basis.factors)):
                return False
        known.append(basis)
        return True

    def orders(self, size: int) -> list[Int[np.ndarray, " units"]]:
        """The different orders of so many units: the identity, then those found."""
        seen = {np.arange(size).tobytes(): np.arange(size)}
        for each in self.found.get(size, ()):
            seen.setdefault(each.order.tobytes(), each.order)
        return list(seen.values())[:MOST]

    def bases(self, size: int, layer: str = "") -> Iterator[Basis]:
        """Those of a layer first, then the identity, then all others."""
        known = self.found.get(size, [])
        own = [each for each in known if each.layer == layer]
        yield from own
        yield Basis(np.arange(size))
        yield from [each for each in known if each.layer != layer][-MOST:]

    def with_factors(self, order: Int[np.ndarray, " units"]) -> list[Basis]:
        """Those of one order that have factors."""
        known = self.found.get(len(order), ())
        return [each for each in known if each.factors is not None and np.array_equal(each.order, order)][-MOST:]

    def different(self) -> int:
        """How many different orders move units."""
        return sum(len({each.order.tobytes() for each in known if each.moves}) for known in self.found.values())


def _equal(first: np.ndarray | None, second: np.ndarray) -> bool:
    return first is not None and bool(np.allclose(first, second, rtol=1e-5))
