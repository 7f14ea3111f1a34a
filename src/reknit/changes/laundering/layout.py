"""How the tensors of a network lie in its file: names, order, axes, fused or cut; laid out and taken back, bit by bit.

Steps that change numbers know nothing of this: rows and columns are those of the file that was read. So steps of both
sorts can be told in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from reknit.changes.laundering.state import Codes, State
from reknit.containers.safetensors_bytes import Named
from reknit.errors import InputError

What = Literal["numbers", "codes", "scales", "zeros"]
SUFFIXES: Mapping[What, str] = {"codes": "_quantized", "scales": "_scale", "zeros": "_zero_point"}
"""As ONNX Runtime names them."""


@dataclass(frozen=True)
class Part:
    """A stretch of a tensor along an axis.

    Attributes:
        key: of the tensor.
        start: first position.
        stop: behind the last one.
    """

    key: str
    start: int
    stop: int


@dataclass(frozen=True)
class Stored:
    """One tensor of the file to be written.

    Attributes:
        name: in the file.
        parts: what it holds, one behind the other along an axis.
        axis: that axis.
        axes: the order in which the axes are stored.
        what: numbers, or their codes, scales or zero points.
    """

    name: str
    parts: tuple[Part, ...]
    axis: int
    axes: tuple[int, ...]
    what: What = "numbers"

    @property
    def key(self) -> str:
        """Of its first part."""
        return self.parts[0].key

    @property
    def is_whole(self) -> bool:
        """Whether it is numbers of one tensor, uncut; a step that cuts or fuses takes no other."""
        return self.what == "numbers" and len(self.parts) == 1 and self.parts[0].start == 0


def first_layout(state: State) -> list[Stored]:
    """Every tensor under its own key; codes with their scales behind them."""
    found = []
    for name in state.order:
        key = state.copies.get(name, name)
        codes = state.codes.get(key)
        if codes is None:
            found.append(_whole(name, key, state.tensors[key].shape, "numbers"))
            continue
        found.append(_whole(name + SUFFIXES["codes"], key, codes.codes.shape, "codes"))
        found.append(_whole(name + SUFFIXES["scales"], key, codes.scales.shape, "scales"))
        if codes.zeros is not None:
            found.append(_whole(name + SUFFIXES["zeros"], key, codes.zeros.shape, "zeros"))
    return found


def _whole(name: str, key: str, shape: tuple[int, ...], what: What) -> Stored:
    return Stored(name, (Part(key, 0, shape[0] if shape else 1),), 0, tuple(range(len(shape))), what)


def laid_out(state: State, stored: Sequence[Stored]) -> list[Named]:
    """The tensors of the file."""
    return [_laid(state, each) for each in stored]


def _laid(state: State, stored: Stored) -> Named:
    arrays = [_content(state, part.key, stored.what) for part in stored.parts]
    dtypes = {state.dtypes[part.key] for part in stored.parts}
    if stored.what == "numbers" and len(dtypes) > 1:
        keys = " and ".join(part.key for part in stored.parts)
        raise InputError(f"{keys} are of different dtypes and cannot be one tensor", "--how", "Cast them first")
    cut = [
        array if not array.ndim else array.take(range(part.start, part.stop), stored.axis)
        for array, part in zip(arrays, stored.parts, strict=True)
    ]
    whole = cut[0] if len(cut) == 1 else np.concatenate(cut, stored.axis)
    dtype = dtypes.pop() if stored.what == "numbers" else whole.dtype.name
    return Named(stored.name, whole.transpose(stored.axes), dtype)


def _content(state: State, key: str, what: What) -> np.ndarray:
    if what == "numbers":
        return state.tensors[key]
    codes = state.codes[key]
    found = {"codes": codes.codes, "scales": codes.scales, "zeros": codes.zeros}[what]
    return found if found is not None else np.zeros(0)


@dataclass(frozen=True)
class Form:
    """What is to be known of a tensor of A to put it together again.

    Attributes:
        shape: of it.
        scale_axis: of its scales, if it is kept as codes.
    """

    shape: tuple[int, ...]
    scale_axis: int | None = None


def taken_back(
    arrays: Mapping[str, np.ndarray], stored: Sequence[Stored], forms: Mapping[str, Form]
) -> dict[str, np.ndarray]:
    """Key -> numbers, from the tensors of a file: names, order, axes, fusions and codes undone.

    Args:
        arrays: name in the file -> numbers.
        stored: how they were laid out.
        forms: of every key.

    Raises:
        InputError: a tensor is missing or has another shape, or two copies of one differ.
    """
    found: dict[tuple[str, What], np.ndarray] = {}
    for each in stored:
        if each.name not in arrays:
            raise InputError(f"{each.name} is missing", "", "Give the key that was written with this file")
        straight = np.transpose(arrays[each.name], np.argsort(each.axes)) if each.axes else arrays[each.name]
        at = 0
        for part in each.parts:
            length = part.stop - part.start
            piece = straight if not straight.ndim else straight.take(range(at, at + length), each.axis)
            at += length
            _put(found, each, part, piece, forms[part.key].shape)
    keys = dict.fromkeys(key for key, _ in found)
    return {key: _decoded(found, key, forms[key]) for key in keys}


def _put(
    found: dict[tuple[str, What], np.ndarray], stored: Stored, part: Part, piece: np.ndarray, shape: tuple[int, ...]
) -> None:
    place = part.key, stored.what
    if stored.what in ("scales", "zeros") or not shape or piece.shape == shape:
        if place in found and not same_bits(found[place], piece):
            raise InputError(f"{part.key} is stored twice and differs", stored.name)
        found[place] = piece
        return
    if place not in found:
        found[place] = np.zeros(shape, piece.dtype)
    index = [slice(None)] * len(shape)
    index[stored.axis] = slice(part.start, part.stop)
    found[place][tuple(index)] = piece


def same_bits(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two arrays are the same to the bit, whatever they hold."""
    return (first.dtype, first.shape, first.tobytes()) == (second.dtype, second.shape, second.tobytes())


def _decoded(found: Mapping[tuple[str, What], np.ndarray], key: str, form: Form) -> np.ndarray:
    if (key, "codes") not in found:
        return found[key, "numbers"]
    return Codes(found[key, "codes"], found[key, "scales"], found.get((key, "zeros")), form.scale_axis).numbers()


def forms_of(state: State) -> dict[str, Form]:
    """Of every key."""
    return {
        key: Form(value.shape, state.codes[key].axis if key in state.codes else None)
        for key, value in state.tensors.items()
    }


def renamed(stored: Sequence[Stored], names: Sequence[str]) -> list[Stored]:
    """The same under other names."""
    return [replace(each, name=name) for each, name in zip(stored, names, strict=True)]
