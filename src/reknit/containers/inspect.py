"""What files and folders hold: containers and their tensors, from headers alone."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reknit.containers.container import Container, TensorInfo
from reknit.containers.file_bytes import FileBytes, unreadable
from reknit.containers.opening import REMEDY, open_container
from reknit.containers.safetensors_file import INDEX_SUFFIX, ShardedSafetensors
from reknit.errors import ContainerError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class SeenTensor:
    """One tensor.

    Attributes:
        key: its name.
        dtype: as stored.
        shape: its size along each axis.
        nbytes: its size in memory, in bytes.
        file: the file its numbers are in.
        packing: the block format it is dequantized from; else empty.
        sha256: of its numbers, little-endian and in C order, so the same in every format; None unless asked for.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    file: Path
    packing: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class SeenContainer:
    """One container.

    Attributes:
        path: the file, or the folder of a sharded container.
        format: ``torch``, ``safetensors``, ``onnx``, ...: see ``container.Format``.
        file_bytes: the size of its files together.
        tensors: in the order stored.
        sha256: of each of its files; empty unless asked for.
    """

    path: Path
    format: str
    file_bytes: int
    tensors: tuple[SeenTensor, ...]
    sha256: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Attributes:
        containers: in the order given, folders in the order of their names.
        others: the files of a folder that are no containers, or damaged ones, each with the reason.
    """

    containers: tuple[SeenContainer, ...]
    others: tuple[ContainerError, ...]

    @property
    def tensors(self) -> int:
        """How many tensors there are."""
        return sum(len(container.tensors) for container in self.containers)

    @property
    def parameters(self) -> int:
        """How many numbers they hold."""
        return sum(math.prod(t.shape) for c in self.containers for t in c.tensors)

    @property
    def nbytes(self) -> int:
        """Their size in memory, in bytes."""
        return sum(tensor.nbytes for container in self.containers for tensor in container.tensors)

    def as_json(self) -> dict[str, Any]:
        """What ``inspect --json`` prints; plain JSON values only."""
        total = {"containers": len(self.containers), "tensors": self.tensors}
        return {
            "containers": [_container_json(container) for container in self.containers],
            "not_containers": [error.as_json() for error in self.others],
            "total": total | {"parameters": self.parameters, "bytes": self.nbytes},
        }


def inspect(paths: str | Path | Sequence[str | Path], *, hash: bool = False) -> Inspection:  # noqa: A002  the verb's flag
    """Look into files, and into folders with all that is below them; hidden files are left aside.

    Args:
        paths: at least one. A file has to be a container; a file in a folder need not be one.
        hash: read every tensor and file, and add their SHA-256; checksums that a format keeps are verified on the way.

    Raises:
        ContainerError: a file given is no container or damaged, a path is not there, or there is no container at all.
    """
    paths = [paths] if isinstance(paths, str | Path) else paths
    containers: list[SeenContainer] = []
    others: list[ContainerError] = []
    for path in map(Path, paths):
        if not _is_folder(path):
            containers.append(_look(path, hash))
            continue
        for file in _walk(path):
            try:
                containers.append(_look(file, hash))
            except ContainerError as error:
                others.append(error)
    if not containers:
        problem = others[0].problem if len(others) == 1 else "holds no container"
        raise ContainerError(problem, ", ".join(map(str, paths)), REMEDY)
    return Inspection(tuple(containers), tuple(others))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, streamed.

    Raises:
        ContainerError: it cannot be read.
    """
    digest = hashlib.sha256()
    source = FileBytes(path)
    for at in range(0, source.size, _CHUNK):
        digest.update(source.read(at, min(_CHUNK, source.size - at)))
    return digest.hexdigest()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def _walk(folder: Path) -> Iterator[Path]:
    """The files below a folder in a fixed order; an index of shards stands for them. Linked folders are not entered."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        shards: set[Path] = set()
        for index in files:
            if index.name.endswith(INDEX_SUFFIX):
                try:
                    shards |= ShardedSafetensors(index).files
                except ContainerError:  # told when the index itself is looked at
                    continue
        yield from (file for file in files if file not in shards)


def _look(path: Path, with_hash: bool) -> SeenContainer:
    container = open_container(path)
    files = sorted({info.file for info in container.tensors.values()})
    tensors = tuple(_see(container, info, with_hash) for info in container.tensors.values())
    hashes = tuple((file, file_sha256(file)) for file in files) if with_hash else ()
    return SeenContainer(container.path, container.format, sum(FileBytes(f).size for f in files), tensors, hashes)


def _see(container: Container, info: TensorInfo, with_hash: bool) -> SeenTensor:
    digest = _tensor_sha256(container, info.key) if with_hash else None
    return SeenTensor(info.key, info.dtype, info.shape, info.nbytes, info.file, info.packing, digest)


def _tensor_sha256(container: Container, key: str) -> str:
    return hashlib.sha256(container.read(key).reshape(-1).view(np.uint8).data).hexdigest()


def _container_json(container: SeenContainer) -> dict[str, Any]:
    seen: dict[str, Any] = {"path": str(container.path), "format": container.format, "file_bytes": container.file_bytes}
    if container.sha256:
        seen["sha256"] = {str(file): digest for file, digest in container.sha256}
    return seen | {"tensors": [_tensor_json(tensor) for tensor in container.tensors]}


def _tensor_json(tensor: SeenTensor) -> dict[str, Any]:
    seen: dict[str, Any] = {
        "key": tensor.key,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "bytes": tensor.nbytes,
    }
    if tensor.packing:
        seen["packing"] = tensor.packing
    if tensor.sha256 is not None:
        seen["sha256"] = tensor.sha256
    return seen | {"file": str(tensor.file)}
