"""A step: what every kind of change offers, and what it is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from reknit.changes.laundering.state import State
from reknit.changes.laundering.words import Words
from reknit.errors import UsageError

if TYPE_CHECKING:
    from reknit.changes.laundering.layout import Stored
    from reknit.changes.laundering.setting import Setting
    from reknit.match.samples import Samples

Facts = Mapping[str, Any]
"""What was done, for the key: JSON's types, and numpy arrays."""
Sort = Literal["basis", "numbers", "layout"]


@dataclass(frozen=True, eq=False)
class Given:
    """What a step may draw on.

    Attributes:
        rng: its own; the same seed and place in the chain give the same draws.
        samples: inputs, with targets where the chain trains.
    """

    rng: np.random.Generator
    samples: Samples | None = None


@dataclass(frozen=True)
class Step(ABC):
    """One change.

    Attributes:
        only: a pattern that names of groups (of steps that change the basis) or of tensors have to fit.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    form: ClassVar[str]
    sort: ClassVar[Sort]
    keeps_function: ClassVar[bool]
    trains: ClassVar[bool] = False

    only: str = "*"

    @classmethod
    @abstractmethod
    def read(cls, words: Words, only: str) -> Step:
        """The step with these parameters."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What it was told, by name, for the key."""
        return vars(self)


class NumberStep(Step):
    """A change of numbers, or of the basis that they are in."""

    @classmethod
    @abstractmethod
    def read(cls, words: Words, only: str) -> NumberStep:
        """The step with these parameters."""

    @abstractmethod
    def run(self, state: State, given: Given) -> tuple[State, Facts]:
        """The network after it, and what was done."""


class BasisStep(NumberStep):
    """A change of numbers that leaves the function as it is, and can be taken back."""

    sort = "basis"
    keeps_function = True

    @abstractmethod
    def undo(self, state: State, facts: Facts) -> State:
        """The network before it."""

    def setting(self, state: State) -> Setting:
        """The skeleton.

        Raises:
            UsageError: none was named.
        """
        if state.setting is None:
            remedy = "Name the skeleton with --like"
            raise UsageError(f"{self.name} has to know which units are coupled", "--how", remedy)
        return state.setting


class LayoutStep(Step):
    """A change of how tensors lie in the file; every number stays."""

    sort = "layout"
    keeps_function = True

    @classmethod
    @abstractmethod
    def read(cls, words: Words, only: str) -> LayoutStep:
        """The step with these parameters."""

    @abstractmethod
    def lay(self, stored: Sequence[Stored], state: State, given: Given) -> tuple[list[Stored], Facts]:
        """The tensors of the file after it, and what was done."""


def doubled(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Floats in float64, so that each number is rounded once."""
    return {key: value.astype(np.float64) if value.dtype.kind == "f" else value for key, value in tensors.items()}


def relative(after: np.ndarray, before: np.ndarray) -> float:
    """How far a tensor moved, beside its size; of one that was zero, how far."""
    was = float(np.linalg.norm(before.astype(np.float64)))
    moved = float(np.linalg.norm(after.astype(np.float64) - before))
    return moved / was if was else moved
