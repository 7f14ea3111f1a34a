"""The numbers of a dataset that an HDF5 file keeps in chunks, each of which went through filters.

Filters (HDF5 File Format Specification 3.0, IV.A.2.l): deflate is zlib; shuffle puts the first bytes of all numbers
before the second ones, and so on; fletcher32 appends a checksum, which is verified.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import numpy as np

from reknit.containers.container import DAMAGED, TensorInfo
from reknit.containers.dtypes import NUMPY_DTYPES, native_bytes
from reknit.containers.hdf5_bytes import Hdf5Bytes
from reknit.containers.hdf5_groups import walk_keys
from reknit.containers.hdf5_layout import DEFLATE, SHUFFLE, Layout
from reknit.errors import ContainerError

_CHECKSUM = 4
_WORDS = 1 << 16  # of a checksum at a time, so that the sums stay below 2^63


def read_chunks(
    file: Hdf5Bytes, info: TensorInfo, layout: Layout, filters: tuple[int, ...], out: np.ndarray, *, big_endian: bool
) -> None:
    """Fill in what the chunks hold; what is in none stays as it is.

    Args:
        file: the file.
        info: the dataset.
        layout: where its chunks are.
        filters: what every chunk went through, in that order.
        out: of the dataset's shape and dtype.
        big_endian: the byte order of the numbers.

    Raises:
        ContainerError: a chunk is damaged, comes twice, or lies outside the dataset.
    """
    dtype = NUMPY_DTYPES[info.dtype]
    size = math.prod(layout.chunk) * dtype.itemsize
    seen: set[tuple[int, ...]] = set()
    for corner, mask, address, stored in _find(file, layout, size):
        outside = any(
            at % step or at >= limit for at, step, limit in zip(corner, layout.chunk, info.shape, strict=True)
        )
        if corner in seen or outside:
            raise _damaged(file, info, "has a chunk twice, or outside itself")
        seen.add(corner)
        if address + stored > file.source.size:
            raise _damaged(file, info, "has a chunk outside the file")
        raw = bytes(file.source.read(address, stored))
        for at in reversed(range(len(filters))):
            if not mask >> at & 1:
                raw = _undo(filters[at], raw, size, dtype.itemsize) or b""
        if len(raw) != size:
            raise _damaged(file, info, "has a chunk that does not unpack")
        numbers = native_bytes(np.frombuffer(raw, np.uint8), dtype, big_endian=big_endian).view(dtype)
        inside = tuple(slice(at, at + step) for at, step in zip(corner, layout.chunk, strict=True))
        target = out[inside]
        target[...] = numbers.reshape(layout.chunk)[tuple(slice(n) for n in target.shape)]


def _find(file: Hdf5Bytes, layout: Layout, size: int) -> Iterator[tuple[tuple[int, ...], int, int, int]]:
    """Corner, skipped filters, address and stored size of every chunk."""
    if layout.kind == "single" and layout.address is not None:
        yield (0,) * len(layout.chunk), layout.mask, layout.address, layout.size or size
    if layout.kind != "chunks" or layout.address is None:
        return
    axes = len(layout.chunk)
    for key, address in walk_keys(file, layout.address, 1, 8 + 8 * (axes + 1)):
        stored, mask = key.integer(4), key.integer(4)
        yield tuple(key.integer(8) for _ in range(axes)), mask, address, stored


def _undo(number: int, raw: bytes, size: int, itemsize: int) -> bytes | None:
    """The bytes before a filter; None if it cannot have made these."""
    if number == DEFLATE:
        try:
            return zlib.decompressobj().decompress(raw, size + _CHECKSUM + 1)
        except zlib.error:
            return None
    if number == SHUFFLE:
        whole = len(raw) // itemsize * itemsize  # bytes that make no whole number are left at the end
        mixed = np.frombuffer(raw[:whole], np.uint8).reshape(itemsize, -1)
        return mixed.T.tobytes() + raw[whole:]
    body, checksum = raw[:-_CHECKSUM], int.from_bytes(raw[-_CHECKSUM:], "little")
    return body if fletcher32(body) == checksum else None


def fletcher32(raw: bytes) -> int:
    """The checksum over words of two bytes, the first the higher: the sum of the words, and that of all their sums.

    >>> hex(fletcher32(b"abcdef"))
    '0x50562a2d'
    """
    words = np.frombuffer(raw + bytes(len(raw) % 2), ">u2").astype(np.int64)
    first = second = 0
    for at in range(0, len(words), _WORDS):
        part = words[at : at + _WORDS]
        second += len(part) * first + int(part @ np.arange(len(part), 0, -1))
        first += int(part.sum())
    first, second = ((total - 1) % 65535 + 1 if total else 0 for total in (first, second))
    return second << 16 | first


def _damaged(file: Hdf5Bytes, info: TensorInfo, problem: str) -> ContainerError:
    return ContainerError(f"{info.key!r} {problem}", file.source.path, DAMAGED)
