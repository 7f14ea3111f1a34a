"""Tensors in files of ``torch.save`` before 1.6: five pickles in a row, then the storages one after the other.

The pickles: a magic number, the protocol (1001), facts about the writing machine, the described tensors, and the keys
of the storages in the order in which they follow, each as its count (8 bytes) and its numbers. There are no checksums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from reknit.containers.container import DAMAGED
from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.containers.file_bytes import FileBytes
from reknit.containers.torch_pickle import PickleMachine
from reknit.containers.torch_standins import Storage
from reknit.containers.torch_zip import TorchContainer
from reknit.errors import ContainerError

_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_MAX_PICKLES = 64 << 20
_PROTOCOL = 1001


class TorchLegacy(TorchContainer):
    """A file of ``torch.save(..., _use_new_zipfile_serialization=False)``."""

    def __init__(self, source: FileBytes) -> None:
        """Read the pickles, find the storages and check what is described."""
        self._source = source
        data = bytes(source.read(0, min(source.size, _MAX_PICKLES)))
        pickles = []
        at = 0
        for _ in range(5):
            machine = PickleMachine(data, source.path, at)
            pickles.append((machine.run(), machine.storages))
            at = machine.at
        (_, (protocol, _), (system, _), (described, storages), (keys, _)) = pickles
        if protocol != _PROTOCOL or not isinstance(system, dict) or not isinstance(keys, list):
            raise ContainerError("is a damaged torch file", source.path)
        big_endian = system.get("little_endian") is False
        self._places = dict(self._locate(keys, storages, at, "big" if big_endian else "little"))
        super().__init__(source, described, at, big_endian=big_endian)

    def _locate(
        self, keys: list[object], storages: Mapping[str, Storage], at: int, order: Literal["little", "big"]
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        """Start and size in bytes of each storage."""
        for key in keys:
            storage = storages.get(key) if isinstance(key, str) else None
            if storage is None:
                raise ContainerError("lists a storage that no tensor uses", self._source.path)
            count = int.from_bytes(self._source.read(at, 8), order)
            size = count * (NUMPY_DTYPES[storage.dtype].itemsize if storage.dtype else 1)
            if at + 8 + size > self._source.size:
                raise ContainerError(f"claims a storage of {size:,} bytes, past its end", self._source.path, DAMAGED)
            yield storage.key, (at + 8, size)
            at += 8 + size
        if at != self._source.size:
            raise ContainerError(
                f"holds {self._source.size - at:,} bytes that are no storage", self._source.path, DAMAGED
            )

    def _storage_size(self, key: str) -> int | None:
        return self._places[key][1] if key in self._places else None

    def _read_storage(self, key: str, start: int, size: int) -> memoryview:
        return self._source.read(self._places[key][0] + start, size)


def is_legacy(lead: bytes) -> bool:
    """Whether a file begins with the pickled magic number, under whatever pickle protocol."""
    return lead[:1] == b"\x80" and _MAGIC in lead[:32]
