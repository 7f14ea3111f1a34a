"""``rotate``: streams and the insides of heads turned by random orthogonal matrices, norms folded and put back.

Rotations of a stream: Ashkboos, Croci, do Nascimento, Hoefler, Hensman, "SliceGPT: compress large language models by
deleting rows and columns" (2024, arXiv 2401.15024). Here the gains of the norms stay what they were: they are folded,
the stream is turned, and they are unfolded again (``skeleton.norm_folding``), so that they give nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from reknit.changes.laundering.factors import HALVES
from reknit.changes.laundering.permuting import refusal
from reknit.changes.laundering.setting import Setting
from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import BasisStep, Facts, Given, doubled
from reknit.changes.laundering.words import Words
from reknit.match.turned_basis import TurnedBasis
from reknit.skeleton.rotation import Rotation
from reknit.skeleton.rotation_classes import RotationClass
from reknit.skeleton.stream_gauge import StreamGauge


@dataclass(frozen=True)
class Rotate(BasisStep):
    """Drawn evenly from all orthogonal matrices that leave the function as it is."""

    name = "rotate"
    summary = "streams and insides of heads turned by orthogonal matrices"
    form = "rotate[:all|streams|heads][@GROUP]"

    which: str = "all"

    @classmethod
    def read(cls, words: Words, only: str) -> Rotate:
        """What is turned."""
        which = words.choice("all", "streams", "heads")
        words.end()
        return cls(only, which)

    def run(self, state: State, given: Given) -> tuple[State, Facts]:
        """The network turned; halves become float32, since turned numbers need all digits.

        Raises:
            UsageError: nothing may be turned.
        """
        setting, tensors = self.setting(state), doubled(state.by_slot())
        free, gauges, refused = _turnable(setting, tensors)
        within = {group.name: group.within for group in setting.skeleton.groups}
        wanted = {"all": (True, False), "streams": (True,), "heads": (False,)}[self.which]
        chosen = [
            each for each in free if (within[each.group] is None) in wanted and fnmatchcase(each.group, self.only)
        ]
        if not chosen:
            largest = max(setting.skeleton.groups, key=lambda group: len(group.members) * (group.name in refused))
            raise refusal(self, setting.skeleton, [each.group for each in free], _why(largest.name, refused))
        rotations = tuple(
            Rotation.random(setting.skeleton, each.group, given.rng, keeps_ones=each.keeps_ones) for each in chosen
        )
        groups = [
            {
                "group": rotation.group,
                "within": within[rotation.group],
                "matrix": rotation.matrix,
                "keeps_ones": each.keeps_ones,
                "folded": [norm.gain for norm in gauges[rotation.group].norms] if rotation.group in gauges else [],
            }
            for rotation, each in zip(rotations, chosen, strict=True)
        ]
        return _turned(setting, state, tensors, rotations, gauges), {"groups": groups, "not_turned": refused}

    def undo(self, state: State, facts: Facts) -> State:
        """Turned back, to rounding."""
        setting, tensors = self.setting(state), doubled(state.by_slot())
        _, gauges, _ = _turnable(setting, tensors)
        rotations = tuple(
            Rotation(setting.skeleton, each["group"], each["matrix"]).inverse() for each in reversed(facts["groups"])
        )
        return _turned(setting, state, tensors, rotations, gauges)


def _turned(
    setting: Setting,
    state: State,
    tensors: Mapping[str, np.ndarray],
    rotations: tuple[Rotation, ...],
    gauges: Mapping[str, StreamGauge],
) -> State:
    used = tuple(gauges[each.group] for each in rotations if each.group in gauges)
    moved = TurnedBasis(setting.skeleton, used, rotations, tensors).apply(tensors)
    changed = [slot for slot, value in moved.items() if not np.array_equal(value, tensors[slot])]
    halves = {slot: "float32" for slot in changed if state.dtypes[state.slots[slot]] in HALVES}
    return state.with_slots({slot: moved[slot] for slot in changed}, halves)


def _turnable(
    setting: Setting, tensors: Mapping[str, np.ndarray]
) -> tuple[list[RotationClass], dict[str, StreamGauge], dict[str, str]]:
    """What may be turned in this network, how the norms of its streams are folded, and why others may not."""
    classes, reasons = setting.rotations
    refused, free, gauges = dict(reasons), [], {}
    within = {group.name: group.within for group in setting.skeleton.groups}
    for each in classes:
        gauge = StreamGauge.of(setting.skeleton, each, setting.answer)
        reason = gauge.obstacle(tensors)
        if reason:
            refused[each.group] = reason
            continue
        free.append(each)
        if within[each.group] is None:
            gauges[each.group] = gauge
    return free, gauges, refused


def _why(group: str, refused: Mapping[str, str]) -> str:
    return f"{group} is not turned, since {refused[group]}" if group in refused else ""
