"""``prune``: a share of every matrix set to zero: the smallest, a random choice, or all but N of every M.

By magnitude: Han, Pool, Tran, Dally, "Learning both weights and connections for efficient neural networks" (2015, arXiv
1506.02626). N of M: Mishra and others, "Accelerating sparse deep neural networks" (2021, arXiv 2104.08378); groups lie
along a row (of a convolution: an output channel), and numbers behind the last whole group stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, NumberStep
from reknit.changes.laundering.words import Words


@dataclass(frozen=True)
class Prune(NumberStep):
    """Matrix by matrix; ties by place."""

    name = "prune"
    summary = "a share of every matrix set to zero, or all but N of M"
    form = "prune[:SHARE][:magnitude|random][@TENSORS] or prune:N:M, such as prune:2:4"
    sort = "numbers"
    keeps_function = False

    share: float = 0.5
    by: str = "magnitude"
    kept: int = 0
    of: int = 0

    @classmethod
    def read(cls, words: Words, only: str) -> Prune:
        """A share and how it is chosen, or N and M."""
        pattern = words.pattern()
        if pattern is not None:
            kept, of = pattern
            if not 0 < kept < of:
                raise words.wrong(f"{kept} of {of} is no pattern")
            return cls(only, 1 - kept / of, "pattern", kept, of)
        share, by = words.number(0.5, 0.0, 1.0), words.choice("magnitude", "random")
        words.end()
        return cls(only, share, by)

    def run(self, state: State, given: Given) -> tuple[State, Facts]:
        """All matrices with their masks on."""
        moved, facts = {}, {}
        for key in state.matrices(self.only):
            tensor = state.tensors[key]
            cut = self.cut(tensor, given.rng)
            moved[key] = np.where(cut, np.zeros((), tensor.dtype), tensor)
            facts[key] = {
                "by": self.by if not self.of else f"{self.kept}:{self.of}",
                "cut": int(cut.sum()),
                "share": float(cut.mean()),
                "zeros": int((moved[key] == 0).sum()),
            }
        return state.with_numbers(moved), {"tensors": facts}

    def cut(self, tensor: Float[np.ndarray, ...], rng: np.random.Generator) -> Bool[np.ndarray, ...]:
        """Where zeros are put."""
        if self.of:
            return all_but(tensor, self.kept, self.of)
        count = round(self.share * tensor.size)
        places = rng.permutation(tensor.size) if self.by == "random" else np.argsort(np.abs(tensor), None, "stable")
        cut = np.zeros(tensor.size, dtype=bool)
        cut[places[:count]] = True
        return cut.reshape(tensor.shape)


def all_but(tensor: Float[np.ndarray, ...], kept: int, of: int) -> Bool[np.ndarray, ...]:
    """The smallest ``of - kept`` of every ``of`` neighbours along each row."""
    rows = np.abs(tensor.reshape(len(tensor), -1))
    whole = rows.shape[1] // of * of
    groups = rows[:, :whole].reshape(len(rows), -1, of)
    order = np.argsort(groups, axis=2, kind="stable")
    cut = np.zeros(groups.shape, dtype=bool)
    np.put_along_axis(cut, order[:, :, : of - kept], True, 2)
    found = np.zeros(rows.shape, dtype=bool)
    found[:, :whole] = cut.reshape(len(rows), whole)
    return found.reshape(tensor.shape)
