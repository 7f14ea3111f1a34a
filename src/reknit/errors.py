"""Everything reknit raises on purpose.

    ReknitError                  problem, where, remedy: one sentence each
    |-- InputError               what was given cannot be used (exit status 2)
    |   |-- UsageError           an option has no such value, or two options contradict each other
    |   |-- ContainerError       a file that holds tensors is unreadable, damaged or hostile
    |   |-- PileError            the pieces are readable but do not make one network
    |   `-- TableError           the data table is unreadable or lacks what was asked of it
    `-- OutputError              the answer cannot be written where it was asked for (exit status 2)

Inner code raises the fact; the public verb adds nothing but lets it through. Every sentence is tested.
"""

from __future__ import annotations

from pathlib import Path


class ReknitError(Exception):
    """What is wrong, where, and what to do about it.

    Args:
        problem: the fact, in one sentence without a full stop.
        where: the file, piece, column or option it was found in; may be empty.
        remedy: what the user can do, in one sentence without a full stop; may be empty.
    """

    def __init__(self, problem: str, where: str | Path = "", remedy: str = "") -> None:
        super().__init__(problem, str(where), remedy)
        self.problem = problem
        self.where = str(where)
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{text}. {self.remedy}." if self.remedy else f"{text}."

    def as_json(self) -> dict[str, str]:
        """The object that ``--json`` prints in place of an answer."""
        return {"problem": self.problem, "where": self.where, "remedy": self.remedy}


class InputError(ReknitError):
    """What was given cannot be used."""


class UsageError(InputError):
    """An option has no such value, or two options contradict each other."""


class ContainerError(InputError):
    """A file that holds tensors is unreadable, damaged or hostile."""


class PileError(InputError):
    """The pieces can be read but do not make one network."""


class TableError(InputError):
    """The data table is unreadable or lacks what was asked of it."""


class OutputError(ReknitError):
    """The answer cannot be written where it was asked for."""
