"""``fuse``: query, key and value matrices as one tensor; ``split``: the inverse. Which ones: ``attention_parts``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from reknit.changes.laundering.attention_parts import (
    fusable,
    named_cuts,
    names_of_parts,
    traced_cuts,
    why_none_is_fusable,
)
from reknit.changes.laundering.layout import Part, Stored
from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, LayoutStep
from reknit.changes.laundering.words import Words
from reknit.errors import UsageError


@dataclass(frozen=True)
class Fuse(LayoutStep):
    """Along the axis of the outputs."""

    name = "fuse"
    summary = "query, key and value stored as one tensor"
    form = "fuse[@TENSORS]"

    @classmethod
    def read(cls, words: Words, only: str) -> Fuse:
        """It takes no parameters."""
        words.end()
        return cls(only)

    def lay(self, stored: Sequence[Stored], state: State, given: Given) -> tuple[list[Stored], Facts]:  # noqa: ARG002
        """The same numbers, three tensors in one.

        Raises:
            UsageError: there are no three to fuse.
        """
        places = {each.key: k for k, each in enumerate(stored) if each.is_whole and each.name == each.key}
        fused: dict[int, Stored] = {}
        gone: set[int] = set()
        facts = {}
        for name, keys, axis in fusable(state, [key for key in places if fnmatchcase(key, self.only)]):
            three = [places[key] for key in keys]
            if gone & set(three) or name in state.order:
                continue
            parts = tuple(part for k in three for part in stored[k].parts)
            parts = tuple(replace(part, stop=state.tensors[part.key].shape[axis]) for part in parts)
            fused[three[0]] = Stored(name, parts, axis, stored[three[0]].axes)
            gone |= set(three)
            facts[name] = {"of": list(keys), "axis": axis}
        if not fused:
            raise UsageError(f"fuse: {why_none_is_fusable(state)}", "--how", "Leave it out, or choose other tensors")
        return [fused.get(k, each) for k, each in enumerate(stored) if k not in gone or k in fused], {"fused": facts}


@dataclass(frozen=True)
class Split(LayoutStep):
    """Along the axis of the outputs, into three."""

    name = "split"
    summary = "a fused query, key and value matrix stored as three tensors"
    form = "split[@TENSORS]"

    @classmethod
    def read(cls, words: Words, only: str) -> Split:
        """It takes no parameters."""
        words.end()
        return cls(only)

    def lay(self, stored: Sequence[Stored], state: State, given: Given) -> tuple[list[Stored], Facts]:  # noqa: ARG002
        """The same numbers, one tensor in three.

        Raises:
            UsageError: nothing is fused, or it is not known how.
        """
        laid: list[Stored] = []
        facts = {}
        slots = {key: slot for slot, key in state.slots.items()}
        for each in stored:
            shape = state.tensors[each.key].shape
            found = None
            if each.is_whole and each.name == each.key and fnmatchcase(each.key, self.only):
                told = state.setting.skeleton if state.setting else None
                found = traced_cuts(told, slots.get(each.key, "")) if told else named_cuts(state, each.key)
            if found is None:
                laid.append(each)
                continue
            axis, cuts = found
            names = names_of_parts(each.key)
            bounds = zip(cuts, (*cuts[1:], shape[axis]), strict=True)
            laid += [
                Stored(name, (Part(each.key, start, stop),), axis, each.axes)
                for name, (start, stop) in zip(names, bounds, strict=True)
            ]
            facts[each.key] = {"into": names, "axis": axis, "at": list(cuts)}
        if not facts:
            problem = "split: no query, key and value matrices are known to lie one behind the other in one tensor"
            raise UsageError(problem, "--how", "Leave it out, or name the skeleton with --like")
        return laid, {"split": facts}
