"""A safetensors file written tensor by tensor, so that a network need not be in memory as a whole.

The layout is told in ``safetensors_file``. As the format's own library has it, wide numbers go before narrow ones, so
that all are aligned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.containers.safetensors_file import DTYPE_NAMES
from reknit.containers.write import write_file
from reknit.errors import OutputError

Described = Mapping[str, tuple[str, tuple[int, ...]]]
Numbers = Callable[[str], bytes | memoryview]


def write_safetensors(path: str | Path, described: Described, numbers: Numbers, *, force: bool = False) -> None:
    """Write one file, whole or not at all.

    Args:
        path: where to.
        described: key -> dtype and shape.
        numbers: the bytes of a key, one axis of them, little-endian and in C order; asked for once each, in the order
            of the file.
        force: replace an existing file.

    Raises:
        OutputError: the format has no such dtype, something is there and ``force`` is off, or it cannot be written.
    """
    write_file(path, safetensors_parts(path, described, numbers), force=force)


def safetensors_parts(
    path: str | Path, described: Described, numbers: Numbers, *, by_name: bool = True
) -> Iterator[bytes | memoryview]:
    """The content of a file, part by part; see ``write_safetensors``.

    Args:
        path: for the words of an error.
        described: key -> dtype and shape.
        numbers: the bytes of a key.
        by_name: sorted as the format's own library has it; else the header keeps the order given, and so do the
            numbers, but for wide ones that go before narrow ones.
    """
    sizes, names = {}, {dtype: name for name, dtype in DTYPE_NAMES.items()}
    for key, (dtype, shape) in described.items():
        if dtype not in names:
            raise OutputError(f"safetensors has no dtype {dtype}, which {key!r} has", path, "Convert it first")
        size = NUMPY_DTYPES[dtype].itemsize
        for length in shape:
            size *= length
        sizes[key] = size
    order = sorted(described) if by_name else list(described)
    order.sort(key=lambda key: -NUMPY_DTYPES[described[key][0]].itemsize)
    header, at = {}, 0
    for key in order:
        dtype, shape = described[key]
        header[key] = {"dtype": names[dtype], "shape": list(shape), "data_offsets": [at, at + sizes[key]]}
        at += sizes[key]
    header = {key: header[key] for key in (order if by_name else described)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for key in order:
        part = numbers(key)
        if len(part) != sizes[key]:
            raise ValueError(f"{key} has {len(part)} bytes, not {sizes[key]}")
        yield part
