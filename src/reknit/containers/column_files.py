"""Tables in Parquet and npz files: typed columns, so no decimals were lost in writing them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from reknit.containers.container import is_printable
from reknit.containers.dtypes import is_float, is_integer
from reknit.containers.file_bytes import FileBytes
from reknit.containers.numpy_files import NpzFile
from reknit.containers.opening import open_container
from reknit.errors import TableError

_REMEDY = "Leave the column out with --inputs or --target, or mend it"
_DAMAGED = "The file is cut short or damaged; write it again"
_CHILD = Path(__file__).with_name("parquet_child.py")
_SECONDS = 60.0
_BYTES_PER_SECOND = 1e6


class ParquetFile:
    """A Parquet file, decoded in a process of its own (``parquet_child``); the attributes are those of ``CsvFile``."""

    groups: Mapping[str, Sequence[str]] = {}
    decimal = False

    def __init__(self, source: FileBytes) -> None:
        """Read the file."""
        self.path = source.path
        if source.size < 12 or bytes(source.read(source.size - 4, 4)) != b"PAR1":
            raise TableError("is a Parquet file that is cut short", source.path, _DAMAGED)
        head, _, self._raw = self._decode(source.size).partition(b"\n")
        self._head = json.loads(head)
        self.names: list[str] = self._head["names"]
        self._rows: int = self._head["rows"]
        if not all(map(is_printable, self.names)):
            raise TableError("has a column whose name is unprintable", source.path, "Rename it")

    def read(self, names: Sequence[str]) -> Float[np.ndarray, "rows columns"]:
        """Columns as float64; nan where a value is missing."""
        places = np.cumsum([0, *self._head["numeric"]])
        values = np.frombuffer(self._raw, "<f8").reshape(places[-1], self._rows)
        picked = np.empty((self._rows, len(names)))
        for at, name in enumerate(names):
            k = self.names.index(name)
            if not self._head["numeric"][k]:
                problem = f"the column {name!r} is not numeric: it holds {self._head['dtypes'][k]}"
                raise TableError(problem, self.path, _REMEDY)
            picked[:, at] = values[places[k]]
        return picked

    def _decode(self, size: int) -> bytes:
        # -P: nothing is imported from the folder the user happens to stand in
        command = [sys.executable, "-P", str(_CHILD), str(self.path.absolute())]
        seconds = _SECONDS + size / _BYTES_PER_SECOND
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=True)  # noqa: S603  a fixed command
        except subprocess.TimeoutExpired:
            raise TableError(
                f"is a Parquet file that takes more than {seconds:.0f} s to read", self.path, _DAMAGED
            ) from None
        except subprocess.CalledProcessError:
            raise TableError("is a damaged Parquet file", self.path, _DAMAGED) from None
        return done.stdout


class NpzColumns:
    """An npz file as a table; the attributes are those of ``CsvFile``."""

    decimal = False

    def __init__(self, source: FileBytes) -> None:
        """Read the headers and lay out the columns."""
        self.path = source.path
        container = open_container(source.path)
        if not isinstance(container, NpzFile):
            raise TableError(
                f"is a {container.format} file, not a table", source.path, "Save it as CSV, Parquet or npz"
            )
        self._container = container
        self.groups: dict[str, list[str]] = {}
        self._places: dict[str, tuple[str, int]] = {}
        rows: dict[int, str] = {}
        for key, info in container.tensors.items():
            if len(info.shape) not in (1, 2):
                problem = f"the array {key!r} has {len(info.shape)} axes; a column has one, a set of columns two"
                raise TableError(problem, source.path)
            rows.setdefault(info.shape[0], key)
            width = info.shape[1] if len(info.shape) == 2 else 1
            columns = [f"{key}_{k}" for k in range(width)] if len(info.shape) == 2 else [key]
            if len(info.shape) == 2:
                self.groups[key] = columns
            for k, name in enumerate(columns):
                if name in self._places:
                    raise TableError(f"has two columns named {name!r}", source.path, "Rename one of the arrays")
                self._places[name] = key, k
        if len(rows) > 1:
            (few, one), (many, other), *_ = sorted(rows.items())
            raise TableError(f"the array {one!r} has {few:,} rows but {other!r} has {many:,}", source.path)
        self._rows = next(iter(rows))
        self.names = list(self._places)

    def read(self, names: Sequence[str]) -> Float[np.ndarray, "rows columns"]:
        """Columns as float64."""
        arrays = {key: self._read_array(key) for key in dict.fromkeys(self._places[name][0] for name in names)}
        values = np.empty((self._rows, len(names)))
        for at, name in enumerate(names):
            key, k = self._places[name]
            values[:, at] = arrays[key][:, k]
        return values

    def _read_array(self, key: str) -> np.ndarray:
        dtype = self._container.tensors[key].dtype
        if not is_float(dtype) and not is_integer(dtype) and dtype != "bool":
            raise TableError(f"the array {key!r} is not numeric: it holds {dtype}", self.path, _REMEDY)
        array = self._container.read(key)
        return array[:, None] if array.ndim == 1 else array
