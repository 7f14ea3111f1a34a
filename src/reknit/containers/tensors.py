"""Every tensor of a file or folder as it is stored: each on its own, of any shape and dtype, read when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from reknit.containers.container import Container, TensorInfo
from reknit.containers.dtypes import is_float, is_integer
from reknit.containers.naming import find_files, label, natural_key, unique_names
from reknit.containers.opening import open_container


@dataclass(frozen=True, eq=False)
class Tensors:
    """All tensors at hand, in the natural order of their names (``t_2`` before ``t_10``). No numbers are kept.

    A name that is not among ``names`` is a KeyError everywhere.

    Attributes:
        path: the file or folder they are in.
        names: all different.
    """

    path: Path
    names: tuple[str, ...]
    _places: Mapping[str, tuple[Container, TensorInfo]] = field(repr=False)

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        """The names in order."""
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._places

    def info(self, name: str) -> TensorInfo:
        """What the header says of it: also its key in the file, and the file."""
        return self._places[name][1]

    def shape(self, name: str) -> tuple[int, ...]:
        """Its size along each axis; ``()`` for a scalar."""
        return self.info(name).shape

    def dtype(self, name: str) -> str:
        """The dtype it is stored in: ``float32``, ``bfloat16``, ``int8``, ..."""
        return self.info(name).dtype

    def array(self, name: str) -> np.ndarray:
        """Its numbers, read now, in an array of the caller's own.

        Of the stored dtype if numpy has it. bfloat16 and smaller floats come as float32, integers of less than a byte
        as int8 or uint8: every value of theirs is one of those, so nothing is lost. Nothing is dequantized.

        Raises:
            ContainerError: the numbers are not there, or fail the checksum the format keeps.
        """
        array = self._stored(name)
        if array.dtype.kind in "fiubc":
            return array
        with np.errstate(invalid="ignore"):  # a signalling NaN is no cause for a warning
            return array.astype(_numpy_dtype(self.dtype(name)))

    @cached_property
    def sha256(self) -> str:
        """A hash of all names, dtypes, shapes and stored numbers, however they are packed in files; reads everything.

        Raises:
            ContainerError: see ``array``.
        """
        whole = hashlib.sha256()
        for name in self.names:
            numbers = hashlib.sha256(self._stored(name).reshape(-1).view(np.uint8).data).hexdigest()
            whole.update(f"{numbers} {self.dtype(name)} {self.shape(name)} {name}\n".encode())
        return whole.hexdigest()

    def _stored(self, name: str) -> np.ndarray:
        container, info = self._places[name]
        return container.read(info.key)


def read_tensors(path: str | Path) -> Tensors:
    """List every tensor of a file, of a flat folder of files, or of a folder of shards, from headers alone.

    A tensor is named after its file's stem if the file holds no other; else by its key, or ``stem:key`` if several
    files are read. Where two names meet, the file's full name takes the place of the stem. Of a folder, hidden files
    and ``*.json`` are left aside (an index of shards is followed); every other file has to be a container.

    Raises:
        ContainerError: a file cannot be read, or is no container; the sentence names it.
        PileError: the folder holds no files, or folders, or two tensors cannot be told apart by their names.
    """
    path = Path(path)
    containers = [open_container(file) for file in find_files(path, "tensors")]
    labels = [[label(c, info.file, key) for key, info in c.tensors.items()] for c in containers]
    places = [(container, info) for container in containers for info in container.tensors.values()]
    named = dict(zip(unique_names(path, labels, "tensors"), places, strict=True))
    return Tensors(path, tuple(sorted(named, key=natural_key)), named)


def _numpy_dtype(name: str) -> str:
    """The dtype of numpy's own that holds every value of one that is not."""
    if is_float(name):
        return "float32"
    if is_integer(name):
        return "uint8" if name.startswith("u") else "int8"
    raise TypeError(f"{name} has no counterpart in numpy")
