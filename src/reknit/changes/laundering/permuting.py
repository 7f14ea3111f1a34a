"""``permute``: the units of every coupled group in another order; groups within others, unit by unit of the outer."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import BasisStep, Facts, Given
from reknit.changes.laundering.words import Words
from reknit.errors import UsageError
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.symmetry import Permutation, Symmetry


@dataclass(frozen=True)
class Permute(BasisStep):
    """Orders drawn evenly from all."""

    name = "permute"
    summary = "units of coupled groups in another order"
    form = "permute[@GROUP]"

    @classmethod
    def read(cls, words: Words, only: str) -> Permute:
        """It takes no parameters."""
        words.end()
        return cls(only)

    def run(self, state: State, given: Given) -> tuple[State, Facts]:
        """The network with its units in a random order.

        Raises:
            UsageError: no units may be permuted.
        """
        skeleton = self.setting(state).skeleton
        drawn = Symmetry.random(skeleton, given.rng)
        chosen = tuple(each for each in drawn.permutations if fnmatchcase(each.group, self.only))
        if not chosen:
            raise refusal(self, skeleton, [each.group for each in drawn.permutations])
        symmetry = Symmetry(skeleton, chosen)
        within = {group.name: group.within for group in skeleton.groups}
        groups = [{"group": each.group, "within": within[each.group], "order": each.order} for each in chosen]
        return state.with_slots(symmetry.apply(state.by_slot())), {"groups": groups}

    def undo(self, state: State, facts: Facts) -> State:
        """Every unit back to its old place."""
        skeleton = self.setting(state).skeleton
        orders = tuple(Permutation(each["group"], each["order"]) for each in facts["groups"])
        return state.with_slots(Symmetry(skeleton, orders).inverse().apply(state.by_slot()))


def refusal(step: BasisStep, skeleton: Skeleton, free: list[str], reason: str = "") -> UsageError:
    """Why a step that changes the basis has nothing to do."""
    if free:
        problem = f"{step.name}: no group that it may change fits {step.only!r}"
        return UsageError(problem, "--how", f"Groups that it may change: {', '.join(sorted(set(free)))}")
    fixed = next((f"{group.name} is {group.fixed}" for group in skeleton.groups if group.fixed), "")
    why = reason or fixed
    return UsageError(
        f"{step.name}: {skeleton.name} has nothing that it may change{f': {why}' if why else ''}",
        "--how",
        "Leave it out; reknit couple shows the groups",
    )
