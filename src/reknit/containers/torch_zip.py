"""Tensors in files of ``torch.save``: the zip archives of torch 1.6 and later.

An archive holds ``NAME/data.pkl``, a pickle that describes the tensors (read by ``torch_pickle``, which runs nothing),
and one entry ``NAME/data/KEY`` for each storage. The checksum of a storage is verified the first time one of its
tensors is read, over the whole storage, streamed; listing the tensors verifies only the pickle's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reknit.containers.container import MAX_KEY, Container, Format, TensorInfo, is_bomb, tensor_info
from reknit.containers.dtypes import NUMPY_DTYPES, native_bytes
from reknit.containers.file_bytes import FileBytes
from reknit.containers.torch_pickle import PickleMachine
from reknit.containers.torch_standins import StridedTensor
from reknit.containers.zip_archive import ZipArchive
from reknit.errors import ContainerError

_MAX_PICKLE = 64 << 20
_MAX_DEPTH = 64
_MAX_LETTERS = 64 << 20
_ORDERS = {b"little": False, b"big": True}


class TorchContainer(Container):
    """What zip and legacy torch files share: described tensors over storages.

    Args:
        source: the file.
        described: what its pickle describes.
        pickle_size: length of that pickle; nothing honest holds more tensors than its pickle has bytes.
        big_endian: the byte order of the storages.
    """

    format: Format = "torch"

    def __init__(self, source: FileBytes, described: object, pickle_size: int, *, big_endian: bool) -> None:
        """Check every described tensor against the storage it views."""
        self.path = source.path
        self._big_endian = big_endian
        self._views: dict[str, StridedTensor] = {}
        self.unnamed = isinstance(described, StridedTensor)
        self.tensors = {}
        for key, view in self._flatten(described, pickle_size):
            if key in self._views:
                raise ContainerError(f"holds two tensors named {key!r}", self.path)
            self._views[key] = view
            self.tensors[key] = self._checked(key, view)
        if not self.tensors:
            raise ContainerError(f"is a {self.format} file without a tensor", self.path)
        if is_bomb(sum(info.nbytes for info in self.tensors.values()), source.size):
            raise ContainerError("describes far more numbers than it holds", self.path)

    def read(self, key: str) -> np.ndarray:
        """See ``Container.read``."""
        view, info = self._views[key], self.tensors[key]
        dtype = NUMPY_DTYPES[info.dtype]
        if not info.nbytes:
            return np.empty(info.shape, dtype)
        span = 1 + sum((size - 1) * stride for size, stride in zip(info.shape, view.strides, strict=True))
        raw = self._read_storage(view.storage.key, view.offset * dtype.itemsize, span * dtype.itemsize)
        raw_bytes = native_bytes(np.frombuffer(raw, np.uint8), dtype, big_endian=self._big_endian)
        strides = tuple(stride * dtype.itemsize for stride in view.strides)
        array = np.ndarray(info.shape, dtype, raw_bytes.data, 0, strides)
        return array if array.flags.c_contiguous and array.flags.writeable else np.array(array, order="C")

    def _storage_size(self, key: str) -> int | None:
        """The bytes a storage really has; None when there is no such storage."""
        raise NotImplementedError

    def _read_storage(self, key: str, start: int, size: int) -> memoryview:
        raise NotImplementedError

    def _flatten(self, described: object, pickle_size: int) -> Iterator[tuple[str, StridedTensor]]:
        """Every tensor in nested dicts, lists and tuples, its key the path to it with dots, in the order stored.

        A pickle can hold a list in itself, or twice in another sixty times over: the walk is bounded in depth, in steps
        and in the names it makes.
        """
        if isinstance(described, StridedTensor):
            yield self.path.stem, described
            return
        open_lists = [("", _items(described))]
        steps = letters = 0
        while open_lists:
            path, items = open_lists[-1]
            for name, value in items:
                steps += 1
                if not isinstance(value, StridedTensor | dict | list | tuple):
                    continue
                key = f"{path}{name}"
                letters += len(key)
                if steps > pickle_size or letters > _MAX_LETTERS or len(open_lists) > _MAX_DEPTH or len(key) > MAX_KEY:
                    raise ContainerError("nests its tensors too deep, or in themselves", self.path)
                if isinstance(value, StridedTensor):
                    yield key, value
                else:
                    open_lists.append((f"{key}.", _items(value)))
                    break
            else:
                open_lists.pop()

    def _checked(self, key: str, view: StridedTensor) -> TensorInfo:
        storage = view.storage
        if not isinstance(view.shape, tuple) or not isinstance(view.strides, tuple) or view.dtype is None:
            raise ContainerError(f"{key!r} has a damaged description", self.path)
        info = tensor_info(key, view.dtype, view.shape, self.path)
        numbers = (view.offset, *view.strides)
        if len(view.shape) != len(view.strides) or any(type(n) is not int or n < 0 for n in numbers):
            raise ContainerError(f"{key!r} has a damaged description", self.path)
        size = self._storage_size(storage.key)
        if size is None:
            raise ContainerError(f"the numbers of {key!r} are missing (storage {storage.key!r:.40})", self.path)
        claimed = storage.count * (NUMPY_DTYPES[storage.dtype].itemsize if storage.dtype else 1)
        if claimed != size:
            raise ContainerError(f"{key!r} claims a storage of {claimed:,} bytes but there are {size:,}", self.path)
        steps = zip(view.shape, view.strides, strict=True)
        last = view.offset + (sum((n - 1) * stride for n, stride in steps) + 1 if info.nbytes else 0)
        if last * NUMPY_DTYPES[info.dtype].itemsize > size:
            raise ContainerError(f"{key!r} reaches past the end of its storage", self.path)
        return info


class TorchZip(TorchContainer):
    """A zip file of ``torch.save``."""

    def __init__(self, source: FileBytes, archive: ZipArchive) -> None:
        """Read the pickle and check what it describes."""
        self._archive = archive
        self._folder = next(name for name in archive.entries if is_torch_pickle(name)).removesuffix("data.pkl")
        described, size = self._describe(source)
        super().__init__(source, described, size, big_endian=self._read_order(source))

    def _describe(self, source: FileBytes) -> tuple[object, int]:
        """What is in the file, and how many bytes of pickle say so."""
        data = self._read_pickle(source, "data.pkl")
        return PickleMachine(data, source.path).run(), len(data)

    def _read_pickle(self, source: FileBytes, name: str) -> bytes:
        if self._archive.entries[self._folder + name].size > _MAX_PICKLE:
            raise ContainerError(f"has a pickle of more than {_MAX_PICKLE:,} bytes", source.path)
        return bytes(self._archive.read(self._folder + name))

    def _read_order(self, source: FileBytes) -> bool:
        """Whether the storages are big-endian."""
        entry = self._archive.entries.get(f"{self._folder}byteorder")
        order = bytes(self._archive.read(entry.name, 0, min(16, entry.size))) if entry else b"little"
        if order not in _ORDERS:
            raise ContainerError(f"has the unknown byte order {order!r}", source.path)
        return _ORDERS[order]

    def _entry(self, key: str) -> str:
        """The entry of the archive that holds a storage."""
        return f"{self._folder}data/{key}"

    def _storage_size(self, key: str) -> int | None:
        entry = self._archive.entries.get(self._entry(key))
        return entry.size if entry else None

    def _read_storage(self, key: str, start: int, size: int) -> memoryview:
        return self._archive.read(self._entry(key), start, size)


def _items(value: object) -> Iterator[tuple[object, object]]:
    """Names and values of what may hold tensors; nothing of anything else."""
    if isinstance(value, dict):
        return iter(value.items())
    return enumerate(value) if isinstance(value, list | tuple) else iter(())


def is_torch_pickle(name: str) -> bool:
    """Whether an archive's entry of that name marks it as a torch file."""
    return name.endswith("/data.pkl") and name.count("/") == 1
