"""Two files brought under common names: the slots of a skeleton, or the names they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from reknit.containers.opening import open_container
from reknit.containers.tensors import Tensors, read_tensors
from reknit.errors import InputError
from reknit.skeleton.skeleton import Skeleton

State = dict[str, np.ndarray]
KERAS = ("kernel", "kernel:0")
"""Last words of Keras' names for weights whose units lie along the last axis and whose inputs along the one before."""


def read_state(path: str | Path) -> State:
    """Key -> numbers of a file; where several files repeat keys, by longer names. Real and whole numbers only.

    Raises:
        ContainerError: the file cannot be read.
        InputError: it holds no tensor, or one with infinite or undefined numbers.
    """
    stored = read_tensors(path)
    keys = [stored.info(name).key for name in stored.names]
    called = keys if len(set(keys)) == len(keys) else stored.names
    state = {}
    for name, key in zip(stored.names, called, strict=True):
        array = stored.array(name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{key} holds numbers that are infinite or undefined", path, "Mend it first")
        if array.dtype.kind in "fiu":
            state[key] = _units_first(array) if _is_keras(stored, name) else array
    if not any(array.ndim > 1 for array in state.values()):
        raise InputError("holds no matrix or kernel", path, "Name a checkpoint")
    return state


def in_slots(state: Mapping[str, np.ndarray], skeleton: Skeleton, path: str | Path) -> State:
    """The tensors of a file under the keys of a skeleton, as far as names and shapes agree.

    A word before all keys may be missing or left over (``bert.``, ``module.``).

    Raises:
        InputError: none of its matrices fits.
    """
    wanted = {key: slot for slot in skeleton.slots for key in (slot.key, *slot.aliases)}
    found: State = {}
    for name, key in _counterparts(state, wanted).items():
        slot = wanted[key]
        if state[name].shape == slot.shape:
            found.setdefault(slot.key, state[name])
    if not any(array.ndim > 1 for array in found.values()):
        raise InputError("no tensor has the name and shape of a slot of the skeleton", path, "Name its skeleton")
    return found


def in_common(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> tuple[State, State]:
    """Tensors that both files hold under one name and in one shape, by the names of the first.

    A word before all names may be missing in one of them.
    """
    partners = {theirs: ours for theirs, ours in _counterparts(b, a).items() if b[theirs].shape == a[ours].shape}
    return {ours: a[ours] for ours in partners.values()}, {ours: b[theirs] for theirs, ours in partners.items()}


def _counterparts(names: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Name -> the wanted one that it is, or that it is but for words before it; each at most once.

    >>> _counterparts(["a.w", "a.b"], ["net.a.w", "net.a.b", "c"])
    {'a.w': 'net.a.w', 'a.b': 'net.a.b'}
    """
    names, wanted = list(names), dict.fromkeys(wanted)
    best = {name: name for name in names if name in wanted}
    for prefix in _prefixes(list(wanted)):
        best = max(best, {name: prefix + name for name in names if prefix + name in wanted}, key=len)
    for prefix in _prefixes(names):
        cut = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        best = max(best, {name: short for name, short in cut.items() if short in wanted}, key=len)
    return best


def _prefixes(names: Sequence[str], among: int = 16) -> list[str]:
    """Beginnings of the first names and of some others, up to a dot, colon or slash."""
    some = [*names[:among], *names[:: max(len(names) // among, 1)]]
    cuts = {name[: k + 1]: None for name in some for k, letter in enumerate(name) if letter in ".:/"}
    return list(cuts)


def _is_keras(stored: Tensors, name: str) -> bool:
    info = stored.info(name)
    return info.key.rpartition("/")[2] in KERAS and open_container(info.file).format == "hdf5"


def _units_first(kernel: np.ndarray) -> np.ndarray:
    """(taps ..., inputs, units) as (units, inputs, taps ...)."""
    return np.moveaxis(kernel, (-1, -2), (0, 1)) if kernel.ndim > 1 else kernel
