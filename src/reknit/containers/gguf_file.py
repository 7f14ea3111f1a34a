"""Tensors in GGUF files, version 2 and 3, little-endian.

Layout (ggml-org/ggml, docs/gguf.md): ``GGUF``, a version, how many tensors and how many facts; the facts, each a name,
a type and a value; for each tensor its name, axes, sizes (the fastest first, so they are turned round here: ``[rows,
columns]`` as in a state dict), type and place; then, from the next multiple of ``general.alignment``, the numbers, each
tensor from such a multiple on, without holes. There are no checksums.

Read are plain numbers and the block formats Q8_0 and Q4_0 (``gguf_blocks``), as float32; others are refused by name.
"""

from __future__ import annotations

import struct
from typing import NoReturn

import numpy as np

from reknit.containers.container import DAMAGED, MAX_KEY, Container, TensorInfo, is_bomb, tensor_info
from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.containers.file_bytes import FileBytes
from reknit.containers.gguf_blocks import BLOCK, BLOCK_BYTES, PLAIN, TYPES, unpack
from reknit.errors import ContainerError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_WINDOW = 1 << 16
_MAX_ITEMS = 4_000_000
_MAX_AXES = 4  # GGML_MAX_DIMS
_MAX_NESTING = 4
_LEAST_TENSOR, _LEAST_FACT = 24, 13  # bytes that its description takes at least
_ALIGNMENT, _MAX_ALIGNMENT = 32, 1 << 20
# the size in bytes of a fact's value by its type: 8 is a text, 9 a list
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UINT32, _TEXT, _LIST = 4, 8, 9


class GgufFile(Container):
    """One GGUF file."""

    format = "gguf"

    def __init__(self, source: FileBytes) -> None:
        """Read and check the header."""
        self.path = source.path
        self._source = source
        header = _Header(source)
        tensors, facts = header.read_counts()
        alignment = _ALIGNMENT
        names: set[str] = set()
        for _ in range(facts):
            name, value = header.read_fact()
            if name in names:
                raise ContainerError(f"names {name!r:.100} twice in its header", self.path)
            names.add(name)
            alignment = self._check_alignment(value) if name == "general.alignment" else alignment
        self.tensors = {}
        self._places: dict[str, tuple[int, int]] = {}  # the number of the type, and the offset
        for _ in range(tensors):
            key, sizes, kind, offset = header.read_tensor()
            if key in self._places:
                raise ContainerError(f"holds two tensors named {key!r}", self.path)
            self._places[key] = kind, offset
            self.tensors[key] = self._info(key, sizes, kind)
        if not self.tensors:
            raise ContainerError("is a GGUF file without a tensor", self.path)
        self._data = -(-header.at // alignment) * alignment
        self._check_layout(alignment)
        if is_bomb(sum(info.nbytes for info in self.tensors.values()), source.size):
            raise ContainerError("describes far more numbers than it holds", self.path)

    def read(self, key: str) -> np.ndarray:
        """See ``Container.read``; blocks are dequantized."""
        info = self.tensors[key]
        kind, offset = self._places[key]
        raw = np.frombuffer(self._source.read(self._data + offset, self._stored_size(key)), np.uint8)
        if kind in BLOCK_BYTES:
            return unpack(raw, kind).reshape(info.shape)
        array = raw.view(NUMPY_DTYPES[info.dtype]).reshape(info.shape)
        return array if array.flags.writeable else array.copy()

    def _info(self, key: str, sizes: tuple[int, ...], kind: int) -> TensorInfo:
        name = TYPES.get(kind, f"number {kind}")
        if kind not in PLAIN and kind not in BLOCK_BYTES:
            remedy = "Convert it to F32, F16, BF16, Q8_0 or Q4_0"
            raise ContainerError(f"{key!r:.100} is of the type {name}, which reknit does not read", self.path, remedy)
        if kind in PLAIN:
            return tensor_info(key, PLAIN[kind], sizes[::-1], self.path)
        if not sizes or sizes[0] % BLOCK:
            raise ContainerError(
                f"{key!r:.100} is of the type {name} but its rows are not whole blocks", self.path, DAMAGED
            )
        return tensor_info(key, "float32", sizes[::-1], self.path, packing=name)

    def _stored_size(self, key: str) -> int:
        kind, info = self._places[key][0], self.tensors[key]
        return info.nbytes // (4 * BLOCK) * BLOCK_BYTES[kind] if kind in BLOCK_BYTES else info.nbytes

    def _check_layout(self, alignment: int) -> None:
        """Every tensor begins at the first multiple of the alignment after the one before it."""
        at = end = 0
        for begin, size, key in sorted(
            (offset, self._stored_size(key), key) for key, (_, offset) in self._places.items()
        ):
            if begin != at:
                kind = "overlaps another tensor" if begin < at else f"leaves a hole of {begin - at:,} bytes before it"
                raise ContainerError(f"{key!r} {kind}", self.path, DAMAGED)
            end = begin + size
            if self._data + end > self._source.size:
                raise ContainerError(f"the numbers of {key!r} lie outside the file", self.path, DAMAGED)
            at = -(-end // alignment) * alignment
        if self._data + at < self._source.size:
            left = self._source.size - self._data - end
            raise ContainerError(f"holds {left:,} bytes that belong to no tensor", self.path, DAMAGED)

    def _check_alignment(self, value: int | None) -> int:
        if value is None or not 0 < value <= _MAX_ALIGNMENT or value & (value - 1):
            raise ContainerError("claims an alignment that is no power of two", self.path, DAMAGED)
        return value


class _Header:
    """The header from its start to its end; ``at`` is where the reading stands."""

    def __init__(self, source: FileBytes) -> None:
        self.source, self.at = source, 0
        self._start, self._window = 0, b""
        self._left = _MAX_ITEMS

    def read_counts(self) -> tuple[int, int]:
        """How many tensors and facts there are, no more than fit into the file."""
        version, tensors, facts = struct.unpack("<4xLQQ", self._take(24))
        if version not in _VERSIONS:
            what = f"of version {version}" if version < 1 << 16 else "that is big-endian"
            raise ContainerError(f"is a GGUF file {what}, which is not supported", self.source.path)
        if tensors * _LEAST_TENSOR + facts * _LEAST_FACT > self.source.size:
            problem = f"claims {tensors:,} tensors and {facts:,} facts in {self.source.size:,} bytes"
            raise ContainerError(problem, self.source.path, DAMAGED)
        return tensors, facts

    def read_fact(self) -> tuple[str, int | None]:
        """A name and, if it is an unsigned number of 32 bits, its value."""
        name, kind = self._text(), self._integer(4)
        if kind == _UINT32:
            return name, self._integer(4)
        self._pass_value(kind, 0)
        return name, None

    def read_tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, sizes, type and offset of a tensor."""
        name, axes = self._text(), self._integer(4)
        if axes > _MAX_AXES:
            raise ContainerError(
                f"{name!r:.100} claims {axes:,} axes; {_MAX_AXES} are allowed", self.source.path, DAMAGED
            )
        sizes = tuple(self._integer(8) for _ in range(axes))
        return name, sizes, self._integer(4), self._integer(8)

    def _pass_value(self, kind: int, depth: int) -> None:
        """Go past a value; lists of numbers in one step."""
        if kind in _SIZES:
            self._skip(_SIZES[kind])
        elif kind == _TEXT:
            self._skip(self._integer(8))
        elif kind == _LIST and depth < _MAX_NESTING:
            inner, count = self._integer(4), self._integer(8)
            if inner in _SIZES:
                self._skip(count * _SIZES[inner])
                return
            for _ in range(count):
                self._pass_value(inner, depth + 1)
        else:
            self._refuse()

    def _integer(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _text(self) -> str:
        size = self._integer(8)
        if size > 4 * MAX_KEY:
            self._refuse()
        try:
            return self._take(size).decode()
        except UnicodeDecodeError:
            self._refuse()

    def _skip(self, size: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise ContainerError(f"has a header of more than {_MAX_ITEMS:,} items", self.source.path)
        if size > self.source.size - self.at:
            self._refuse()
        self.at += size

    def _take(self, size: int) -> bytes:
        begin = self.at
        self._skip(size)
        place = begin - self._start
        if not 0 <= place <= len(self._window) - size:
            self._start, place = begin, 0
            self._window = bytes(self.source.read(begin, min(_WINDOW, self.source.size - begin)))
        return self._window[place : place + size]

    def _refuse(self) -> NoReturn:
        raise ContainerError("is a GGUF file that is cut short or damaged", self.source.path, DAMAGED)
