"""A pile of pieces: every layer at hand, from one file or a folder of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reknit.containers.container import Container
from reknit.containers.naming import Label, find_files, label, natural_key, unique_names
from reknit.containers.opening import open_container
from reknit.containers.pieces import Parts, Piece, group, read_piece


@dataclass(frozen=True, eq=False)
class Pile:
    """All pieces at hand, in the natural order of their names (``piece_2`` before ``piece_10``).

    Attributes:
        path: the file or folder they were read from.
        pieces: at least one; their names differ.
    """

    path: Path
    pieces: tuple[Piece, ...]

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self.pieces)

    def __iter__(self) -> Iterator[Piece]:
        """The pieces in order."""
        return iter(self.pieces)

    def __getitem__(self, name: str) -> Piece:
        """A piece by its name; KeyError if there is none."""
        return self._by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names in order."""
        return tuple(piece.name for piece in self.pieces)

    @cached_property
    def sha256(self) -> str:
        """A hash of the names and numbers of all pieces, however they are packed in files."""
        lines = (f"{piece.sha256} {piece.name}\n" for piece in self.pieces)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def _by_name(self) -> dict[str, Piece]:
        return {piece.name: piece for piece in self.pieces}


def read_pile(path: str | Path) -> Pile:
    """Read every piece of a file, of a folder of files, or of a folder of shards.

    A piece is one key prefix: ``foo.weight`` with ``foo.bias`` is the piece ``foo``; bare ``weight`` and ``bias``
    belong to the file. A file of one tensor without a name (npy, ``torch.save(tensor)``) counts as a weight if it has
    two axes and as a bias if one; ``foo.weight.npy`` and ``foo.bias.npy`` make one piece.

    A piece is named after its file's stem if the file holds no other; else by its prefix, or ``stem:prefix`` if
    several files are read. Where two names meet, the file's full name takes the place of the stem. Of a folder, hidden
    files and ``*.json`` are left aside (an index of shards is followed); every other file has to be a container.

    Returns:
        At least one piece, in natural order of the names. Integer weights are dequantized by the ``weight_scale`` (or
        ``scale``) and ``weight_zero_point`` beside them.

    Raises:
        ContainerError: a file cannot be read.
        PileError: there are no pieces, or one is not a linear layer's; the sentence names the piece or file.
    """
    path = Path(path)
    containers = [open_container(file) for file in find_files(path)]
    named = _named(path, _grouped(containers))
    pieces = [read_piece(name, parts) for name, parts in named.items()]
    return Pile(path, tuple(sorted(pieces, key=lambda piece: natural_key(piece.name))))


def _grouped(containers: list[Container]) -> list[list[Parts]]:
    """The pieces of each container; those of files of one unnamed tensor, such as ``foo.bias.npy``, put together."""
    groups: list[list[Parts]] = []
    unnamed: dict[str, Parts] = {}
    for container in containers:
        parts = list(group(container))
        if container.unnamed:
            (part,) = parts
            met = unnamed.setdefault(part.prefix, part)
            if met is not part and not met.tensors.keys() & part.tensors.keys():
                met.tensors.update(part.tensors)
                continue
        groups.append(parts)
    return groups


def _named(path: Path, groups: list[list[Parts]]) -> dict[str, Parts]:
    """Every piece by a name of its own."""
    labels = [[_label(parts) for parts in group] for group in groups]
    return dict(zip(unique_names(path, labels), (parts for group in groups for parts in group), strict=True))


def _label(parts: Parts) -> Label:
    (container, _) = next(iter(parts.tensors.values()))
    return label(container, parts.file, parts.prefix)
