"""What a merge is asked for, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reknit import __version__
from reknit.errors import UsageError
from reknit.match.finding import AlignOptions
from reknit.match.mend_rules import find_rule
from reknit.match.methods import Method, find_method

NO_METHOD = "none"


@dataclass(frozen=True)
class MergeOptions:
    """What decides the answer of ``reknit.merge``; its arguments of these names say what each means.

    Attributes:
        like: the skeleton of all.
        data: inputs, and perhaps targets.
        method: how networks are aligned, or ``none``.
        weights: share of each network; None: equal, or those of the decay.
        by_slot: pattern of slots -> other shares.
        decay: the learning rate that is emulated.
        steps: of the checkpoints of a decay.
        mend: by which rule statistics are set right; True: the usual one, False: none.
        answers: how they are read.
        star: steps of a star model.
        input_shape: of an example input.
        seed: of everything that is drawn.

    Raises:
        UsageError: there is no such method or reading, or two options contradict each other.
    """

    like: str
    data: str | Path | None = None
    method: str = "weights"
    weights: Sequence[float] | None = None
    by_slot: Mapping[str, Sequence[float]] = field(default_factory=dict)
    decay: str | None = None
    steps: Sequence[int] | None = None
    mend: str | bool = True
    answers: str | None = None
    star: int | None = None
    input_shape: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.answers not in (None, "classes", "numbers"):
            problem = f"answers are not read as {self.answers!r}"
            raise UsageError(problem, "--answers", "Choose one of classes, numbers")
        if self.star is not None and (self.weights or self.by_slot):
            raise UsageError("a star has no shares", "--star", "Leave the weights out")
        if self.star is not None and self.method != "weights":
            problem = f"a star is aligned by weights, not by {self.method}"
            raise UsageError(problem, "--star", "Leave the method out")
        if self.decay is None and self.steps is not None:
            raise UsageError("they are the steps of a decay", "--steps", "Name it with --decay")
        if self.decay is not None and (self.weights is not None or self.star is not None):
            raise UsageError("the decay says what the shares are", "--decay", "Leave --weights and --star away")
        if self.decay == "inverse-sqrt" and self.steps is None:
            raise UsageError("it depends on the steps themselves", "--decay", "Give them with --steps")
        find_rule(self.mend)
        self.align  # noqa: B018  refuses what no alignment takes

    @property
    def align(self) -> AlignOptions:
        """How networks are brought into one basis, if they are."""
        return AlignOptions(self.like, self.method if self.aligned else "weights", self.input_shape, seed=self.seed)

    @property
    def aligned(self) -> Method | None:
        """The method that aligns; None: networks are averaged as they are."""
        return None if self.method == NO_METHOD or self.decay is not None else find_method(self.method)

    @property
    def trains(self) -> str:
        """The option that asks for training; empty: none does."""
        return "--star" if self.star is not None else "--method" if self.aligned and self.aligned.wants_targets else ""

    @property
    def streams(self) -> bool:
        """Whether tensors can be averaged as they come, without any network as a whole."""
        return self.aligned is None and self.star is None

    def shares(self, count: int) -> tuple[float, ...]:
        """The share of each of so many networks.

        Raises:
            UsageError: there are more or fewer steps, or no such decay.
        """
        if self.decay is not None:
            from reknit.match.wsm import averaging_weights

            if self.steps is not None and len(self.steps) != count:
                raise UsageError(f"there are {len(self.steps)} steps for {count} networks", "--steps", "One for each")
            return tuple(float(c) for c in averaging_weights(self.decay, self.steps or range(1, count + 1)))
        return tuple([1 / count] * count if self.weights is None else self.weights)

    def as_json(self, count: int) -> dict[str, Any]:
        """What the result says it was asked, of so many networks."""
        return {
            "like": self.like,
            "method": self.method if self.aligned else NO_METHOD,
            "weights": list(self.shares(count)),
            "by_slot": {pattern: list(each) for pattern, each in self.by_slot.items()},
            "star": self.star,
            "answers": self.answers,
            "mend": find_rule(self.mend) or "none",
            "seed": self.seed,
            "version": __version__,
        }
