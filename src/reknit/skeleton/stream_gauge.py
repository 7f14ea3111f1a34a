"""One form for all networks that differ by what a rotation may not touch: gains folded, what is never seen taken out.

``settle`` folds the norms of a group (``norm_folding``) and takes the mean over the units out of every member where it
changes no answer (``rotation_classes.unseen_along_ones``), as the mean subtraction of a LayerNorm folded into the
writers. ``restore`` puts another network's gains, shifts and means in. Averages may be taken before or after: with the
same gains g and shifts b in both networks, both are linear in what is averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reknit.errors import UsageError
from reknit.skeleton.norm_folding import FoldableNorm, foldable_norms, refit
from reknit.skeleton.rotation import has_equal_gains, places_of
from reknit.skeleton.rotation_classes import Answer, RotationClass, unseen_along_ones
from reknit.skeleton.skeleton import Group, Member, Skeleton

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StreamGauge:
    """What is folded, and taken out, of one group.

    Attributes:
        skeleton: whose group it is.
        group: the group.
        norms: those that can be folded.
        unseen: members whose mean over the units changes no answer.
        stuck: the slots of gains that cannot be folded, and why.
    """

    skeleton: Skeleton
    group: Group
    norms: tuple[FoldableNorm, ...]
    unseen: tuple[Member, ...]
    stuck: Mapping[str, str]

    @classmethod
    def of(cls, skeleton: Skeleton, found: RotationClass, answer: Answer) -> StreamGauge:
        """For a group that may be turned."""
        group = next(each for each in skeleton.groups if each.name == found.group)
        norms, stuck = foldable_norms(skeleton, group)
        unseen = unseen_along_ones(skeleton, group, norms, answer) if found.keeps_ones else ()
        return cls(skeleton, group, norms, unseen, stuck)

    def obstacle(self, tensors: Tensors) -> str:
        """The gain that keeps this network's stream from being turned, in words; empty if none does."""
        for member in self.group.members:
            reason = self.stuck.get(member.slot)
            if reason and not has_equal_gains(tensors[member.slot], self.group, member):
                return f"the gain {member.slot} cannot be folded: {reason}"
        return ""

    def settle(self, tensors: Tensors) -> dict[str, np.ndarray]:
        """The same function with gains of one, and nothing along what is never seen."""
        found = refit(self.group, self.norms, tensors, None)
        for member in self.unseen:
            found[member.slot] = self._along_ones(found[member.slot], member, without=True)
        return found

    def restore(self, tensors: Tensors, like: Tensors) -> dict[str, np.ndarray]:
        """A settled network with the gains, shifts and unseen parts of another.

        Raises:
            InputError: a gain of the other is zero.
            UsageError: the network is not settled.
        """
        if any((np.asarray(tensors[norm.gain]) != 1).any() for norm in self.norms):
            raise UsageError("a gain is not one", self.group.name, "Settle the network first")
        folded, found = refit(self.group, self.norms, like, None), dict(tensors)
        for member in self.unseen:
            found[member.slot] = found[member.slot] + self._along_ones(folded[member.slot], member, without=False)
        return refit(self.group, self.norms, found, like)

    def _along_ones(self, tensor: np.ndarray, member: Member, *, without: bool) -> np.ndarray:
        """The part along the vector of ones , or all without it."""
        first = np.moveaxis(np.asarray(tensor, dtype=np.float64), member.axis, 0)
        found = first.copy() if without else np.zeros_like(first)
        for index in places_of(self.skeleton, self.group, member):
            mean = first[index].mean(0, keepdims=True)
            found[index] = first[index] - mean if without else np.broadcast_to(mean, first[index].shape)
        return np.moveaxis(found, 0, member.axis)
