"""Checkpoints with names, read into the slots of a skeleton, and written again under the names they came with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from reknit.containers.tensors import Tensors, read_tensors
from reknit.containers.write_safetensors import write_safetensors
from reknit.errors import InputError
from reknit.skeleton.skeleton import Skeleton

PREFIXES = ("module.", "model.", "state_dict.", "state_dict.module.", "_orig_mod.")
REMEDY = "Name the skeleton that has exactly these tensors with --like"


@dataclass(frozen=True, eq=False)
class Network:
    """The tensors of a checkpoint by slot.

    Attributes:
        path: where they were read.
        tensors: slot -> numbers; bfloat16 as float32. Held in memory, or read when they are asked for.
        keys: slot -> every key of the file that holds it.
        dtypes: slot -> the dtype in the file.
        shapes: slot -> its size along each axis.
    """

    path: Path
    tensors: Mapping[str, np.ndarray] = field(repr=False)
    keys: Mapping[str, tuple[str, ...]] = field(repr=False)
    dtypes: Mapping[str, str] = field(repr=False)
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)

    def __getitem__(self, slot: str) -> np.ndarray:
        """The numbers in a slot."""
        return self.tensors[slot]

    def in_single(self) -> Network:
        """The same, but to be written in float32 where the file has half precision: turned numbers would be rounded."""
        halves = {"bfloat16", "float16"}
        return replace(self, dtypes={k: "float32" if v in halves else v for k, v in self.dtypes.items()})


class OnDisk(Mapping[str, np.ndarray]):
    """The tensors of a checkpoint by slot, read and checked whenever they are asked for; nothing is kept.

    Args:
        stored: the file or folder.
        names: slot -> the names it is read by.
        shapes: slot -> its size along each axis.
    """

    def __init__(
        self, stored: Tensors, names: Mapping[str, Sequence[str]], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        self._stored, self._names, self._shapes = stored, names, shapes

    def __getitem__(self, slot: str) -> np.ndarray:
        """The numbers, read now; a slot that the file does not hold is a KeyError."""
        return _numbers(self._stored, self._names[slot], self._shapes[slot])

    def __iter__(self) -> Iterator[str]:
        """The slots that the file holds."""
        return iter(self._names)

    def __len__(self) -> int:
        """How many these are."""
        return len(self._names)

    def __contains__(self, slot: object) -> bool:
        """Whether the file holds a slot; nothing is read."""
        return slot in self._names


def read_network(path: str | Path, skeleton: Skeleton, *, held: bool = True) -> Network:
    """Read a checkpoint whose keys are those of a skeleton.

    All numbers are read and checked, one tensor at a time, and held in memory if that is wanted.

    Keys may all have a word before them that wrappers leave there (``module.``, ``state_dict.``, ...). Counters of
    BatchNorms and other slots that no operation uses may be missing. Of a tied tensor one key is enough.

    Raises:
        ContainerError: a file cannot be read.
        InputError: keys are missing or left over, a shape is another, tied tensors differ, or numbers are undefined.
    """
    stored = read_tensors(path)
    named = _prefixless(_by_key(stored), skeleton)
    used = {key for use in skeleton.uses for key in use.slots.values()}
    keys: dict[str, tuple[str, ...]] = {}
    missing = []
    for slot in skeleton.slots:
        found = tuple(key for key in (slot.key, *slot.aliases) if key in named)
        if found:
            keys[slot.key] = found
        elif slot.key in used:
            missing.append(slot.key)
    if missing:
        raise InputError(f"{_some(missing)} missing", path, REMEDY)
    unknown = sorted(named.keys() - {key for each in keys.values() for key in each})
    if unknown:
        raise InputError(f"{_some(unknown)} in no slot of the skeleton", path, REMEDY)
    shapes = {slot.key: slot.shape for slot in skeleton.slots if slot.key in keys}
    tensors: Mapping[str, np.ndarray] = OnDisk(
        stored, {k: [named[e] for e in each] for k, each in keys.items()}, shapes
    )
    if held:
        tensors = dict(tensors)
    else:
        for key in tensors:
            tensors[key]
    written = {slot: tuple(stored.info(named[key]).key for key in each) for slot, each in keys.items()}
    dtypes = {slot: stored.dtype(named[each[0]]) for slot, each in keys.items()}
    return Network(Path(path), tensors, written, dtypes, shapes)


def _by_key(stored: Tensors) -> dict[str, str]:
    """Key -> the name it is read by.

    Raises:
        InputError: two files hold different tensors under one key.
    """
    named: dict[str, str] = {}
    for name in stored.names:
        key = stored.info(name).key
        if key in named and not np.array_equal(stored.array(name), stored.array(named[key])):
            raise InputError(f"two of its files hold different tensors {key}", stored.path, "Name one of the files")
        named.setdefault(key, name)
    return named


def _prefixless(named: Mapping[str, str], skeleton: Skeleton) -> dict[str, str]:
    """The same without a word that stands before every key, as wrappers and training scripts leave it there."""
    wanted = {key for slot in skeleton.slots for key in (slot.key, *slot.aliases)}
    for prefix in PREFIXES:
        if not wanted & named.keys() and all(key.startswith(prefix) for key in named):
            return {key.removeprefix(prefix): name for key, name in named.items()}
    return dict(named)


def _numbers(stored: Tensors, names: Sequence[str], shape: tuple[int, ...]) -> np.ndarray:
    array, *others = (stored.array(name) for name in names)
    if array.shape != shape:
        raise InputError(f"{names[0]} has the shape {array.shape}, its slot {shape}", stored.path, REMEDY)
    if any(not np.array_equal(array, other) for other in others):
        raise InputError(f"{' and '.join(names)} are one tensor in this architecture but differ", stored.path)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{names[0]} holds numbers that are infinite or undefined", stored.path, "Mend it first")
    return array


def _some(keys: Sequence[str], most: int = 3) -> str:
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return f"{', '.join(keys[:most])}{rest} {'is' if len(keys) == 1 else 'are'}"


def write_network(path: str | Path, tensors: Mapping[str, np.ndarray], like: Network, *, force: bool = False) -> None:
    """Write tensors as safetensors, under the keys and in the dtypes of the network they were made from.

    They are asked for one at a time, and written before the next one.

    Raises:
        OutputError: something is there and ``force`` is off, or it cannot be written.
    """
    import torch

    def numbers(key: str) -> bytes | memoryview:
        value = torch.from_numpy(np.array(tensors[slots[key]], order="C"))
        value = value.to(getattr(torch, like.dtypes[slots[key]], value.dtype))
        return value.reshape(-1).view(torch.uint8).numpy().data if value.numel() else b""

    slots = {key: slot for slot, keys in like.keys.items() for key in keys}
    described = {key: (like.dtypes[slot], like.shapes[slot]) for key, slot in slots.items()}
    write_safetensors(path, described, numbers, force=force)
