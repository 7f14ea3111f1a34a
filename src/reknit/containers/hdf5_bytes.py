"""Bytes of an HDF5 file, with the width of its addresses; records are read field by field and never past their end.

Structures of an honest file do not overlap. All that are read for one purpose are together no longer than a few times
the file, so a file whose structures use the same bytes over and over is refused before it takes for ever.
"""

from __future__ import annotations

from typing import NoReturn

from reknit.containers.container import DAMAGED
from reknit.containers.file_bytes import FileBytes
from reknit.errors import ContainerError

_MOST_READS = 4  # times the file, for some records are looked at before they are read
_FREE_READS = 1 << 16


class Hdf5Bytes:
    """A file, and how many bytes an address and a length take in it.

    Attributes:
        source: the file.
        address_size: 2, 4 or 8.
        length_size: 2, 4 or 8.
    """

    def __init__(self, source: FileBytes, address_size: int = 8, length_size: int = 8) -> None:
        """Nothing is read yet."""
        self.source, self.address_size, self.length_size = source, address_size, length_size
        self._left = _MOST_READS * source.size + _FREE_READS

    def record(self, at: int, size: int) -> Record:
        """The bytes at an address.

        Raises:
            ContainerError: the file is shorter, or its structures overlap.
        """
        self._left -= size
        if at + size > self.source.size or self._left < 0:
            self.refuse()
        return Record(self, bytes(self.source.read(at, size)))

    def again(self) -> Hdf5Bytes:
        """The same file, for another purpose."""
        return Hdf5Bytes(self.source, self.address_size, self.length_size)

    def refuse(self) -> NoReturn:
        """Say that the file is damaged."""
        raise ContainerError("is an HDF5 file that is cut short or damaged", self.source.path, DAMAGED)


class Record:
    """Bytes read from front to back."""

    def __init__(self, file: Hdf5Bytes, data: bytes) -> None:
        """Begin at the front."""
        self.file, self.data, self.at = file, data, 0

    @property
    def left(self) -> int:
        """How many bytes are not read yet."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > self.left:
            self.file.refuse()
        self.at += size
        return self.data[self.at - size : self.at]

    def integer(self, size: int) -> int:
        """The next unsigned number of so many bytes."""
        return int.from_bytes(self.take(size), "little")

    def length(self) -> int:
        """The next length."""
        return self.integer(self.file.length_size)

    def address(self) -> int | None:
        """The next address; None for the one that stands for nowhere."""
        raw = self.take(self.file.address_size)
        return None if raw.strip(b"\xff") == b"" else int.from_bytes(raw, "little")

    def place(self) -> int:
        """The next address, which may not stand for nowhere."""
        address = self.address()
        if address is None:
            self.file.refuse()
        return address

    def expect(self, *values: bytes) -> bytes:
        """The next bytes, which have to be one of these of equal length."""
        found = self.take(len(values[0]))
        if found not in values:
            self.file.refuse()
        return found
