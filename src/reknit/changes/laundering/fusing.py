"""``fuse``: query, key and value matrices as one tensor; ``split``: the inverse.

Names tell them (``q_proj``, ``k_proj``, ``v_proj``, ...); where they do not, the attention of the skeleton does. What
does not read the same input is never fused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from reknit.changes.laundering.layout import Part, Stored
from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, LayoutStep
from reknit.changes.laundering.words import Words
from reknit.errors import UsageError
from reknit.skeleton.skeleton import Skeleton, Use

TRIPLES = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "qkv_lin": ("q_lin", "k_lin", "v_lin"),
    "query_key_value": ("query", "key", "value"),
    "to_qkv": ("to_q", "to_k", "to_v"),
    "wqkv": ("wq", "wk", "wv"),
    "qkv": ("q", "k", "v"),
}
"""The name of the fused layer -> the names of its three parts."""
FUSED = (*TRIPLES, "c_attn", "Wqkv", "in_proj")


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
        for name, keys, axis in _triples(state, [key for key in places if fnmatchcase(key, self.only)]):
            three = [places[key] for key in keys]
            if gone & set(three) or name in state.order:
                continue
            parts = tuple(part for k in three for part in stored[k].parts)
            parts = tuple(replace(part, stop=state.tensors[part.key].shape[axis]) for part in parts)
            fused[three[0]] = Stored(name, parts, axis, stored[three[0]].axes)
            gone |= set(three)
            facts[name] = {"of": list(keys), "axis": axis}
        if not fused:
            raise UsageError(f"fuse: {_why_none(state)}", "--how", "Leave it out, or choose other tensors")
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
                found = _cuts(each.key, shape, told, slots.get(each.key, ""))
            if found is None:
                laid.append(each)
                continue
            axis, cuts = found
            names = _split_names(each.key)
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


def _triples(state: State, keys: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """The name of the fused tensor, the keys of its parts, and the axis along which they lie."""
    known = set(keys)
    named = False
    for key in keys:
        words = key.split(".")
        for fused, (first, second, third) in TRIPLES.items():
            for at in (k for k, word in enumerate(words) if word == first):
                three = tuple(".".join([*words[:at], word, *words[at + 1 :]]) for word in (first, second, third))
                axis = _common_axis(state, three) if known.issuperset(three) else None
                if axis is not None and _one_input(state, three):
                    named = True
                    yield ".".join([*words[:at], fused, *words[at + 1 :]]), three, axis
    if not named and state.setting is not None:
        yield from _by_attention(state, known)


def _by_attention(state: State, known: set[str]) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """What the attention of the skeleton reads, where names say nothing."""
    skeleton = state.setting.skeleton if state.setting else None
    steps = {use.step: use for use in skeleton.uses} if skeleton else {}
    for meeting in skeleton.meetings if skeleton else ():
        if meeting.operation != "scaled_dot_product_attention":
            continue
        uses = [steps[each[0]] for each in meeting.operands.values() if len(each) == 1]
        if len({use.step for use in uses}) != 3:
            continue
        for argument in ("weight", "bias"):
            three = tuple(state.slots.get(use.slots.get(argument, ""), "") for use in uses)
            axis = _common_axis(state, three) if known.issuperset(three) else None
            if axis is not None and _one_input(state, three):
                yield f"{three[0]}.fused", three, axis


def _common_axis(state: State, keys: Sequence[str]) -> int | None:
    """The axis of the outputs: where the skeleton says so, or where only one can be; else that of torch's matrices."""
    shapes = [state.tensors[key].shape for key in keys]
    if len({len(shape) for shape in shapes}) > 1 or not shapes[0]:
        return None
    fits = [
        axis for axis in range(len(shapes[0])) if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) == 1
    ]
    written = _writes(state, keys[0])
    if written is not None:
        return written if written in fits else None
    return fits[0] if fits else None


def _writes(state: State, key: str) -> int | None:
    """The axis along which a tensor's outputs lie, as the skeleton has it."""
    if state.setting is None:
        return None
    slot = next((slot for slot, each in state.slots.items() if each == key), "")
    for group in state.setting.skeleton.groups:
        for member in group.members:
            if member.slot == slot and member.role in ("writes", "shifts"):
                return member.axis
    return None


def _one_input(state: State, keys: Sequence[str]) -> bool:
    """Whether all read the same, as far as a skeleton says."""
    if state.setting is None:
        return True
    slots = [slot for key in keys for slot, each in state.slots.items() if each == key]
    return len({_use_of(state.setting.skeleton, slot).sources for slot in slots}) == 1


def _use_of(skeleton: Skeleton, slot: str) -> Use:
    return next(use for use in skeleton.uses if slot in use.slots.values())


def _why_none(state: State) -> str:
    if state.codes:
        return "codes of several matrices cannot be one tensor: they have scales of their own"
    if any(word in FUSED for key in state.tensors for word in key.split(".")):
        return "query, key and value are one tensor already"
    return "there are no query, key and value matrices of one input"


def _cuts(key: str, shape: tuple[int, ...], skeleton: Skeleton | None, slot: str) -> tuple[int, tuple[int, ...]] | None:
    """The axis along which three matrices lie one behind the other, and where each begins; None: not known."""
    if skeleton is not None:
        return _traced_cuts(skeleton, slot)
    if not shape or not any(word in FUSED for word in key.replace("in_proj_", "in_proj.").split(".")):
        return None
    axes = [axis for axis, size in enumerate(shape) if len(shape) == 1 or size * (len(shape) - 1) == 3 * min(shape)]
    if len(axes) != 1 or shape[axes[0]] % 3:
        return None
    third = shape[axes[0]] // 3
    return axes[0], (0, third, 2 * third)


def _traced_cuts(skeleton: Skeleton, slot: str) -> tuple[int, tuple[int, ...]] | None:
    """Where the attention that reads a fused tensor takes it apart: at the places where its heads begin anew."""
    steps = {step for m in skeleton.meetings if "query" in m.operands for step in _fused_steps(m.operands)}
    uses = {use.step for use in skeleton.uses if slot in use.slots.values()}
    if not steps & uses:
        return None
    starts: Mapping[int, set[int]] = {}
    for group in skeleton.groups:
        for member in group.members:
            if member.slot == slot and member.role in ("writes", "shifts"):
                if member.gap:
                    return None  # fused head by head
                starts = {**starts, member.axis: {*starts.get(member.axis, set()), member.start}}
    if len(starts) != 1:
        return None
    ((axis, found),) = starts.items()
    return (axis, tuple(sorted(found))) if len(found) == 3 and 0 in found else None


def _fused_steps(operands: Mapping[str, tuple[int, ...]]) -> set[int]:
    """The use that query, key and value all come from."""
    sets = [set(operands.get(word, ())) for word in ("query", "key", "value")]
    return sets[0] if sets[0] == sets[1] == sets[2] and len(sets[0]) == 1 else set()


def _split_names(key: str) -> list[str]:
    words = key.split(".")
    for fused, three in TRIPLES.items():
        if fused in words:
            at = words.index(fused)
            return [".".join([*words[:at], word, *words[at + 1 :]]) for word in three]
    *place, layer, last = ["", *words] if len(words) > 1 else ["", key, ""]
    return [".".join(word for word in [*place, f"{layer}_{letter}", last] if word) for letter in "qkv"]
