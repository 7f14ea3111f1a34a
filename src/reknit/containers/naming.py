"""Which files of a folder hold tensors, and a name of its own for everything in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reknit.containers.container import Container, is_printable
from reknit.containers.file_bytes import unreadable
from reknit.containers.safetensors_file import INDEX_SUFFIX, ShardedSafetensors
from reknit.errors import PileError


@dataclass(frozen=True, slots=True)
class Label:
    """Where something was found.

    Attributes:
        file: the file's full name.
        stem: the file's name without its ending; of a sharded container, that of the index.
        part: the key or prefix inside the file; empty where it stands for the whole file.
    """

    file: str
    stem: str
    part: str


def label(container: Container, file: Path, part: str) -> Label:
    """The label of what a container holds under a key or prefix; of a file of one unnamed tensor the part is a stem."""
    if container.unnamed:
        return Label(file.name, part or file.stem, "")
    return Label(file.name, container.stem if isinstance(container, ShardedSafetensors) else file.stem, part)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """A sort key that puts ``piece_2`` before ``piece_10``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def find_files(path: Path, what: str = "pieces") -> list[Path]:
    """The containers in a flat folder (an index stands for its shards), or the one file given.

    Hidden files and ``*.json`` are left aside.

    Args:
        path: a file or folder.
        what: what is looked for, for the sentences of the errors.

    Raises:
        ContainerError: the folder cannot be read, or has a damaged index.
        PileError: it holds folders, unprintable names, or no file at all.
    """
    try:
        if not path.is_dir():
            return [path]
        found = sorted(path.iterdir(), key=lambda file: natural_key(file.name))
        folders = [file.name for file in found if file.is_dir() and not file.name.startswith(".")]
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    for name in folders:
        raise PileError(f"holds the folder {name!r}; a pile is a flat folder of files", path, "Move it elsewhere")
    for file in found:
        if not is_printable(file.name):
            raise PileError(f"holds a file with an unprintable name: {file.name!a}", path, "Rename it")
    indexes = [file for file in found if file.name.endswith(INDEX_SUFFIX) and not file.name.startswith(".")]
    shards = {shard for index in indexes for shard in ShardedSafetensors(index).files}
    single = [f for f in found if not f.name.startswith(".") and f.suffix != ".json" and f not in shards]
    if not indexes and not single:
        raise PileError(f"is a folder without {what}", path, "Name the folder that holds the weight files")
    return indexes + single


def unique_names(path: Path, groups: Sequence[Sequence[Label]], what: str = "pieces") -> list[str]:
    """A name for every label, all different.

    What is alone in its file is called by the file's stem; else by its part, or ``stem:part`` if several files are
    read. Where two names meet, the file's full name takes the place of the stem.

    Args:
        path: what is read, for the sentences of the errors.
        groups: the labels of each file.
        what: what they are, for the same.

    Returns:
        One name for each label, in the order given.

    Raises:
        PileError: two names stay the same.
    """
    several = len(groups) > 1
    drafts = [(at, _draft(at, len(group) == 1, several)) for group in groups for at in group]
    count = Counter(name for _, name in drafts)
    names: dict[str, None] = {}
    for at, draft in drafts:
        name = draft
        if count[draft] > 1:
            name = f"{at.file}:{at.part}" if ":" in draft and at.part else at.file
        if name in names or (name != draft and name in count):
            raise PileError(f"two {what} would be named {name!r}", path, "Rename one of the files")
        names[name] = None
    return list(names)


def _draft(at: Label, alone: bool, several: bool) -> str:
    if alone or not at.part:
        return at.stem
    return f"{at.stem}:{at.part}" if several else at.part
