"""``noise``: normal numbers added to every matrix, of a size beside its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, NumberStep
from reknit.changes.laundering.words import Words


@dataclass(frozen=True)
class Noise(NumberStep):
    """``W + x |W|_F N / |N|_F``; vectors stay, since a variance must not become negative."""

    name = "noise"
    summary = "normal noise of relative size x added to every matrix"
    form = "noise[:SIZE][@TENSORS]"
    sort = "numbers"
    keeps_function = False

    size: float = 0.1

    @classmethod
    def read(cls, words: Words, only: str) -> Noise:
        """Its size beside the matrix."""
        found = cls(only, words.number(0.1, 0.0))
        words.end()
        return found

    def run(self, state: State, given: Given) -> tuple[State, Facts]:
        """All matrices with noise of exactly this size, before rounding."""
        moved, facts = {}, {}
        for key in state.matrices(self.only):
            tensor = state.tensors[key].astype(np.float64)
            drawn = given.rng.standard_normal(tensor.shape)
            moved[key] = tensor + self.size * np.linalg.norm(tensor) / np.linalg.norm(drawn) * drawn
            facts[key] = {"size": self.size}
        return state.with_numbers(moved), {"tensors": facts}
