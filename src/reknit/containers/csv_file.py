"""CSV files: comma-separated, UTF-8, one header line. Read whole, checked line by line, parsed by numpy or polars."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from reknit.containers.container import is_printable
from reknit.containers.file_bytes import FileBytes
from reknit.errors import TableError

_MISSING = ["", "NA", "N/A", "n/a", "na", "null", "NULL", "None", "#N/A"]
_NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf|infinity)\s*", re.IGNORECASE)
_BLANK_LINES = re.compile(rb"(?<=\n)[ \t]*\n")
_SMALL = 1 << 23
"""Bytes up to which numpy is done before polars would be loaded."""
_PLAIN = b"0123456789+-.eE,\n"
_NOTHING_BETWEEN = (b",,", b",\n", b"\n,")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_RAGGED = "Give every row as many values as the header has names"


class CsvFile:
    """A CSV file.

    Attributes:
        path: the file.
        names: its columns in order; they differ.
        groups: no names stand for several columns.
        decimal: numbers are written as decimals, so they may have been rounded to some.
    """

    groups: Mapping[str, Sequence[str]] = {}
    decimal = True

    def __init__(self, source: FileBytes) -> None:
        """Read the file and check its shape."""
        self.path = source.path
        self._data = _clean(bytes(source.read(0, source.size)), source.path)
        header, self._rows, self._blank = self._measure_quoted() if b'"' in self._data else self._measure()
        self.names = [name.strip(" \t") for name in header]
        self._check_names()

    def read(self, names: Sequence[str]) -> Float[np.ndarray, "rows columns"]:
        """Columns as float64; nan where a value is missing.

        Raises:
            TableError: a column is not numeric; the sentence names it and the first bad line.
        """
        at = {name: k for k, name in enumerate(self.names)}
        columns = [at[name] for name in names]
        if self._rows and self._is_plain():
            return self._read_plain(columns)
        return self._read_any(columns)

    def _is_plain(self) -> bool:
        """Whether the rows are few and hold nothing but digits, signs and points, none of them blank or missing."""
        body = self._data[self._data.find(b"\n") :]
        if len(body) > _SMALL or self._blank or any(gap in body for gap in _NOTHING_BETWEEN):
            return False
        return not body.translate(None, _PLAIN)

    def _read_plain(self, columns: Sequence[int]) -> Float[np.ndarray, "rows columns"]:
        text = io.BytesIO(self._data[self._data.find(b"\n") + 1 :])
        try:
            values = np.loadtxt(text, delimiter=",", comments=None, usecols=columns, ndmin=2)
        except ValueError:
            raise self._bad_value(columns) from None
        return values

    def _read_any(self, columns: Sequence[int]) -> Float[np.ndarray, "rows columns"]:
        import polars as pl  # takes longer to load than numpy takes to read a small file

        # a line of our own goes first: polars would unpack a file that begins like a packed one, such as with "x^"
        text = b"0" + self._data[self._data.find(b"\n") :]
        try:
            frame = pl.read_csv(
                io.BytesIO(_BLANK_LINES.sub(b"", text) if self._blank else text),
                has_header=False,
                skip_rows=1,
                columns=sorted(columns),
                schema={f"{k}": pl.Float64 for k in range(len(self.names))},
                null_values=_MISSING,
            )
        except pl.exceptions.NoDataError:
            return np.empty((0, len(columns)))
        except pl.exceptions.PolarsError:
            raise self._bad_value(columns) from None
        if frame.height != self._rows:
            raise TableError(f"has {self._rows:,} rows, of which only {frame.height:,} can be read", self.path)
        return frame.select([f"{k}" for k in columns]).to_numpy()

    def _measure(self) -> tuple[list[str], int, bool]:
        """Header, number of rows and whether there are blank lines, of a file without quotes; no row is ragged."""
        raw = np.frombuffer(self._data, np.uint8)
        ends = np.flatnonzero(raw == ord("\n"))
        commas = np.diff(np.searchsorted(np.flatnonzero(raw == ord(",")), ends), prepend=0)
        header = self._data[: ends[0]].decode().split(",")
        starts = np.concatenate(([0], ends[:-1] + 1))
        blank = 0
        for line in np.flatnonzero((commas != len(header) - 1) | (ends == starts)):
            if self._data[starts[line] : ends[line]].strip():
                raise self._ragged(int(line) + 1, int(commas[line]) + 1, len(header))
            blank += 1
        return header, len(ends) - 1 - blank, blank > 0

    def _measure_quoted(self) -> tuple[list[str], int, bool]:
        """The same, for a file in which a quoted value may hold commas and line ends."""
        header: list[str] = []
        rows = -1
        for line, row in self._parsed():
            header = header or row
            if len(row) != len(header):
                raise self._ragged(line, len(row), len(header))
            rows += 1
        return header, rows, True

    def _parsed(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(self._data.decode(), newline=""), strict=True)
        try:
            for row in reader:
                if row and (len(row) > 1 or row[0].strip()):
                    yield reader.line_num, row
        except csv.Error as error:
            raise TableError(f"line {reader.line_num} is damaged: {error}", self.path) from None

    def _check_names(self) -> None:
        # a name over several lines is among those refused, so the header is one line
        if all(_NUMBER.fullmatch(name) for name in self.names):
            raise TableError("has no header: its first line holds numbers", self.path, "Put the column names on top")
        if len(self.names) == 1:
            found = next((name for sign, name in _SEPARATORS.items() if sign in self.names[0]), None)
            problem = (
                f"seems to be separated by {found}, not by commas" if found else "is not a table of several columns"
            )
            raise TableError(problem, self.path, "Save it as CSV with commas and a header, as Parquet or as npz")
        for name in self.names:
            if not name or not is_printable(name):
                raise TableError(f"has a column named {name[:40]!r}", self.path, "Give every column a name")
        twice = next((name for name, count in Counter(self.names).items() if count > 1), None)
        if twice is not None:
            raise TableError(f"has two columns named {twice!r}", self.path, "Rename one of them")

    def _bad_value(self, columns: Sequence[int]) -> TableError:
        for line, row in self._parsed():
            for k in columns if line > 1 else ():
                if row[k] not in _MISSING and not _NUMBER.fullmatch(row[k]):
                    problem = f"the column {self.names[k]!r} is not numeric: line {line} holds {row[k][:40]!r}"
                    return TableError(problem, self.path, "Leave the column out with --inputs or --target, or mend it")
        return TableError("holds a value that is no number", self.path)

    def _ragged(self, line: int, found: int, expected: int) -> TableError:
        return TableError(f"line {line} has {found} values but the header has {expected} names", self.path, _RAGGED)


def _clean(data: bytes, path: Path) -> bytes:
    """The text in UTF-8 without a byte-order mark, every line ended by a line feed."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TableError("is encoded in UTF-16", path, "Save it in UTF-8")
    if b"\0" in data:
        raise TableError("is no text: it holds NUL bytes", path, "Save it as CSV, Parquet or npz")
    if not data.isascii():
        data = data.removeprefix(b"\xef\xbb\xbf")
        try:
            data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise TableError(f"is not encoded in UTF-8: line {line}", path, "Save it in UTF-8") from None
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.strip():
        raise TableError("is empty", path)
    if not data[: data.find(b"\n")].strip():
        raise TableError("has no header: its first line is empty", path, "Put the column names on top")
    return data if data.endswith(b"\n") else data + b"\n"
