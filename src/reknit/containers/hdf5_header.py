"""Object headers of HDF5: messages that say what a group or a dataset is (HDF5 File Format Specification 3.0, IV.A).

Version 1 has no checksum; version 2 has one, which is verified. A header may go on in other blocks; one that
goes on in itself is stopped by the bound on all that is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from reknit.containers.container import DAMAGED
from reknit.containers.hdf5_bytes import Hdf5Bytes, Record
from reknit.containers.lookup3 import lookup3
from reknit.errors import ContainerError

SPACE, LINK_INFO, TYPE, OLD_FILL, FILL, LINK, EXTERNAL, LAYOUT = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08
FILTERS, CONTINUATION, SYMBOLS = 0x0B, 0x10, 0x11
_SHARED = 2  # the flag of a message that is kept elsewhere
_MAX_HEADER = 64 << 20


class Message(NamedTuple):
    """One message: its type, whether it is kept elsewhere, and its bytes."""

    kind: int
    shared: bool
    data: Record


def read_header(file: Hdf5Bytes, at: int) -> list[Message]:
    """All messages of the object at an address.

    Raises:
        ContainerError: the header is damaged.
    """
    if file.record(at, 4).data == b"OHDR":
        return list(_messages(file, *_open_second(file, at)))
    record = file.record(at, 16)
    record.expect(b"\1\0")
    count, _, size = record.integer(2), record.integer(4), record.integer(4)
    found = list(_messages(file, file.record(at + 16, size), 0, first=True))
    if len(found) != count:
        file.refuse()
    return found


def _open_second(file: Hdf5Bytes, at: int) -> tuple[Record, int]:
    """The messages in the first block of a header of version 2, and its flags."""
    lead = file.record(at, 6)
    lead.expect(b"OHDR\x02")
    flags = lead.integer(1)
    before = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
    width = 1 << (flags & 3)
    size = int.from_bytes(file.record(at + before, width).data, "little")
    block = _checked(file, at, before + width + size + 4)
    block.take(before + width)
    return block, flags


def _checked(file: Hdf5Bytes, at: int, size: int) -> Record:
    """A block that ends in its checksum, without it."""
    if not 4 < size <= _MAX_HEADER:
        file.refuse()
    raw = file.record(at, size).data
    if lookup3(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        raise ContainerError("holds a header that fails its checksum", file.source.path, DAMAGED)
    return Record(file, raw[:-4])


def _messages(file: Hdf5Bytes, block: Record, flags: int, *, first: bool = False) -> Iterator[Message]:
    """The messages of a block and of those it goes on in.

    Args:
        file: the file.
        block: where the messages begin.
        flags: of a header of version 2.
        first: the header is of version 1.
    """
    lead = 8 if first else 4 + 2 * bool(flags & 4)
    blocks = [block]
    while blocks:
        block = blocks.pop(0)
        while block.left >= lead:
            kind = block.integer(2 if first else 1)
            size, own = block.integer(2), block.integer(1)
            block.take(lead - (5 if first else 4))
            data = Record(file, block.take(size))
            if kind == CONTINUATION:
                at, length = data.place(), data.length()
                blocks.append(file.record(at, length) if first else _checked(file, at, length))
                if not first:
                    blocks[-1].expect(b"OCHK")
            yield Message(kind, bool(own & _SHARED), data)
