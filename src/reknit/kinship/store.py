"""What is known of files, kept between runs in one DuckDB file: their sketches, and the pairs compared in full.

    files       id, sha256 of all names, dtypes, shapes and numbers, path where it was last seen
    vectors     the sketch of each file (``sketches``)
    relations   a pair of files, smaller id first, and what was found, as JSON

A file that is there again costs one hash; one more file costs its sketch, one comparison of sketches with all others,
and the full comparisons that this asks for. What was found by another version of the program, or with other options, is
not believed and is found again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from reknit.errors import InputError
from reknit.kinship.sketches import VERSION, Vector

if TYPE_CHECKING:
    import duckdb

_LAYOUT = 1
_TABLES = """
create table if not exists about (name varchar primary key, value varchar);
create table if not exists files (id integer primary key, sha256 varchar not null, path varchar not null);
create table if not exists vectors (file integer not null, place integer not null, kind varchar not null,
    tensor varchar not null, numbers blob not null);
create table if not exists relations (first integer not null, second integer not null, options varchar not null,
    found varchar not null, primary key (first, second, options));
"""
IN_MEMORY = ":memory:"


class Store:
    """Files, sketches and relations; a context manager.

    Args:
        path: the database; None: in memory, for one run.
        seed: of the sketches.

    Raises:
        InputError: the file is no database of ours, was made with another seed, or another process has it open.
    """

    def __init__(self, path: str | Path | None = None, seed: int = 0) -> None:
        self.path = IN_MEMORY if path is None else str(path)
        self._db = _opened(self.path)
        with ExitStack() as refused:
            refused.push(self.__exit__)
            self._db.execute(_TABLES)
            self._check({"layout": _LAYOUT, "sketch": VERSION, "seed": seed})
            refused.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, after an error or none.

        Raises:
            InputError: the error is the database's: it is damaged, another program's, or the disk is full.
        """
        import duckdb

        self._db.close()
        if isinstance(error, duckdb.Error):
            reason = str(error).splitlines()[0]
            raise InputError(
                f"cannot be used as a database: {reason}", self.path, "Name another file with --db"
            ) from None

    def add(self, sha256: str, path: str | Path, vectors: Iterable[Vector]) -> int:
        """Keep a file's sketch, and tell its number; a file that is known keeps its own."""
        known = self.find(sha256, path)
        if known is not None:
            self._db.execute("update files set path = ? where id = ?", [str(path), known])
            return known
        number = max(self.files(), default=-1) + 1
        rows = [
            (number, place, vector.kind, vector.tensor, vector.numbers.astype("<f8").tobytes())
            for place, vector in enumerate(vectors)
        ]
        with self._whole():
            self._db.execute("insert into files values (?, ?, ?)", [number, sha256, str(path)])
            if rows:
                self._db.executemany("insert into vectors values (?, ?, ?, ?, ?)", rows)
        return number

    def find(self, sha256: str, path: str | Path) -> int | None:
        """The number of a file, if it is known: here, or at a place where it is no more. A copy is another file."""
        asked = "select id, path from files where sha256 = ? order by path <> ?, id"
        for number, known in self._db.execute(asked, [sha256, str(path)]).fetchall():
            if known == str(path) or not Path(known).exists():
                return int(number)
        return None

    def files(self) -> dict[int, str]:
        """Number -> path, ascending."""
        return dict(self._db.execute("select id, path from files order by id").fetchall())

    def sketches(self) -> dict[int, tuple[Vector, ...]]:
        """Number -> vectors, ascending."""
        found: dict[int, list[Vector]] = {number: [] for number in self.files()}
        asked = "select file, kind, tensor, numbers from vectors order by file, place"
        for number, kind, tensor, numbers in self._db.execute(asked).fetchall():
            found[number].append(Vector(kind, tensor, np.frombuffer(numbers, "<f8")))
        return {number: tuple(vectors) for number, vectors in found.items()}

    def keep(self, pair: tuple[int, int], options: str, found: Mapping[str, Any]) -> None:
        """Keep what was found of two files."""
        text = json.dumps(found)  # e-values may be 0, so minus infinity in logarithms
        self._db.execute("insert or replace into relations values (?, ?, ?, ?)", [*sorted(pair), options, text])

    def relations(self, options: str) -> dict[tuple[int, int], dict[str, Any]]:
        """Every pair that was compared in full with these options."""
        asked = "select first, second, found from relations where options = ? order by first, second"
        return {(a, b): json.loads(text) for a, b, text in self._db.execute(asked, [options]).fetchall()}

    def _check(self, wanted: Mapping[str, int]) -> None:
        held = dict(self._db.execute("select name, value from about").fetchall())
        for name, value in wanted.items():
            if name not in held:
                self._db.execute("insert into about values (?, ?)", [name, str(value)])
            elif held[name] != str(value):
                raise InputError(f"its {name} is {held[name]}, not {value}", self.path, "Name another file with --db")

    def _whole(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    """All of a block, or nothing."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("begin")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.execute("rollback" if kind else "commit")


def _opened(path: str) -> duckdb.DuckDBPyConnection:
    import duckdb

    if path != IN_MEMORY and Path(path).exists() and not Path(path).is_file():
        raise InputError("is no file", path, "Name a file with --db")
    try:
        return duckdb.connect(path, config={"threads": 1, "enable_external_access": "false"})
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot be opened as a database: {reason}", path, "Name another file with --db") from None
