"""The units of two networks as tables of numbers: a unit a row, what comes into it or goes out of it as features."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

Rows = Float[np.ndarray, "units features"]
Both = tuple[Rows, Rows]
"""Of A and of B."""

ROUNDS = 6


@dataclass(frozen=True, eq=False)
class UnitTable:
    """One group of units that may change places in law, in two networks.

    Attributes:
        name: of the group or the tensor's axis.
        size: number of units.
        matched: incoming weights that a matching may look at; None where there are none.
        incoming: all incoming weights, for Grams; a table for each tensor.
        outgoing: all outgoing weights, likewise.
        marks: one number a unit of A and of B: norms, biases, gains, to see whether units were sorted by one of them.
    """

    name: str
    size: int
    matched: Both | None
    incoming: tuple[Both, ...]
    outgoing: tuple[Both, ...]
    marks: tuple[tuple[str, np.ndarray, np.ndarray], ...] = field(default=(), repr=False)

    def rng(self, seed: int) -> np.random.Generator:
        """Coins that depend on the numbers and the seed, not on names nor on which network is the first."""
        parts = [*([self.matched] if self.matched is not None else []), *self.incoming, *self.outgoing]
        digests = sorted(_digest([pair[side] for pair in parts]) for side in (0, 1))
        drawn = hashlib.blake2b(b"".join(digests) + str(seed).encode(), digest_size=16).digest()
        return np.random.default_rng(int.from_bytes(drawn, "little"))

    def in_order(self) -> UnitTable:
        """The same with A and B in the order of a hash of their numbers: what is found is then the same both ways."""
        parts = [*([self.matched] if self.matched is not None else []), *self.incoming, *self.outgoing]
        if _digest([pair[0] for pair in parts]) <= _digest([pair[1] for pair in parts]):
            return self
        return UnitTable(
            self.name,
            self.size,
            None if self.matched is None else self.matched[::-1],
            tuple(pair[::-1] for pair in self.incoming),
            tuple(pair[::-1] for pair in self.outgoing),
            tuple((word, b, a) for word, a, b in self.marks),
        )


def balanced(rows: Rows) -> Rows:
    """D1 W D2 with positive diagonals such that rows, and columns, have about one norm; rows of length 1 at the end.

    Factors on units, and on the units they read, are gone (Sinkhorn's scaling of the squares, ``ROUNDS`` rounds). Rows
    and columns of zeros stay.
    """
    wide = np.array(rows, dtype=np.float64)
    for _ in range(ROUNDS):
        for axis in (0, 1):
            norms = np.linalg.norm(wide, axis=axis, keepdims=True)
            wide /= np.where(norms > 0, norms, 1.0)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(norms > 0, norms, 1.0))


def side_by_side(tables: Sequence[Rows]) -> Rows:
    """Tables of the same units, each balanced, one beside the other."""
    return np.concatenate([balanced(table) for table in tables], axis=1)


def _digest(arrays: Sequence[np.ndarray]) -> bytes:
    """Of the numbers, in an order that names do not change."""
    each = sorted(hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest() for array in arrays)
    return hashlib.blake2b(b"".join(each), digest_size=16).digest()
