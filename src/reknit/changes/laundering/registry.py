"""The steps that there are: a name, one line, whether the function stays, and how a chain is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reknit.changes.laundering.casting import Cast
from reknit.changes.laundering.factors import Scale, Sign
from reknit.changes.laundering.fine_tuning import FineTune
from reknit.changes.laundering.fusing import Fuse, Split
from reknit.changes.laundering.low_rank import LowRank
from reknit.changes.laundering.noise import Noise
from reknit.changes.laundering.permuting import Permute
from reknit.changes.laundering.pruning import Prune
from reknit.changes.laundering.renaming import Rename
from reknit.changes.laundering.rounding import Round
from reknit.changes.laundering.shuffling import Shuffle
from reknit.changes.laundering.step import LayoutStep, NumberStep
from reknit.changes.laundering.transposing import Transpose
from reknit.changes.laundering.turning import Rotate
from reknit.changes.laundering.words import Words
from reknit.errors import UsageError

LAYOUT_ORDER = (Split, Fuse, Transpose, Shuffle, Rename)
"""In which layout steps are done, whatever the order in which they were told: they say where tensors end up."""


@dataclass(frozen=True)
class Kind:
    """One kind of step.

    Attributes:
        step: its class.
    """

    step: type[NumberStep] | type[LayoutStep]

    @property
    def name(self) -> str:
        """As ``--how`` takes it."""
        return self.step.name

    @property
    def summary(self) -> str:
        """In one line."""
        return self.step.summary

    @property
    def form(self) -> str:
        """How it is written."""
        return self.step.form

    @property
    def keeps_function(self) -> bool:
        """Whether the network computes the same behind it."""
        return self.step.keeps_function

    @property
    def wants_skeleton(self) -> bool:
        """Whether it needs ``--like``."""
        return self.step.sort == "basis" or self.step.trains


KINDS: dict[str, Kind] = {
    step.name: Kind(step)
    for step in (
        Permute,
        Scale,
        Sign,
        Rotate,
        Cast,
        Round,
        Prune,
        LowRank,
        FineTune,
        Noise,
        Shuffle,
        Rename,
        Transpose,
        Fuse,
        Split,
    )
}


@dataclass(frozen=True)
class Told:
    """A step of a chain.

    Attributes:
        said: as the user wrote it.
        step: what it means.
    """

    said: str
    step: NumberStep | LayoutStep


def read_chain(how: str | Sequence[str]) -> tuple[Told, ...]:
    """The steps of a chain, separated by commas or given one by one.

    Raises:
        UsageError: there are none, one is unknown or has a wrong parameter, or a layout step comes twice.
    """
    parts = how.split(",") if isinstance(how, str) else [part for each in how for part in each.split(",")]
    told = tuple(_read_step(part.strip()) for part in parts)
    layout = [each.step.name for each in told if isinstance(each.step, LayoutStep)]
    for name in layout:
        if layout.count(name) > 1:
            raise UsageError(f"{name} comes twice", "--how", "Once is enough: it is done behind all else")
    return told


def _read_step(said: str) -> Told:
    before, at, only = said.partition("@")
    name, *words = before.split(":")
    name = name.strip()
    if name not in KINDS:
        problem = f"there is no step {name!r}" if name else "a step is empty"
        raise UsageError(problem, "--how", f"Choose from {', '.join(KINDS)}")
    kind = KINDS[name].step
    taken = Words(said, words, kind.form)
    if at and (not only or "@" not in kind.form):
        raise taken.wrong(f"{name} takes no pattern of names" if only else "there is no pattern behind @")
    return Told(said, kind.read(taken, only or "*"))
