"""``rename``: names that say nothing, or other words throughout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reknit.changes.laundering.layout import Stored, renamed
from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, LayoutStep
from reknit.changes.laundering.words import Words


@dataclass(frozen=True)
class Rename(LayoutStep):
    """``t_0``, ``t_1``, ... in the order of the file; or every word of a name replaced by another, numbers kept."""

    name = "rename"
    summary = "names that say nothing, or consistently other words"
    form = "rename[:anonymous|consistent]"

    how: str = "anonymous"

    @classmethod
    def read(cls, words: Words, only: str) -> Rename:
        """Which kind."""
        found = cls(only, words.choice("anonymous", "consistent"))
        words.end()
        return found

    def lay(self, stored: Sequence[Stored], state: State, given: Given) -> tuple[list[Stored], Facts]:  # noqa: ARG002
        """The same tensors under other names."""
        names = [each.name for each in stored]
        if self.how == "anonymous":
            new = [f"t_{k}" for k in range(len(names))]
        else:
            words = list(dict.fromkeys(word for name in names for word in _words(name)))
            places = given.rng.permutation(len(words))
            others = {word: f"w{place}" for word, place in zip(words, places.tolist(), strict=True)}
            new = [re.sub(r"[^\W\d_][^\W_]*", lambda found: others[found.group()], name) for name in names]
        return renamed(stored, new), {"names": dict(zip(names, new, strict=True))}


def _words(name: str) -> list[str]:
    """Every word of a name, without the numbers, dots and underscores between.

    >>> _words("blocks.0.attn_out.weight")
    ['blocks', 'attn', 'out', 'weight']
    """
    return re.findall(r"[^\W\d_][^\W_]*", name)
