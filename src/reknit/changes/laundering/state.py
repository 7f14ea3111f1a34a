"""A network on its way: the numbers under the keys that its file had, and how each will be stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Integer

from reknit.containers.dtypes import NUMPY_DTYPES, is_float
from reknit.containers.tensors import Tensors, read_tensors
from reknit.errors import InputError, UsageError
from reknit.match.networks import read_network

if TYPE_CHECKING:
    from reknit.changes.laundering.setting import Setting


OWN_FLOATS = ("float16", "float32", "float64")
"""Those that numpy computes with; others are held in float32."""


@dataclass(frozen=True, eq=False)
class Codes:
    """A tensor as whole numbers: ``(codes - zeros) * scales``.

    Attributes:
        codes: in the shape of the tensor.
        scales: one for each position on the axis, or one.
        zeros: the code of zero, likewise; None: it is 0.
        axis: the scales lie along it; None: one scale for all.
    """

    codes: Integer[np.ndarray, ...]
    scales: Float[np.ndarray, ...]
    zeros: Integer[np.ndarray, ...] | None
    axis: int | None

    def numbers(self) -> Float[np.ndarray, ...]:
        """The tensor, in float32."""
        codes = self.codes.astype(np.int64)
        if self.zeros is not None:
            codes = codes - self._along(self.zeros.astype(np.int64))
        return np.asarray(codes.astype(np.float32) * self._along(self.scales))

    def _along(self, values: np.ndarray) -> np.ndarray:
        return values.reshape([-1 if k == self.axis else 1 for k in range(self.codes.ndim)])


@dataclass(frozen=True, eq=False)
class State:
    """All numbers of a network between two steps.

    Attributes:
        tensors: key -> numbers, each a value of its dtype; halves are held in float32.
        dtypes: key -> the dtype to be stored in.
        order: every key, in the order of the file; copies too.
        copies: key -> the key whose tensor it repeats.
        slots: slot of the skeleton -> key; empty without a skeleton.
        setting: the skeleton and what runs it.
        codes: key -> the codes that it will be stored as.
    """

    tensors: Mapping[str, np.ndarray]
    dtypes: Mapping[str, str]
    order: tuple[str, ...]
    copies: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, str] = field(default_factory=dict)
    setting: Setting | None = None
    codes: Mapping[str, Codes] = field(default_factory=dict)

    def floats(self, only: str = "*", least: int = 0) -> list[str]:
        """The keys of tensors of floating point, of at least so many axes, that a pattern fits.

        Raises:
            UsageError: there are none.
            InputError: one of them holds what is no number.
        """
        found = [
            key
            for key in self.order
            if key in self.tensors
            and is_float(self.dtypes[key])
            and self.tensors[key].ndim >= least
            and self.tensors[key].size
            and fnmatchcase(key, only)
        ]
        what = "matrix" if least > 1 else "tensor of floating point"
        if not found:
            named = "" if only == "*" else f" whose name fits {only!r}"
            raise UsageError(f"there is no {what}{named}", "--how", "See reknit inspect for the names")
        for key in found:
            if not np.isfinite(self.tensors[key]).all():
                raise InputError(f"{key} holds numbers that are infinite or undefined", "", "Mend it first")
        return found

    def matrices(self, only: str = "*") -> list[str]:
        """The keys of all floats of two axes or more; see ``floats``."""
        return self.floats(only, 2)

    def by_slot(self) -> dict[str, np.ndarray]:
        """Slot -> numbers."""
        return {slot: self.tensors[key] for slot, key in self.slots.items()}

    def with_slots(self, tensors: Mapping[str, np.ndarray], dtypes: Mapping[str, str] | None = None) -> State:
        """New numbers by slot; those that are the same bit by bit leave everything as it is."""
        new = {self.slots[slot]: value for slot, value in tensors.items() if slot in self.slots}
        told = {self.slots[slot]: dtype for slot, dtype in (dtypes or {}).items()}
        return self.with_numbers({k: v for k, v in new.items() if not _same(v, self.tensors[k])}, told)

    def with_numbers(self, numbers: Mapping[str, np.ndarray], dtypes: Mapping[str, str] | None = None) -> State:
        """New numbers by key, rounded to the dtype that each will be stored in.

        Args:
            numbers: key -> numbers, in any precision.
            dtypes: key -> a dtype other than before.

        Raises:
            UsageError: a tensor is kept as codes, which would no longer hold.
            InputError: a number is too large for its dtype.
        """
        told = {**self.dtypes, **(dtypes or {})}
        held = sorted(numbers.keys() & self.codes.keys())
        if held:
            remedy = "Put round:codes behind all steps that change numbers"
            raise UsageError(f"{held[0]} is kept as codes, which another step would change", "--how", remedy)
        rounded = {key: rounded_to(value, told[key], key) for key, value in numbers.items()}
        return replace(self, tensors={**self.tensors, **rounded}, dtypes=told)


def _held(array: np.ndarray, dtype: str) -> np.ndarray:
    """A stored tensor as numpy computes with it."""
    return array.astype(np.float32) if is_float(dtype) and dtype not in OWN_FLOATS else array


def rounded_to(value: np.ndarray, dtype: str, where: str = "") -> np.ndarray:
    """Numbers rounded to what a dtype holds, in an array that numpy computes with.

    Raises:
        InputError: one is too large for it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        stored = np.asarray(value).astype(NUMPY_DTYPES[dtype])
        back = _held(stored, dtype)
    if is_float(dtype) and not np.isfinite(back[np.isfinite(value)]).all():
        raise InputError(f"it holds numbers that are too large for {dtype}", where, "Cast to bf16, or leave it out")
    return back


def read_state(path: str | Path, setting: Setting | None) -> tuple[State, str]:
    """A checkpoint as it is, and the hash of all it holds.

    With a skeleton its keys have to be the slots', and what is tied stays tied. Without one, equal tensors of two axes
    or more are taken for one that is stored several times.

    Raises:
        InputError: it cannot be read, does not fit the skeleton, or two tensors have one name.
    """
    stored = read_tensors(path)
    names = {stored.info(name).key: name for name in stored.names}
    if setting is None:
        if len(names) < len(stored):
            names = {name: name for name in stored.names}
        arrays = {key: _held(stored.array(name), stored.dtype(name)) for key, name in names.items()}
        copies = _repeated(arrays)
        tensors = {key: value for key, value in arrays.items() if key not in copies}
        return State(tensors, _dtypes(stored, names, tensors), tuple(names), copies), stored.sha256
    network = read_network(path, setting.skeleton)
    slots = {slot: keys[0] for slot, keys in network.keys.items()}
    copies = {key: keys[0] for keys in network.keys.values() for key in keys[1:]}
    tensors = {key: _held(network.tensors[slot], network.dtypes[slot]) for slot, key in slots.items()}
    order = tuple(dict.fromkeys(names))
    return State(tensors, _dtypes(stored, names, tensors), order, copies, slots, setting), stored.sha256


def _dtypes(stored: Tensors, names: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The dtype of every tensor; integers of less than a byte take one."""
    whole = {"int4": "int8", "int2": "int8", "uint4": "uint8", "uint2": "uint8", "float4_e2m1fn": "float32"}
    found = {key: stored.dtype(names[key]) for key in tensors}
    return {key: whole.get(dtype, dtype) for key, dtype in found.items()}


def _repeated(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Key -> the first key that holds the very same matrix, constant ones aside."""
    first: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    found = {}
    for key, array in arrays.items():
        raw = array.tobytes()
        if array.ndim < 2 or not raw or raw == raw[: array.itemsize] * array.size:
            continue
        known = first.setdefault((array.dtype.name, array.shape, raw), key)
        if known != key:
            found[key] = known
    return found


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return first is second or np.array_equal(first, second)
