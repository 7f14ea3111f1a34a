"""``shuffle``: the tensors of the file in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reknit.changes.laundering.layout import Stored
from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, LayoutStep
from reknit.changes.laundering.words import Words


@dataclass(frozen=True)
class Shuffle(LayoutStep):
    """An order drawn evenly from all."""

    name = "shuffle"
    summary = "tensors in another order in the file"
    form = "shuffle"

    @classmethod
    def read(cls, words: Words, only: str) -> Shuffle:
        """It takes no parameters."""
        words.end()
        return cls(only)

    def lay(self, stored: Sequence[Stored], state: State, given: Given) -> tuple[list[Stored], Facts]:  # noqa: ARG002
        """The same tensors in a random order."""
        order = given.rng.permutation(len(stored))
        return [stored[k] for k in order], {"order": order}
