"""``low-rank``: a product of two thin matrices added to every matrix, as adapters leave it behind.

``W + x |W|_F D / |D|_F`` with ``D = left right``, both of rank r with normal entries: what remains of a merged LoRA (Hu
and others, 2021, arXiv 2106.09685). A convolution is taken as a matrix of output channels against all else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, NumberStep
from reknit.changes.laundering.words import Words


@dataclass(frozen=True)
class LowRank(NumberStep):
    """Matrices that are too small to have such a rank below their own are left as they are."""

    name = "low-rank"
    summary = "a change of rank r and relative size x added to every matrix"
    form = "low-rank[:RANK[:SIZE]][@TENSORS]"
    sort = "numbers"
    keeps_function = False

    rank: int = 8
    size: float = 0.1

    @classmethod
    def read(cls, words: Words, only: str) -> LowRank:
        """The rank, then the size beside the matrix."""
        found = cls(only, words.integer(8, 1, 1 << 20), words.number(0.1, 0.0))
        words.end()
        return found

    def run(self, state: State, given: Given) -> tuple[State, Facts]:
        """All matrices with their changes.

        Raises:
            UsageError: no matrix is large enough.
        """
        moved, facts, left = {}, {}, []
        for key in state.matrices(self.only):
            tensor = state.tensors[key].astype(np.float64)
            rows = tensor.reshape(len(tensor), -1)
            if min(rows.shape) <= self.rank:
                left.append(key)
                continue
            first = given.rng.standard_normal((rows.shape[0], self.rank))
            second = given.rng.standard_normal((self.rank, rows.shape[1]))
            change = first @ second
            first *= self.size * np.linalg.norm(rows) / np.linalg.norm(change)
            moved[key] = (rows + first @ second).reshape(tensor.shape)
            facts[key] = {"rank": self.rank, "size": self.size, "left": first, "right": second}
        if not moved:
            smallest = f"no matrix has more than {self.rank} rows and columns"
            raise Words(self.name, (), self.form).wrong(smallest)
        return state.with_numbers(moved), {"tensors": facts, "untouched": left}
