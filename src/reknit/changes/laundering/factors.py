"""``scale`` and ``sign``: factors on units that leave the function as it is; the module is asked which do."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from reknit.changes.laundering.permuting import refusal
from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import BasisStep, Facts, Given, doubled
from reknit.changes.laundering.words import Words
from reknit.skeleton.rotation import rows_of
from reknit.skeleton.symmetry import Scaling, Symmetry

HALVES = ("float16", "bfloat16")
"""Dtypes of few digits: factors are powers of two there, which cost none."""


@dataclass(frozen=True)
class _Factors(BasisStep):
    """Factors drawn for every class of one kind (``skeleton.scaling``)."""

    kind: ClassVar[Literal["positive", "sign"]]
    nothing: ClassVar[str]

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> Float[np.ndarray, "rows units"]:
        """Factors of one class."""

    def run(self, state: State, given: Given) -> tuple[State, Facts]:
        """The network with other factors.

        Raises:
            UsageError: no factor leaves the function as it is.
        """
        setting = self.setting(state)
        groups = {group.name: group for group in setting.skeleton.groups}
        free = [each for each in setting.scale_classes if each.factors == self.kind]
        drawn = []
        for each in free:
            group = groups[each.group]
            factors = self.draw(given.rng, (rows_of(setting.skeleton, group), group.size))
            if fnmatchcase(each.group, self.only):
                drawn.append(Scaling(each.group, each.exponents, factors))
        if not drawn:
            raise refusal(self, setting.skeleton, [each.group for each in free], self.nothing)
        symmetry = Symmetry(setting.skeleton, (), tuple(drawn))
        exact = any(dtype in HALVES for dtype in state.dtypes.values())
        if exact:
            symmetry = symmetry.in_powers_of_two()
        facts = [
            {
                "group": each.group,
                "factors": each.factors,
                "exponents": list(each.exponents),
                "members": [f"{member.slot}[{member.axis}]" for member in groups[each.group].members],
            }
            for each in symmetry.scalings
        ]
        moved = symmetry.apply(doubled(state.by_slot()))
        return state.with_slots(moved), {"groups": facts, "powers_of_two": exact}

    def undo(self, state: State, facts: Facts) -> State:
        """The same factors taken back."""
        skeleton = self.setting(state).skeleton
        scalings = tuple(Scaling(each["group"], tuple(each["exponents"]), each["factors"]) for each in facts["groups"])
        return state.with_slots(Symmetry(skeleton, (), scalings).inverse().apply(doubled(state.by_slot())))


@dataclass(frozen=True)
class Scale(_Factors):
    """Positive factors, their logarithms drawn evenly."""

    name = "scale"
    summary = "positive factors on units, undone where they are read"
    form = "scale[:MOST][@GROUP]"
    kind = "positive"
    nothing = "no factor on its units leaves the function as it is"

    most: float = 4.0

    @classmethod
    def read(cls, words: Words, only: str) -> Scale:
        """How far a factor is from 1 at most, either way."""
        most = words.number(4.0, 1.0, 1e6)
        words.end()
        return cls(only, most)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> Float[np.ndarray, "rows units"]:
        """Between 1 / most and most."""
        return np.exp(rng.uniform(-math.log(self.most), math.log(self.most), shape))


@dataclass(frozen=True)
class Sign(_Factors):
    """Half of all units turned."""

    name = "sign"
    summary = "units with the other sign, undone where they are read"
    form = "sign[@GROUP]"
    kind = "sign"
    nothing = "no unit may be turned in sign"

    @classmethod
    def read(cls, words: Words, only: str) -> Sign:
        """It takes no parameters."""
        words.end()
        return cls(only)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> Float[np.ndarray, "rows units"]:
        """1 or -1."""
        return rng.choice(np.array([1.0, -1.0]), shape)
