"""A data table: the inputs of a network and the outputs recorded for them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from reknit.containers.column_files import NpzColumns, ParquetFile
from reknit.containers.columns import choose
from reknit.containers.csv_file import CsvFile
from reknit.containers.decimals import decimal_step, is_dyadic
from reknit.containers.file_bytes import FileBytes
from reknit.containers.opening import foreign_format
from reknit.errors import ContainerError, TableError


@dataclass(frozen=True, eq=False)
class Table:
    """Recorded inputs and outputs, one row for each sample; every value is finite.

    Attributes:
        path: the file.
        inputs: ``[rows, d]``, in the order of ``input_names``.
        outputs: ``[rows, o]``, in the order of ``output_names``.
        input_names: the columns chosen as inputs.
        output_names: the columns chosen as targets.
        input_step: the decimal grid each input column was rounded to (1e-4: at most 4 decimals); 0.0 where there is
            none, where it is finer than float32 resolves, or where all values are multiples of 1/1024 (counts and codes
            are exact).
        output_step: the same for the outputs, where whole numbers do count as rounded, to a step of 1.
        dropped: rows left out because a chosen column has no finite value there.
        dropped_columns: the columns that lacked one.
    """

    path: Path
    inputs: Float[np.ndarray, "rows d"] = field(repr=False)
    outputs: Float[np.ndarray, "rows o"] = field(repr=False)
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    input_step: Float[np.ndarray, " d"] = field(repr=False)
    output_step: Float[np.ndarray, " o"] = field(repr=False)
    dropped: int
    dropped_columns: tuple[str, ...]

    @property
    def rows(self) -> int:
        """The rows that can be used."""
        return len(self.inputs)

    @cached_property
    def sha256(self) -> str:
        """A hash of the names and numbers, whatever the file's format."""
        digest = hashlib.sha256(repr((self.input_names, self.output_names)).encode())
        for array in (self.inputs, self.outputs):
            digest.update(np.ascontiguousarray(array, "<f8").data)
        return digest.hexdigest()


def read_table(path: str | Path, *, target: str | None = None, inputs: str | None = None) -> Table:
    """Read the columns that matter from a CSV (comma-separated, with a header), Parquet or npz file.

    In an npz an array of one axis is a column, and an array ``x`` of two axes is the columns ``x_0``, ``x_1``, ...;
    all arrays have equally many rows. Rows in which a chosen column is empty, ``NA``, ``nan``
    or infinite are dropped and counted.

    Args:
        path: the file; its format is told from its content.
        target: names or globs (``pred_*``) of the outputs, separated by commas; None: ``pred``, else all ``pred_*``.
        inputs: the same for the inputs; None: every column but the targets, ``pred*`` and ``true*``. A glob takes
            columns in the order of the file, and never a target.

    Raises:
        TableError: the file is no table or lacks what was asked of it; the sentence names the file and the column.
    """
    path = Path(path)
    try:
        source = _open(FileBytes(path))
        input_names, output_names = choose(source.names, source.groups, target, inputs, path)
        values = source.read([*input_names, *output_names])
    except ContainerError as error:
        raise TableError(error.problem, error.where, error.remedy) from None
    good = np.isfinite(values)
    kept = good.all(1)
    names = (*input_names, *output_names)
    lacking = tuple(name for name, whole in zip(names, good.all(0), strict=True) if not whole)
    if not kept.any():
        if not len(values):
            raise TableError("has a header but no rows", path)
        culprit = names[int(good.sum(0).argmin())]
        raise TableError(f"has no usable row: every row lacks a finite value, most often in {culprit!r}", path)
    if lacking:
        values = values[kept]
    split = len(input_names)
    x, y = np.ascontiguousarray(values[:, :split]), np.ascontiguousarray(values[:, split:])
    x_step = np.array([0.0 if is_dyadic(column) else decimal_step(column) for column in x.T])
    y_step = np.array([decimal_step(column) for column in y.T])
    if not source.decimal:
        x_step, y_step = np.zeros_like(x_step), np.zeros_like(y_step)
    return Table(path, x, y, input_names, output_names, x_step, y_step, int((~kept).sum()), lacking)


def _open(source: FileBytes) -> CsvFile | ParquetFile | NpzColumns:
    lead = bytes(source.read(0, min(source.size, 64)))
    if lead.startswith(b"PAR1"):
        return ParquetFile(source)
    if lead.startswith(b"PK"):
        return NpzColumns(source)
    if not source.size:
        raise TableError("is empty", source.path)
    foreign = foreign_format(lead)
    if foreign:
        raise TableError(f"is {foreign}, not a table", source.path, "Save it as CSV, Parquet or npz")
    return CsvFile(source)
