"""Arrays in npy and npz files; arrays of Python objects are refused.

Layout (numpy.lib.format, versions 1.0 to 3.0): a magic text, the version, the length of the header, the header as a
Python dict of ``descr``, ``fortran_order`` and ``shape``, then the numbers. The header is matched, not evaluated. An
npz is a zip archive of npy files, whose checksums are verified when an array is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reknit.containers.container import DAMAGED, Container, TensorInfo, tensor_info
from reknit.containers.dtypes import NUMPY_DTYPES, native_bytes
from reknit.containers.file_bytes import FileBytes
from reknit.containers.zip_archive import ZipArchive
from reknit.errors import ContainerError

MAGIC = b"\x93NUMPY"
_MAX_HEADER = 1 << 16
_ITEM = (
    r"\s*'(?:descr'\s*:\s*(?P<descr{0}>'[^']*'|\[.*\])|fortran_order'\s*:\s*(?P<order{0}>True|False)"
    r"|shape'\s*:\s*\((?P<shape{0}>[\d,\sL]*)\))\s*"
)
_HEADER = re.compile(r"\{" + ",".join(_ITEM.format(n) for n in range(3)) + r",?\s*\}\s*", re.DOTALL)
_KINDS = {"f8": "float64", "f4": "float32", "f2": "float16", "c8": "complex64", "c16": "complex128", "b1": "bool"} | {
    f"{kind}{size}": f"{name}{8 * size}" for kind, name in (("i", "int"), ("u", "uint")) for size in (1, 2, 4, 8)
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the numbers of one npy begin, and how they lie."""

    info: TensorInfo
    start: int
    fortran: bool
    big_endian: bool


def _parse(key: str, size: int, read: Callable[[int, int], memoryview], path: Path) -> _Layout:
    """The header of one npy of ``size`` bytes, checked against that size."""
    lead = bytes(read(0, min(size, 12)))
    if len(lead) < 10 or lead[:6] != MAGIC or lead[6] not in (1, 2, 3) or (lead[6] > 1 and len(lead) < 12):
        raise ContainerError(f"the array {key!r} has a damaged header", path, DAMAGED)
    begin = 10 if lead[6] == 1 else 12
    length = int.from_bytes(lead[8:begin], "little")
    if begin + length > size or length > _MAX_HEADER:
        problem = f"the array {key!r} claims a header of {length:,} bytes but has {size:,} bytes in all"
        raise ContainerError(problem, path, DAMAGED)
    descr, order, shape = _match(key, bytes(read(begin, length)), path)
    info = tensor_info(key, _dtype(key, descr, path), shape, path)
    left = size - begin - length
    if left != info.nbytes:
        raise ContainerError(f"the array {key!r} claims {info.nbytes:,} bytes but holds {left:,}", path, DAMAGED)
    return _Layout(info, begin + length, order == "True", descr.startswith(">"))


def _match(key: str, header: bytes, path: Path) -> tuple[str, str, tuple[int, ...]]:
    match = _HEADER.fullmatch(header.decode("latin-1"))
    groups = match.groupdict() if match else {}
    found = {
        name: [v for k, v in groups.items() if k[:-1] == name and v is not None] for name in ("descr", "order", "shape")
    }
    if any(len(values) != 1 for values in found.values()):
        raise ContainerError(f"the array {key!r} has a damaged header", path, DAMAGED)
    sizes = [size.strip().removesuffix("L") for size in found["shape"][0].split(",")]
    if sizes[-1] == "":
        sizes.pop()
    if not all(size.isdecimal() and len(size) < 20 for size in sizes):
        raise ContainerError(f"the array {key!r} has a damaged header", path, DAMAGED)
    return found["descr"][0].strip("'"), found["order"][0], tuple(int(size) for size in sizes)


def _dtype(key: str, descr: str, path: Path) -> str:
    dtype = _KINDS.get(descr[1:]) if descr[:1] in ("<", ">", "|", "=") else None
    if dtype is None:
        what = "Python objects" if descr[1:2] == "O" else f"items of the type {descr[:40]!r}"
        raise ContainerError(f"the array {key!r} holds {what}, not numbers", path, "Save it as an array of numbers")
    return dtype


def _array(layout: _Layout, raw: memoryview) -> np.ndarray:
    info = layout.info
    dtype = NUMPY_DTYPES[info.dtype]
    raw_bytes = native_bytes(np.frombuffer(raw, np.uint8), dtype, big_endian=layout.big_endian)
    array = raw_bytes.view(dtype).reshape(info.shape, order="F" if layout.fortran else "C")
    return array if array.flags.writeable and array.flags.c_contiguous else np.array(array, order="C")


class NpyFile(Container):
    """One npy file: a single array, whose key is the file's stem."""

    format = "npy"
    unnamed = True

    def __init__(self, source: FileBytes) -> None:
        """Read and check the header."""
        self.path = source.path
        self._source = source
        self._layout = _parse(source.path.stem, source.size, source.read, source.path)
        self.tensors = {source.path.stem: self._layout.info}

    def read(self, key: str) -> np.ndarray:
        """See ``Container.read``."""
        info = self.tensors[key]
        return _array(self._layout, self._source.read(self._layout.start, info.nbytes))


class NpzFile(Container):
    """A zip archive of npy files; keys are their names without ``.npy``."""

    format = "npz"

    def __init__(self, source: FileBytes, archive: ZipArchive) -> None:
        """Read and check the header of every array."""
        self.path = source.path
        self._archive = archive
        self._layouts: dict[str, tuple[str, _Layout]] = {}
        for name, entry in archive.entries.items():
            if not name.endswith(".npy"):
                raise ContainerError(f"is an npz file with the entry {name!r}, which is no array", source.path)

            def read(start: int, size: int, name: str = name) -> memoryview:
                return archive.peek(name, start, size)

            key = name.removesuffix(".npy")
            self._layouts[key] = name, _parse(key, entry.size, read, source.path)
        self.tensors = {key: layout.info for key, (_, layout) in self._layouts.items()}

    def read(self, key: str) -> np.ndarray:
        """See ``Container.read``."""
        name, layout = self._layouts[key]
        return _array(layout, self._archive.read(name)[layout.start :])
