"""Where the numbers of a dataset are in an HDF5 file, and through which filters they went.

HDF5 File Format Specification 3.0, IV.A.2: data layout and filter pipeline messages. Read are data in the
header, in one stretch, and in chunks listed by a version 1 B-tree, or in a single one; other lists are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reknit.containers.hdf5_bytes import Record
from reknit.errors import ContainerError

DEFLATE, SHUFFLE, FLETCHER = 1, 2, 3
_LISTS = {2: "no list", 3: "a fixed array", 4: "an extensible array", 5: "a version 2 B-tree"}
_REMEDY = "Save it again with libver='earliest'"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where numbers are.

    Attributes:
        kind: in the ``header``, ``whole`` in one stretch, in ``chunks`` listed by a tree, or in a ``single`` chunk.
        inline: the numbers, if they are in the header.
        address: of the stretch, the tree or the chunk; None if nothing was written.
        size: of the stretch, or of a single chunk that went through filters, in bytes.
        chunk: the shape of a chunk.
        itemsize: the bytes of a number, as the layout has it; 0 where it does not say.
        mask: the filters a single chunk did not go through, as bits.
    """

    kind: Literal["header", "whole", "chunks", "single"]
    inline: bytes = b""
    address: int | None = None
    size: int = 0
    chunk: tuple[int, ...] = ()
    itemsize: int = 0
    mask: int = 0


def parse_layout(data: Record, what: str) -> Layout:
    """The layout message.

    Args:
        data: the message.
        what: the dataset, for the sentences of the errors.

    Raises:
        ContainerError: it is damaged, or a layout that is not read.
    """
    version, kind = data.integer(1), data.integer(1)
    if version not in (3, 4, 5):  # 5 differs from 4 in lists of chunks that are not read
        raise ContainerError(f"{what!r:.100} has a layout of version {version}, which is not supported", _path(data))
    if kind == 0:
        return Layout("header", inline=data.take(data.integer(2)))
    if kind == 1:
        return Layout("whole", address=data.address(), size=data.length())
    if kind == 3:
        raise ContainerError(f"{what!r:.100} is a virtual dataset, whose numbers are elsewhere", _path(data))
    if kind != 2:
        data.file.refuse()
    if version > 3:
        return _parse_newer_chunks(data, what)
    axes, address = data.integer(1), data.address()
    sizes = [data.integer(4) for _ in range(axes)]
    return _chunked(data, Layout("chunks", address=address), sizes)


def parse_filters(data: Record, what: str) -> tuple[int, ...]:
    """The filters the chunks went through, in that order.

    Raises:
        ContainerError: the message is damaged, or one of them is not known.
    """
    version, count = data.integer(1), data.integer(1)
    if version not in (1, 2):
        data.file.refuse()
    data.take(6 if version == 1 else 0)
    found = []
    for _ in range(count):
        number = data.integer(2)
        named = data.integer(2) if version == 1 or number >= 256 else 0
        data.take(2)
        values = data.integer(2)
        name = data.take(-(-named // 8) * 8 if version == 1 else named).split(b"\0")[0]
        data.take(4 * (values + (values % 2 if version == 1 else 0)))
        if number not in (DEFLATE, SHUFFLE, FLETCHER):
            called = f"{number} ({name.decode('ascii', 'replace')[:40]!a})"
            raise ContainerError(f"{what!r:.100} is packed by the filter {called}, which is not supported", _path(data))
        found.append(number)
    return tuple(found)


def _parse_newer_chunks(data: Record, what: str) -> Layout:
    flags, axes, width = (data.integer(1) for _ in range(3))
    sizes = [data.integer(width) for _ in range(axes)]
    index = data.integer(1)
    if index != 1:
        problem = f"{what!r:.100} keeps its chunks by {_LISTS.get(index, 'an unknown list')}, which is not supported"
        raise ContainerError(problem, _path(data), _REMEDY)
    size, mask = (data.length(), data.integer(4)) if flags & 2 else (0, 0)
    return _chunked(data, Layout("single", address=data.address(), size=size, mask=mask), sizes)


def _chunked(data: Record, layout: Layout, sizes: list[int]) -> Layout:
    """A layout with the shape of its chunks; the last size is that of a number."""
    if len(sizes) < 2 or not all(sizes):
        data.file.refuse()
    return Layout(layout.kind, b"", layout.address, layout.size, tuple(sizes[:-1]), sizes[-1], layout.mask)


def _path(data: Record) -> Path:
    return data.file.source.path
