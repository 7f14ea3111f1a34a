"""What a group of an HDF5 file holds: names and addresses of objects (HDF5 File Format Specification 3.0, III and IV).

Older groups keep a tree of tables of symbols and a heap of names, newer ones a message for each link. Very full newer
groups keep them in a fractal heap, which is refused. Soft and external links, which only say where something else is,
are left aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reknit.containers.container import MAX_KEY
from reknit.containers.hdf5_bytes import Hdf5Bytes, Record
from reknit.containers.hdf5_header import LINK, LINK_INFO, SYMBOLS, Message
from reknit.errors import ContainerError

_MAX_HEAP = 64 << 20
_MAX_NAME = 4 * MAX_KEY  # a letter takes up to four bytes
_HARD = 0


def is_group(messages: Sequence[Message]) -> bool:
    """Whether an object is a group."""
    return any(message.kind in (SYMBOLS, LINK, LINK_INFO) for message in messages)


def links(file: Hdf5Bytes, messages: Sequence[Message], where: str) -> Iterator[tuple[str, int]]:
    """Names and addresses of what a group holds, in the order stored.

    Args:
        file: the file.
        messages: of the group.
        where: the group's path, for the sentences of the errors.

    Raises:
        ContainerError: the group is damaged, or kept in a way that is not read.
    """
    for message in messages:
        if message.kind == SYMBOLS:
            yield from _symbols(file, message.data)
        elif message.kind == LINK_INFO:
            message.data.expect(b"\0")
            message.data.take(8 if message.data.integer(1) & 1 else 0)
            if message.data.address() is not None:
                problem = f"holds the group {where!r:.100} with its links in a fractal heap, which is not supported"
                raise ContainerError(problem, file.source.path, "Save it again with libver='earliest'")
        elif message.kind == LINK:
            yield from _link(file, message.data)


def _link(file: Hdf5Bytes, data: Record) -> Iterator[tuple[str, int]]:
    """A link message."""
    data.expect(b"\1")
    flags = data.integer(1)
    kind = data.integer(1) if flags & 8 else _HARD
    data.take(8 * bool(flags & 4) + bool(flags & 16))
    size = data.integer(1 << (flags & 3))
    name = _name(file, data.take(size))
    if kind == _HARD:
        yield name, data.place()


def _symbols(file: Hdf5Bytes, data: Record) -> Iterator[tuple[str, int]]:
    """A tree of tables, and the heap with the names in them."""
    tree, heap = data.place(), data.place()
    lead = file.record(heap, 8 + 2 * file.length_size + file.address_size)
    lead.expect(b"HEAP\0")
    lead.take(3)
    size, _, start = lead.length(), lead.length(), lead.place()
    if size > _MAX_HEAP:
        file.refuse()
    names = file.record(start, size).data
    for table in walk_tree(file, tree, 0, file.length_size):
        lead = file.record(table, 8)
        lead.expect(b"SNOD\1")
        lead.take(1)
        width = 2 * file.address_size + 24
        count = lead.integer(2)
        entries = file.record(table + 8, count * width)
        for _ in range(count):
            at, target = entries.address(), entries.address()
            cached = entries.integer(4)
            entries.take(20)
            if cached == 2:  # a soft link
                continue
            if at is None or not 0 <= at < len(names) or (end := names.find(b"\0", at, at + _MAX_NAME)) < 0:
                file.refuse()
            if target is None:
                file.refuse()
            yield _name(file, names[at:end]), target


def walk_tree(file: Hdf5Bytes, root: int, kind: int, key_size: int) -> Iterator[int]:
    """The addresses at the leaves of a version 1 B-tree, in order; see ``walk_keys``."""
    yield from (child for _, child in walk_keys(file, root, kind, key_size))


def walk_keys(file: Hdf5Bytes, root: int, kind: int, key_size: int) -> Iterator[tuple[Record, int]]:
    """The keys and addresses at the leaves of a version 1 B-tree, in order.

    Args:
        file: the file.
        root: the address of the root.
        kind: 0 for groups, 1 for chunks.
        key_size: the bytes of a key.

    Raises:
        ContainerError: a node is damaged, or not one level below its parent.
    """
    waiting: list[tuple[int, int | None]] = [(root, None)]
    while waiting:
        at, level = waiting.pop()
        lead = file.record(at, 8 + 2 * file.address_size)
        lead.expect(b"TREE")
        found, its_level, count = lead.integer(1), lead.integer(1), lead.integer(2)
        if found != kind or level not in (None, its_level):
            file.refuse()
        entries = file.record(at + 8 + 2 * file.address_size, count * (key_size + file.address_size))
        children = [(Record(file, entries.take(key_size)), entries.place()) for _ in range(count)]
        if its_level == 0:
            yield from children
        else:
            waiting += [(child, its_level - 1) for _, child in reversed(children)]


def _name(file: Hdf5Bytes, raw: bytes) -> str:
    if len(raw) > _MAX_NAME:
        file.refuse()
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        file.refuse()
    if not name or "/" in name:
        file.refuse()
    return name
