"""A strict reader of zip archives, for torch and npz files.

Stricter than ``zipfile``: entries may not overlap, repeat or point out of the archive, what they unpack to is bounded
before it is allocated, and each checksum is verified the first time any byte of its entry is used. Entries are stored
or deflated, never encrypted. Layout: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory)
and 4.3.14 to 4.3.16 (its end, also in zip64).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from reknit.containers.container import DAMAGED, check_key, is_bomb
from reknit.containers.file_bytes import FileBytes
from reknit.errors import ContainerError

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_CHUNK = 1 << 20
_MAX_DIRECTORY = 64 << 20
_STORED, _DEFLATED = 0, 8
_FULL32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in the archive: where it is, how it is packed, how long it claims to be."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    start: int
    limit: int


class ZipArchive:
    """The entries of a zip archive, by name.

    Attributes:
        path: the archive.
        entries: from the central directory, in its order.

    Raises:
        ContainerError: the archive is damaged, or built to do harm.
    """

    def __init__(self, source: FileBytes) -> None:
        """Read the central directory."""
        self.path = source.path
        self._source = source
        self._verified: set[str] = set()
        start, stop, count = self._find_directory()
        if stop - start > _MAX_DIRECTORY:
            raise self._bad(f"has a directory of {stop - start:,} bytes")
        found = list(self._parse_directory(source.read(start, stop - start)))
        if len(found) != count:
            raise self._bad(f"lists {len(found)} entries but claims {count}")
        self.entries = self._bounded(found, start)
        packed = [e for e in found if e.method == _DEFLATED]
        if is_bomb(sum(e.size for e in packed), sum(e.packed for e in packed)):
            raise self._bad(
                f"would unpack to {sum(e.size for e in packed):,} bytes from {source.size:,} (a zip bomb)", ""
            )

    def read(self, name: str, start: int = 0, size: int | None = None) -> memoryview:
        """Bytes of one entry, unpacked; the checksum of the whole entry is verified the first time.

        Raises:
            ContainerError: there is no such entry, it is shorter, or its checksum is wrong.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise self._bad(f"has no entry {name!r}")
        size = entry.size - start if size is None else size
        if start < 0 or size < 0 or start + size > entry.size:
            raise self._bad(f"the entry {name!r} has {entry.size:,} bytes but should have {start + size:,}")
        begin = self._data_start(entry)
        if entry.method == _DEFLATED:
            return self._inflate(entry, begin)[start : start + size]
        if name not in self._verified:
            whole = self._source.read(begin, size) if size == entry.size else None
            crc = zlib.crc32(whole) if whole is not None else self._streamed_crc(begin, entry.size)
            self._check(entry, crc)
            if whole is not None:
                return whole
        return self._source.read(begin + start, size)

    def peek(self, name: str, start: int, size: int) -> memoryview:
        """Bytes near the start of one entry, unpacked no further than needed; the checksum is not verified.

        Raises:
            ContainerError: the entry is damaged or shorter than that.
        """
        entry = self.entries[name]
        begin = self._data_start(entry)
        if start + size > entry.size:
            raise self._bad(f"the entry {name!r} has {entry.size:,} bytes but should have {start + size:,}")
        if entry.method == _STORED:
            return self._source.read(begin + start, size)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            head = inflater.decompress(
                self._source.read(begin, entry.packed), start + size + 1
            )  # 0 would mean no bound
        except zlib.error:
            raise self._bad(f"the entry {name!r} does not unpack") from None
        return memoryview(head)[start : start + size]

    def _find_directory(self) -> tuple[int, int, int]:
        """Where the central directory starts and stops, and how many entries it claims."""
        tail_start = max(0, self._source.size - _END.size - 0xFFFF)
        tail = bytes(self._source.read(tail_start, self._source.size - tail_start))
        at = len(tail)
        while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
            if at + _END.size <= len(tail):
                _, _, _, _, count, size, start, comment = _END.unpack_from(tail, at)
                if at + _END.size + comment == len(tail):
                    break
        else:
            raise self._bad("is a zip archive without its directory")
        stop = tail_start + at
        locator = stop - _LOCATOR64.size
        # torch writes the wide records even where the narrow ones would do
        if locator >= 0 and bytes(self._source.read(locator, 4)) == b"PK\x06\x07":
            stop, count, size, start = self._find_directory64(locator)
        if start + size != stop:
            raise self._bad("has its zip directory in the wrong place")
        return start, stop, count

    def _find_directory64(self, locator: int) -> tuple[int, int, int, int]:
        _, _, at, _ = _LOCATOR64.unpack(self._source.read(locator, _LOCATOR64.size))
        if at + _END64.size != locator:
            raise self._bad("has a damaged zip64 directory")
        magic, *_, count, size, start = _END64.unpack(self._source.read(at, _END64.size))
        if magic != b"PK\x06\x06":
            raise self._bad("has a damaged zip64 directory")
        return at, count, size, start

    def _parse_directory(self, raw: memoryview) -> Iterator[Entry]:
        at = 0
        while at < len(raw):
            if at + _CENTRAL.size > len(raw):
                raise self._bad("has a damaged zip directory")
            magic, _, _, flags, method, _, _, crc, packed, size, n, m, k, disk, _, _, start = _CENTRAL.unpack_from(
                raw, at
            )
            at += _CENTRAL.size
            if magic != b"PK\x01\x02" or at + n + m + k > len(raw) or disk not in (0, 0xFFFF):
                raise self._bad("has a damaged zip directory")
            name = self._decode(bytes(raw[at : at + n]))
            if flags & 0x41:
                raise self._bad(f"the entry {name!r} is encrypted", "Unpack it with its password first")
            if method not in (_STORED, _DEFLATED):
                raise self._bad(f"the entry {name!r} is packed by method {method}, not stored or deflated", "Repack it")
            sizes = self._wide(bytes(raw[at + n : at + n + m]), [size, packed, start])
            at += n + m + k
            yield Entry(name, method, crc, sizes[1], sizes[0], sizes[2], 0)

    def _decode(self, raw: bytes) -> str:
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            name = raw.decode("cp437")
        if name.startswith(("/", "\\")):
            raise self._bad(f"holds the name {name!r}, which points out of its folder", "")
        return check_key(name, self.path)

    def _wide(self, extra: bytes, sizes: list[int]) -> list[int]:
        """Sizes that do not fit in 32 bits, from the zip64 extra field, in its order: size, packed size, offset."""
        if _FULL32 not in sizes:
            return sizes
        at = 0
        while at + 4 <= len(extra):
            kind, length = struct.unpack_from("<2H", extra, at)
            if kind == 1:
                field = extra[at + 4 : at + 4 + length]
                wide = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
                try:
                    return [next(wide) if size == _FULL32 else size for size in sizes]
                except StopIteration:
                    break
            at += 4 + length
        raise self._bad("has a damaged zip64 field")

    def _bounded(self, found: list[Entry], directory: int) -> dict[str, Entry]:
        """The entries with the position each may not pass: the next entry, or the directory."""
        ordered = sorted(found, key=lambda e: e.start)
        bounds = [e.start for e in ordered] + [directory]
        limits = dict(zip((e.name for e in ordered), bounds[1:], strict=True))
        if len(limits) != len(found):
            raise self._bad("holds two entries of one name", "")
        if any(a >= b for a, b in pairwise(bounds)):
            raise self._bad("holds entries that overlap", "")
        entries = {}
        for e in found:
            if e.start + _LOCAL.size + e.packed > limits[e.name]:
                raise self._bad(f"the entry {e.name!r} claims {e.packed:,} bytes that are not its own")
            if e.method == _STORED and e.size != e.packed:
                raise self._bad(f"the entry {e.name!r} claims {e.size:,} bytes but holds {e.packed:,}")
            entries[e.name] = Entry(e.name, e.method, e.crc, e.packed, e.size, e.start, limits[e.name])
        return entries

    def _data_start(self, entry: Entry) -> int:
        magic, *_, name, extra = _LOCAL.unpack(self._source.read(entry.start, _LOCAL.size))
        start: int = entry.start + _LOCAL.size + name + extra
        if magic != b"PK\x03\x04" or start + entry.packed > entry.limit:
            raise self._bad(f"the entry {entry.name!r} is not where the directory says")
        return start

    def _inflate(self, entry: Entry, begin: int) -> memoryview:
        packed = self._source.read(begin, entry.packed)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(packed, entry.size + 1)  # one more than claimed, so that 0 is a bound too
        except zlib.error:
            raise self._bad(f"the entry {entry.name!r} does not unpack") from None
        if len(data) != entry.size or not inflater.eof:
            raise self._bad(f"the entry {entry.name!r} does not unpack to the {entry.size:,} bytes it claims")
        self._check(entry, zlib.crc32(data))
        return memoryview(data)

    def _streamed_crc(self, begin: int, size: int) -> int:
        crc = 0
        for at in range(0, size, _CHUNK):
            crc = zlib.crc32(self._source.read(begin + at, min(_CHUNK, size - at)), crc)
        return crc

    def _check(self, entry: Entry, crc: int) -> None:
        if entry.crc not in (crc, 0):  # torch.serialization.set_crc32_options(False) writes 0: no checksum was kept
            raise self._bad(f"the entry {entry.name!r} fails its checksum")
        self._verified.add(entry.name)

    def _bad(self, problem: str, remedy: str = DAMAGED) -> ContainerError:
        return ContainerError(problem, self.path, remedy)
