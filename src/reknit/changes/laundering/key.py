"""The key of a laundering: everything that was done, so that a diff can be checked and what loses nothing undone.

It is one JSON file and, beside it under the same name, an npz file with the arrays: orders, factors, rotations, scales,
thin matrices. In the JSON an array stands as ``{"array": name, "shape": [...]}``; the hash of the npz file stands there
too, so that the two cannot be mixed up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from reknit import __version__
from reknit.changes.laundering.key_arrays import packed, with_arrays, without_arrays
from reknit.changes.laundering.layout import Form, Part, Stored, What
from reknit.containers.container import Container
from reknit.containers.file_bytes import FileBytes
from reknit.containers.opening import open_container
from reknit.containers.safetensors_file import parse_json
from reknit.errors import InputError
from reknit.plain import dumps

FORMAT = "reknit laundering key 1"
REMEDY = "Give the key that reknit launder has written"


@dataclass(frozen=True, eq=False)
class Record:
    """One step as it was done.

    Attributes:
        said: as the user wrote it.
        step: its name.
        keeps_function: whether the network computes the same behind it.
        parameters: all of them, also the usual ones.
        facts: what was done: by tensor (``tensors``), by group of units (``groups``), or by name in the file.
        changed: the keys of A whose numbers (or dtypes) changed, and how far each moved beside its size.
    """

    said: str
    step: str
    keeps_function: bool
    parameters: Mapping[str, Any]
    facts: Mapping[str, Any] = field(repr=False)
    changed: Mapping[str, float] = field(repr=False)

    @property
    def left(self) -> dict[str, str]:
        """Groups or tensors that it might have been thought to change, and why it left them."""
        small = dict.fromkeys(self.facts.get("untouched", ()), "too small for this rank")
        return {**self.facts.get("not_turned", {}), **small}


@dataclass(frozen=True, eq=False)
class Key:
    """What was done to a checkpoint A, and where everything lies in B.

    Attributes:
        sha256: of A (``Tensors.sha256``).
        like: the skeleton; None: none was named.
        input_shape: of its example input.
        seed: of everything that was drawn.
        steps: in the order in which they were told.
        stored: the tensors of B, in the order of the file.
        forms: shapes of the tensors of A, and axes of scales, by key.
        dtypes: key -> the dtype in A and the dtype in B.
        slots: slot of the skeleton -> key; empty without one.
        copies: key -> the key whose tensor it repeats.
        version: of reknit.
    """

    sha256: str
    like: str | None
    input_shape: str | None
    seed: int
    steps: tuple[Record, ...]
    stored: tuple[Stored, ...] = field(repr=False)
    forms: Mapping[str, Form] = field(repr=False)
    dtypes: Mapping[str, tuple[str, str]] = field(repr=False)
    slots: Mapping[str, str] = field(repr=False)
    copies: Mapping[str, str] = field(repr=False)
    version: str = __version__

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Key of A -> the names in B that hold it or a part of it."""
        found: dict[str, list[str]] = {key: [] for key in self.forms}
        for each in self.stored:
            for part in each.parts:
                found[part.key].append(each.name)
        return {key: tuple(dict.fromkeys(names)) for key, names in found.items()}

    @property
    def changes(self) -> dict[str, tuple[str, ...]]:
        """Key of A -> the names of the steps that changed its numbers."""
        return {key: tuple(each.step for each in self.steps if key in each.changed) for key in self.forms}

    def files(self, path: Path) -> dict[Path, bytes]:
        """The content of the JSON file, and of the npz file beside it if there are arrays."""
        arrays: dict[str, np.ndarray] = {}
        steps = [
            {
                "said": each.said,
                "step": each.step,
                "keeps_function": each.keeps_function,
                "parameters": dict(each.parameters),
                "facts": without_arrays(each.facts, arrays),
                "changed": dict(each.changed),
            }
            for each in self.steps
        ]
        content: dict[str, Any] = {"format": FORMAT, "reknit": self.version, "sha256": self.sha256, "like": self.like}
        content |= {"input": self.input_shape, "seed": self.seed, "steps": steps}
        content |= {"tensors": self._tensors(), "stored": [_stored_json(each) for each in self.stored]}
        whole = packed(arrays) if arrays else b""
        beside = {"file": beside_of(path).name, "sha256": hashlib.sha256(whole).hexdigest()} if arrays else None
        text = dumps({**content, "arrays": beside}, indent=1) + "\n"
        return {path: text.encode()} | ({beside_of(path): whole} if arrays else {})

    def _tensors(self) -> dict[str, Any]:
        slots = {key: slot for slot, key in self.slots.items()}
        changes = {key: [k for k, each in enumerate(self.steps) if key in each.changed] for key in self.forms}
        return {
            key: {
                "slot": slots.get(key),
                "copies": [copy for copy, first in self.copies.items() if first == key],
                "shape": list(form.shape),
                "scale_axis": form.scale_axis,
                "dtype": self.dtypes[key][0],
                "stored_dtype": self.dtypes[key][1],
                "changed_by": changes[key],
            }
            for key, form in self.forms.items()
        }


def beside_of(path: Path) -> Path:
    """The npz file beside a key.

    >>> beside_of(Path("made/key.json")).name
    'key.npz'
    """
    return path.with_suffix(".npz") if path.suffix == ".json" else path.with_name(f"{path.name}.npz")


def read_key(path: str | Path) -> Key:
    """A key as it was written.

    Raises:
        InputError: it is none, is damaged, or its arrays are missing or others.
    """
    path = Path(path)
    source = FileBytes(path)
    found = parse_json(bytes(source.read(0, source.size)), path, "key")
    if found.get("format") != FORMAT:
        raise InputError("is no key of a laundering", path, REMEDY)
    try:
        return _from_json(found, _beside(path, found["arrays"]))
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise InputError(f"is a damaged key: {error}", path, REMEDY) from None


def _beside(path: Path, told: Any) -> Container | None:
    """The arrays of a key.

    Raises:
        InputError: they are missing, or not those that were written with it.
    """
    if told is None:
        return None
    beside = beside_of(path)
    if not beside.is_file():
        raise InputError(f"its arrays are missing: {beside.name}", path, "Put the npz file beside the key")
    source = FileBytes(beside)
    if hashlib.sha256(source.read(0, source.size)).hexdigest() != told["sha256"]:
        raise InputError("holds other arrays than those that were written with the key", beside, REMEDY)
    return open_container(beside)


def _from_json(found: Mapping[str, Any], arrays: Container | None) -> Key:
    tensors = found["tensors"]
    slots = {each["slot"]: key for key, each in tensors.items() if each["slot"] is not None}
    steps = tuple(
        Record(
            each["said"],
            each["step"],
            bool(each["keeps_function"]),
            each["parameters"],
            with_arrays(each["facts"], arrays),
            {str(key): float(size) for key, size in each["changed"].items()},
        )
        for each in found["steps"]
    )
    return Key(
        str(found["sha256"]),
        found["like"],
        found["input"],
        int(found["seed"]),
        steps,
        tuple(_stored_from(each) for each in found["stored"]),
        {key: Form(tuple(each["shape"]), each["scale_axis"]) for key, each in tensors.items()},
        {key: (each["dtype"], each["stored_dtype"]) for key, each in tensors.items()},
        slots,
        {copy: key for key, each in tensors.items() for copy in each["copies"]},
        str(found["reknit"]),
    )


def _stored_json(stored: Stored) -> dict[str, Any]:
    parts = [[part.key, part.start, part.stop] for part in stored.parts]
    return {"name": stored.name, "what": stored.what, "axis": stored.axis, "axes": stored.axes, "parts": parts}


def _stored_from(found: Mapping[str, Any]) -> Stored:
    if found["what"] not in get_args(What):
        raise ValueError(f"a tensor holds {found['what']!r}")
    parts = tuple(Part(str(key), int(start), int(stop)) for key, start, stop in found["parts"])
    return Stored(str(found["name"]), parts, int(found["axis"]), tuple(found["axes"]), cast("What", found["what"]))
