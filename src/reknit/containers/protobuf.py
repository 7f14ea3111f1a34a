"""A reader of protobuf's wire format: the fields of a message by position, over a file of any size.

A message is a row of fields, each a tag (field number and wire type, as a varint) and a value: a varint, 4 or 8 bytes,
or a length and as many bytes (protobuf.dev, "Encoding"). Bytes that are not asked for are passed over, not read, so the
numbers of a large model stay on the disk. Groups, the wire types 3 and 4, were given up long ago and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, NoReturn

import numpy as np

from reknit.containers.container import DAMAGED
from reknit.containers.file_bytes import FileBytes
from reknit.errors import ContainerError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WINDOW = 1 << 16
_MAX_FIELDS = 2_000_000
_MAX_TEXT = 1 << 16
_LONGEST = 10  # bytes of a varint


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: which field it is.
        kind: its wire type.
        value: of a varint, unsigned; else 0.
        begin: where its bytes begin.
        end: where they end.
    """

    number: int
    kind: int
    value: int
    begin: int
    end: int


class Wire:
    """The messages in one file; how many fields are looked at in all is bounded.

    Args:
        source: the file.
        what: what it is, for the sentences of the errors: ``an ONNX file``.
    """

    def __init__(self, source: FileBytes, what: str) -> None:
        """Nothing is read yet."""
        self.source, self._what = source, what
        self._start, self._window = 0, b""
        self._left = _MAX_FIELDS

    def fields(self, begin: int, end: int) -> Iterator[Field]:
        """The fields of the message between two positions.

        Raises:
            ContainerError: it is damaged, or the file has too many fields.
        """
        at = begin
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise ContainerError(f"is {self._what} of more than {_MAX_FIELDS:,} fields", self.source.path)
            tag, at = self._varint(at, end)
            number, kind = tag >> 3, tag & 7
            value, size = 0, {FIXED64: 8, FIXED32: 4}.get(kind, 0)
            if kind == VARINT:
                value, at = self._varint(at, end)
            elif kind == BYTES:
                size, at = self._varint(at, end)
            elif not size:
                self.refuse()
            if size > end - at or not number:
                self.refuse()
            yield Field(number, kind, value, at, at + size)
            at += size

    def text(self, field: Field) -> str:
        """The text of a field.

        Raises:
            ContainerError: it is none, or far too long for a name.
        """
        if field.kind != BYTES or field.end - field.begin > _MAX_TEXT:
            self.refuse()
        try:
            return bytes(self.source.read(field.begin, field.end - field.begin)).decode()
        except UnicodeDecodeError:
            self.refuse()

    def integers(self, field: Field, most: int) -> list[int]:
        """The signed numbers of a repeated integer field, one by one or packed; at most so many."""
        if field.kind == VARINT:
            return [_signed(field.value)]
        found: list[int] = []
        at = field.begin
        if field.kind != BYTES or field.end - at > most * _LONGEST:
            self.refuse()
        while at < field.end:
            value, at = self._varint(at, field.end)
            found.append(_signed(value))
        return found

    def refuse(self) -> NoReturn:
        """Say that the file is damaged."""
        raise ContainerError(f"is {self._what} that is cut short or damaged", self.source.path, DAMAGED)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """An unsigned number of up to 64 bits, and where it ends."""
        value = shift = 0
        while True:
            if at >= end or shift >= 7 * _LONGEST:
                self.refuse()
            place = at - self._start
            if not 0 <= place < len(self._window):
                self._start, place = at, 0
                self._window = bytes(self.source.read(at, min(_WINDOW, self.source.size - at)))
            byte = self._window[place]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (2**64 - 1), at
            shift += 7


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def unpack_varints(raw: np.ndarray) -> np.ndarray | None:
    """All varints of a packed field.

    Args:
        raw: its bytes, uint8.

    Returns:
        uint64; None if the bytes end in the middle of a number, or a number is longer than 64 bits.

    >>> unpack_varints(np.array([1, 0x96, 1], np.uint8)).tolist()
    [1, 150]
    """
    last = np.flatnonzero(raw < 0x80)
    if not len(raw):
        return np.empty(0, np.uint64)
    if not len(last) or last[-1] != len(raw) - 1:
        return None
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _LONGEST:
        return None
    values = np.zeros(len(last), np.uint64)
    for k in range(int(lengths.max())):  # the k-th byte of every number that has one
        there = lengths > k
        values[there] |= (raw[first[there] + k] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * k)
    return values
