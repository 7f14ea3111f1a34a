"""What follows the name of a step: ``round:4:row``, in any order where words tell themselves apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reknit.errors import UsageError


class Words:
    """The parameters of one step, taken one by one; what is left at the end is refused.

    Args:
        said: the step as the user wrote it.
        words: what stood between colons behind its name.
        form: how it may be written, for the remedy.
    """

    def __init__(self, said: str, words: Sequence[str], form: str) -> None:
        self.said, self.form = said, form
        self._left = [word.strip() for word in words]

    def choice(self, usual: str, *others: str) -> str:
        """One of these words; the usual one if none is there."""
        for word in self._left:
            if word in (usual, *others):
                self._left.remove(word)
                return word
        return usual

    def flag(self, word: str) -> bool:
        """Whether a word is there."""
        return self.choice("", word) == word

    def pattern(self) -> tuple[int, int] | None:
        """``N:M``, if that is all that was said."""
        if len(self._left) == 2 and all(word.isdecimal() for word in self._left):
            first, second = map(int, self._left)
            self._left = []
            return first, second
        return None

    def integer(self, usual: int, least: int, most: int) -> int:
        """The next number, a whole one in a range.

        Raises:
            UsageError: it is not.
        """
        word = self._next_number()
        if word is None:
            return usual
        if not word.isdecimal() or not least <= int(word) <= most:
            raise self.wrong(f"{word} is no whole number from {least} to {most}")
        return int(word)

    def number(self, usual: float, least: float, most: float = math.inf) -> float:
        """The next number, above ``least`` and up to ``most``.

        Raises:
            UsageError: it is not.
        """
        word = self._next_number()
        if word is None:
            return usual
        if not least < float(word) <= most or math.isinf(float(word)):
            raise self.wrong(f"{word} is not above {least:g}{f' and up to {most:g}' if most < math.inf else ''}")
        return float(word)

    def end(self) -> None:
        """Refuse what is left.

        Raises:
            UsageError: something is.
        """
        if self._left:
            raise self.wrong(f"there is no parameter {self._left[0]!r}")

    def wrong(self, problem: str) -> UsageError:
        """The error that says how the step is written."""
        return UsageError(f"{self.said}: {problem}", "--how", f"Write {self.form}")

    def _next_number(self) -> str | None:
        for word in self._left:
            try:
                float(word)
            except ValueError:
                continue
            self._left.remove(word)
            return word
        return None
