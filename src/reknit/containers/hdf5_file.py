"""Tensors in HDF5 files, such as the weights that Keras saves (``*.h5``, ``*.hdf5``).

An own reader of the parts of the format that hold plain arrays, not ``h5py``: that is a large C library which a damaged
file can crash, which follows links into other files, and which loads plug-ins. Here addresses and sizes are checked
against the file, headers alone are read at first, and nothing but this one file is opened. It reads what is written by
default (``libver='earliest'``), and of newer files what lies in small groups and in whole or single chunks; the rest is
refused by name. Format: HDF5 File Format Specification 3.0. There are no checksums but in newer headers and where
fletcher32 was asked for. A chunk that was never written, or is lost, reads as the fill value, as the format has it.

A dataset is named by its path, ``model_weights/dense/dense/kernel:0``, and its numbers stay as they are stored: Keras
keeps the kernel of a dense layer as ``[in, out]``, of a convolution as ``[*window, in, out]``. Attributes, soft and
external links are left aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reknit.containers.container import DAMAGED, MAX_KEY, Container, TensorInfo, is_bomb, tensor_info
from reknit.containers.dtypes import NUMPY_DTYPES, native_bytes
from reknit.containers.file_bytes import FileBytes
from reknit.containers.hdf5_bytes import Hdf5Bytes, Record
from reknit.containers.hdf5_chunks import read_chunks
from reknit.containers.hdf5_groups import is_group, links
from reknit.containers.hdf5_header import EXTERNAL, FILL, FILTERS, LAYOUT, SPACE, TYPE, Message, read_header
from reknit.containers.hdf5_layout import Layout, parse_filters, parse_layout
from reknit.containers.hdf5_types import parse_fill, parse_space, parse_type
from reknit.containers.lookup3 import lookup3
from reknit.errors import ContainerError

MAGIC = b"\x89HDF\r\n\x1a\n"
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class _Dataset:
    """What the header of a dataset says, checked."""

    info: TensorInfo
    big_endian: bool
    layout: Layout
    filters: tuple[int, ...]
    fill: bytes


class Hdf5File(Container):
    """One HDF5 file."""

    format = "hdf5"

    def __init__(self, source: FileBytes) -> None:
        """Read and check the headers of all groups and datasets."""
        self.path = source.path
        self._file, root = _open_superblock(source)
        self._datasets: dict[str, _Dataset] = {}
        self._found: dict[int, _Dataset | None] = {}
        self._groups: set[int] = set()
        self._walk(root, "", 0)
        self.tensors = {key: dataset.info for key, dataset in self._datasets.items()}
        if not self.tensors:
            raise ContainerError("is an HDF5 file without a dataset", self.path)
        self._check_overlap()
        if is_bomb(sum(info.nbytes for info in self.tensors.values()), source.size):
            raise ContainerError("describes far more numbers than it holds", self.path)

    def read(self, key: str) -> np.ndarray:
        """See ``Container.read``."""
        info, dataset = self.tensors[key], self._datasets[key]
        dtype, layout = NUMPY_DTYPES[info.dtype], dataset.layout
        if layout.kind in ("header", "whole") and (layout.inline or layout.address is not None):
            raw = layout.inline or self._file.source.read(layout.address or 0, info.nbytes)
            numbers = native_bytes(np.frombuffer(raw, np.uint8), dtype, big_endian=dataset.big_endian)
            array = numbers.view(dtype).reshape(info.shape)
            return array if array.flags.writeable else array.copy()
        out = np.zeros(info.shape, dtype)
        if dataset.fill:
            fill = native_bytes(np.frombuffer(dataset.fill, np.uint8), dtype, big_endian=dataset.big_endian)
            out[...] = fill.view(dtype)[0]
        read_chunks(self._file.again(), info, layout, dataset.filters, out, big_endian=dataset.big_endian)
        return out

    def _walk(self, group: int, where: str, depth: int) -> None:
        """Every dataset in a group and those below it."""
        if depth > _MAX_DEPTH or group in self._groups:
            raise ContainerError(f"holds the group {where!r:.100} in itself, twice, or too deep", self.path)
        self._groups.add(group)
        for name, at in links(self._file, read_header(self._file, group), where):
            key = f"{where}{name}"
            if len(key) > MAX_KEY:
                raise ContainerError(f"holds a name of {len(key):,} characters, starting {key[:40]!r}", self.path)
            if at in self._found:
                self._add(key, self._found[at])
                continue
            messages = read_header(self._file, at)
            if is_group(messages):
                self._walk(at, f"{key}/", depth + 1)
            else:
                self._found[at] = self._parse(key, messages)
                self._add(key, self._found[at])

    def _add(self, key: str, dataset: _Dataset | None) -> None:
        """Note a dataset under a name; it may have several."""
        if key in self._datasets:
            raise ContainerError(f"holds two tensors named {key!r}", self.path)
        if dataset is not None:
            info = dataset.info
            named = tensor_info(key, info.dtype, info.shape, self.path)
            self._datasets[key] = _Dataset(named, dataset.big_endian, dataset.layout, dataset.filters, dataset.fill)

    def _parse(self, key: str, messages: list[Message]) -> _Dataset | None:
        """The dataset that these messages describe; None if they describe a named type."""
        found: dict[int, Record] = {}
        for message in messages:
            if message.kind == EXTERNAL:
                raise ContainerError(f"{key!r:.100} keeps its numbers in another file, which is not opened", self.path)
            if message.kind in (SPACE, TYPE, FILL, LAYOUT, FILTERS):
                if message.shared or message.kind in found:
                    raise ContainerError(f"{key!r:.100} shares its description with others", self.path)
                found[message.kind] = message.data
        if not found.keys() & {SPACE, LAYOUT}:
            return None
        if not found.keys() >= {SPACE, TYPE, LAYOUT}:
            raise ContainerError(f"{key!r:.100} has a damaged description", self.path, DAMAGED)
        dtype, big_endian = parse_type(found[TYPE], key)
        info = tensor_info(key, dtype, parse_space(found[SPACE], key), self.path)
        layout = parse_layout(found[LAYOUT], key)
        filters = parse_filters(found[FILTERS], key) if FILTERS in found else ()
        fill = parse_fill(found[FILL]) if FILL in found else b""
        self._check(info, layout, fill)
        return _Dataset(info, big_endian, layout, filters, fill)

    def _check(self, info: TensorInfo, layout: Layout, fill: bytes) -> None:
        """That the numbers can be where the header says."""
        itemsize = NUMPY_DTYPES[info.dtype].itemsize
        if layout.kind in ("header", "whole"):
            size = len(layout.inline) if layout.kind == "header" else layout.size
            if size != info.nbytes:
                problem = f"{info.key!r} should have {info.nbytes:,} bytes but its header claims {size:,}"
                raise ContainerError(problem, self.path, DAMAGED)
            if layout.address is not None and layout.address + size > self._file.source.size:
                raise ContainerError(f"the numbers of {info.key!r} lie outside the file", self.path, DAMAGED)
        else:
            chunk = tensor_info(info.key, info.dtype, layout.chunk, self.path)
            if len(chunk.shape) != len(info.shape) or layout.itemsize != itemsize:
                raise ContainerError(f"{info.key!r} has chunks of another shape or dtype", self.path, DAMAGED)
            if is_bomb(chunk.nbytes, self._file.source.size):
                raise ContainerError("describes far more numbers than it holds", self.path)
        if fill and len(fill) != itemsize:
            raise ContainerError(f"{info.key!r} has a damaged fill value", self.path, DAMAGED)

    def _check_overlap(self) -> None:
        """No byte may belong to two datasets, though a dataset may have two names."""
        end = 0
        for start, size, key in sorted(self._stretches()):
            if start < end:
                raise ContainerError(f"{key!r} overlaps another tensor", self.path, DAMAGED)
            end = start + size

    def _stretches(self) -> Iterator[tuple[int, int, str]]:
        for dataset in self._found.values():
            if (
                dataset
                and dataset.layout.kind == "whole"
                and dataset.layout.address is not None
                and dataset.info.nbytes
            ):
                yield dataset.layout.address, dataset.info.nbytes, dataset.info.key


def _open_superblock(source: FileBytes) -> tuple[Hdf5Bytes, int]:
    """The file with the width of its addresses, and the address of the root group."""
    file = Hdf5Bytes(source)
    version = file.record(8, 1).integer(1)
    if version > 3:
        raise ContainerError(f"is an HDF5 file of version {version}, which is not supported", source.path)
    sizes = file.record(13 if version < 2 else 9, 2).data
    if any(size not in (2, 4, 8) for size in sizes):
        file.refuse()
    file = Hdf5Bytes(source, *sizes)
    if version < 2:
        block = file.record(24 + 4 * version, 6 * file.address_size)
        base, _, end, _, _, root = (block.address() for _ in range(6))
    else:
        block = file.record(12, 4 * file.address_size + 4)
        base, _, end, root = (block.address() for _ in range(4))
        if lookup3(file.record(0, 12 + 4 * file.address_size).data) != block.integer(4):
            raise ContainerError("holds a header that fails its checksum", source.path, DAMAGED)
    if base != 0 or end is None or root is None or end > source.size:
        file.refuse()
    return file, root
