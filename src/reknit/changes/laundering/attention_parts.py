"""Which tensors are the query, key and value matrices of one attention, apart or as one tensor.

Names tell them (``q_proj``, ``k_proj``, ``v_proj``, ...); where they do not, the attention of the skeleton does. Those
that do not read the same input are no three parts of one tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reknit.changes.laundering.state import State
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


def fusable(state: State, keys: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...], int]]:
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


def why_none_is_fusable(state: State) -> str:
    """The reason, in words."""
    if state.codes:
        return "codes of several matrices cannot be one tensor: they have scales of their own"
    if any(word in FUSED for key in state.tensors for word in key.split(".")):
        return "query, key and value are one tensor already"
    return "there are no query, key and value matrices of one input"


def named_cuts(state: State, key: str) -> tuple[int, tuple[int, ...]] | None:
    """The axis along which three matrices lie one behind the other, and where each begins; None: not known.

    A matrix is three if one axis is three times as long as the other, a vector if it belongs to such a matrix.
    """
    layer = _fused_layer(key)
    if layer is None:
        return None
    shapes = [state.tensors[other].shape for other in state.tensors if _fused_layer(other) == layer]
    sizes = {max(shape) for shape in shapes if len(shape) == 2 and max(shape) == 3 * min(shape)}
    shape = state.tensors[key].shape
    axes = [axis for axis, size in enumerate(shape) if size in sizes]
    if len(sizes) != 1 or len(axes) != 1 or len(shape) > 2:
        return None
    third = shape[axes[0]] // 3
    return axes[0], (0, third, 2 * third)


def _fused_layer(key: str) -> str | None:
    """The name of the layer with a fused matrix that a tensor belongs to."""
    words = key.replace("in_proj_", "in_proj.").split(".")
    at = next((k for k, word in enumerate(words) if word in FUSED), None)
    return None if at is None else ".".join(words[: at + 1])


def traced_cuts(skeleton: Skeleton, slot: str) -> tuple[int, tuple[int, ...]] | None:
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


def names_of_parts(key: str) -> list[str]:
    """Names of the three parts.

    >>> names_of_parts("h.0.qkv_proj.weight")
    ['h.0.q_proj.weight', 'h.0.k_proj.weight', 'h.0.v_proj.weight']
    """
    words = key.split(".")
    for fused, three in TRIPLES.items():
        if fused in words:
            at = words.index(fused)
            return [".".join([*words[:at], word, *words[at + 1 :]]) for word in three]
    if "in_proj_" in words[-1]:
        return [key.replace("in_proj_", f"{letter}_proj_") for letter in "qkv"]
    at = max(len(words) - 2, 0)
    return [".".join([*words[:at], f"{words[at]}_{letter}", *words[at + 1 :]]) for letter in "qkv"]
