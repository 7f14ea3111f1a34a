"""``transpose``: matrices with rows for columns, as other frameworks keep them.

Keras, JAX and ONNX graphs hold ``x W`` where torch holds ``x W^T``; their convolutions have the output channels last.
Tables that are looked up lie the same way everywhere: with a skeleton they stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from reknit.changes.laundering.layout import Stored
from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, LayoutStep
from reknit.changes.laundering.words import Words
from reknit.errors import UsageError


@dataclass(frozen=True)
class Transpose(LayoutStep):
    """Axes in another order."""

    name = "transpose"
    summary = "matrices (or all kernels, too) stored with their axes in another order"
    form = "transpose[:matrices|all][@TENSORS]"

    which: str = "matrices"

    @classmethod
    def read(cls, words: Words, only: str) -> Transpose:
        """Matrices alone, or the kernels of convolutions too."""
        found = cls(only, words.choice("matrices", "all"))
        words.end()
        return found

    def lay(self, stored: Sequence[Stored], state: State, given: Given) -> tuple[list[Stored], Facts]:  # noqa: ARG002
        """The same tensors, transposed.

        Raises:
            UsageError: there is none to transpose.
        """
        tables = _tables(state)
        laid, moved = [], []
        for each in stored:
            rank, wanted = len(each.axes), each.what in ("numbers", "codes") and fnmatchcase(each.key, self.only)
            if wanted and each.key not in tables and (rank == 2 or (rank > 2 and self.which == "all")):
                laid.append(replace(each, axes=(*each.axes[2:], each.axes[1], each.axes[0])))
                moved.append(each.name)
            else:
                laid.append(each)
        if not moved:
            raise UsageError("transpose: there is no matrix to transpose", "--how", "Leave it out")
        return laid, {"names": moved}


def _tables(state: State) -> set[str]:
    """The keys of tensors that are only looked up."""
    if state.setting is None:
        return set()
    uses = state.setting.skeleton.uses
    read = {slot for use in uses if use.operation != "embedding" for slot in use.slots.values()}
    looked_up = {slot for use in uses if use.operation == "embedding" for slot in use.slots.values()}
    return {state.slots[slot] for slot in looked_up - read if slot in state.slots}
