"""What is asked of ``assemble`` beyond the files: checked before any of them is read."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from reknit.assembly.problem import LARGEST
from reknit.assembly.settings import settings
from reknit.assembly.starts import STARTS
from reknit.errors import UsageError
from reknit.solvers.row_selection import CHOICES

METHODS = ("commutator", "hill-climb")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of ``assemble`` by the names of its arguments; see there.

    Raises:
        UsageError: an option has no such value; a name lists the choices.
    """

    target: str | None = None
    inputs: str | None = None
    activation: str | None = None
    norm: str | None = None
    method: str = "commutator"
    start: str = "seriation"
    rows: int | None = None
    choose: str | None = None
    seed: int = 0
    noise: float | None = None
    threads: int | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        for name, value, choices in (("--method", self.method, METHODS), ("--start", self.start, STARTS)):
            if value not in choices:
                raise UsageError(f"there is no {name[2:]} {value!r}", name, f"Choose one of {', '.join(choices)}")
        if self.choose is not None and self.choose not in CHOICES:
            fault = f"there is no way {self.choose!r} to choose rows"
            raise UsageError(fault, "--choose", f"Choose one of {', '.join(CHOICES)}")
        if self.choose is not None and self.rows is None:
            raise UsageError("it says which rows the search gets, not how many", "--choose", "Add --rows N")
        for name, number, least in (("--rows", self.rows, 1), ("--threads", self.threads, 1), ("--seed", self.seed, 0)):
            if number is not None and number < least:
                raise UsageError(f"{number} is too small", name, f"Give a whole number of at least {least}")
        if self.budget is not None and not self.budget > 0:
            raise UsageError(f"{self.budget} is no time", "--budget", "Give a positive number of seconds")
        if self.noise is not None and not 0 <= self.noise <= LARGEST:
            remedy = f"Give a number from 0 to {LARGEST:g}, in units of the outputs"
            raise UsageError(f"{self.noise} is no standard deviation", "--noise", remedy)
        settings(self.activation, self.norm)  # names the choices if there is no such activation or norm

    def deciding(self) -> tuple[object, ...]:
        """The options that decide the answer, for the fingerprint of a checkpoint; time and threads do not."""
        chosen = (self.activation, self.norm, self.method, self.start, self.rows, self.seed, self.noise or 0.0)
        return (self.target, self.inputs, *chosen, self.choose or "uniform")

    def command(self, pieces: str, data: str, threads: int) -> str:
        """The command line that repeats a run."""
        words = ["reknit", "assemble", pieces, "--data", data]
        for name, value in (vars(self) | {"threads": threads}).items():
            if value is not None and not (name == "noise" and not value):
                words += [f"--{name}", str(value)]
        return shlex.join(words)


def refuse_foreign(options: Mapping[str, object], because: str) -> None:
    """Refuse what was asked of another kind of network.

    Args:
        options: flag -> what it was given; None: it was not.
        because: the fact.

    Raises:
        UsageError: one was given.
    """
    for name, value in options.items():
        if value is not None:
            raise UsageError(because, name, "Leave it out")
