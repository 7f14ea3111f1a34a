"""Reads one Parquet file in a process of its own, started by ``column_files``; imports nothing of reknit.

A damaged Parquet file can make the decoder claim exabytes and abort the process (seen with polars 2.1: one flipped byte
in the footer). Here that costs the child only.

Output on stdout: one line of JSON, ``{"names": [...], "dtypes": [...], "numeric": [...], "rows": n}``, then the numeric
columns one after the other as little-endian float64; a missing value is nan.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

_ADDRESS_SPACE = 8 << 30


def main(path: str) -> None:
    """Read one file and write it to stdout."""
    if resource is not None:
        limit = _ADDRESS_SPACE + 100 * Path(path).stat().st_size
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    frame = pl.read_parquet(path, glob=False)
    numeric = [dtype.is_numeric() or dtype == pl.Boolean for dtype in frame.dtypes]
    head = {
        "names": frame.columns,
        "dtypes": [str(dtype) for dtype in frame.dtypes],
        "numeric": numeric,
        "rows": frame.height,
    }
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    for series, wanted in zip(frame.get_columns(), numeric, strict=True):
        if wanted:
            values = series.cast(pl.Float64).to_numpy().astype("<f8")
            sys.stdout.buffer.write(values.tobytes())


if __name__ == "__main__":
    main(sys.argv[1])
