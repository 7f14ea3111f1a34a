"""How an ONNX file packs numbers, and how they are unpacked.

``raw_data`` is little-endian, in C order. The typed fields hold floats and doubles as they are, complex numbers as two
of them, integers as varints, and small floats as the integer with their bits. Numbers of 4 bits come two in a byte, of
2 bits four, the first in the lowest bits. (onnx.proto, the comments on ``TensorProto``)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reknit.containers.container import DAMAGED, TensorInfo
from reknit.containers.dtypes import NUMPY_DTYPES, is_integer
from reknit.containers.file_bytes import FileBytes
from reknit.containers.protobuf import unpack_varints
from reknit.errors import ContainerError

DTYPES = (
    *("undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "text", "bool", "float16"),
    *("float64", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz"),
    *("float8_e5m2", "float8_e5m2fnuz", "uint4", "int4", "float4_e2m1fn", "float8_e8m0fnu", "uint2", "int2"),
)
"""The names of ``TensorProto.DataType``, by its numbers."""

RAW = 9
_FLOATS, _INT32S, _INT64S, _DOUBLES, _UINT64S = TYPED = (4, 5, 7, 10, 11)
"""Field numbers of ``TensorProto``."""

_FIELDS = {"float32": _FLOATS, "complex64": _FLOATS, "float64": _DOUBLES, "complex128": _DOUBLES, "int64": _INT64S}
_FIELDS |= {"uint32": _UINT64S, "uint64": _UINT64S}  # all others: _INT32S
_BITS = {"uint4": 4, "int4": 4, "float4_e2m1fn": 4, "uint2": 2, "int2": 2}
_LONGEST = 10  # bytes of a varint


@dataclass(frozen=True, slots=True)
class Place:
    """Where the numbers of one tensor are: a stretch of a file, and the field of the ``TensorProto`` it belongs to."""

    info: TensorInfo
    source: FileBytes
    field: int
    start: int
    size: int


def raw_size(info: TensorInfo) -> int:
    """The bytes a tensor takes in ``raw_data``."""
    bits = _BITS.get(info.dtype, 8 * NUMPY_DTYPES[info.dtype].itemsize)
    return (math.prod(info.shape) * bits + 7) // 8


def fits(info: TensorInfo, field: int, size: int) -> bool:
    """Whether so many bytes of that field can be all the numbers of a tensor; varints are counted when read."""
    if field == RAW:
        return size == raw_size(info)
    if field != _FIELDS.get(info.dtype, _INT32S):
        return False
    if field in (_FLOATS, _DOUBLES):
        return size == info.nbytes
    return _words(info) <= size <= _words(info) * _LONGEST


def read_numbers(place: Place) -> np.ndarray:
    """The tensor, of its stored dtype, in an array of its own.

    Raises:
        ContainerError: the bytes are not those numbers.
    """
    info, dtype = place.info, NUMPY_DTYPES[place.info.dtype]
    raw = np.frombuffer(place.source.read(place.start, place.size), np.uint8)
    if place.field not in (RAW, _FLOATS, _DOUBLES):
        raw = _integers(place, raw)
    if info.dtype in _BITS:
        return _spread(raw, _BITS[info.dtype], math.prod(info.shape), info.dtype).reshape(info.shape)
    array = raw.view(dtype).reshape(info.shape)
    return array if array.flags.writeable else array.copy()


def _words(info: TensorInfo) -> int:
    """How many integers a tensor takes in a typed field."""
    return raw_size(info) if info.dtype in _BITS else math.prod(info.shape)


def _integers(place: Place, raw: np.ndarray) -> np.ndarray:
    """The bytes of numbers that are stored as varints."""
    info = place.info
    item = NUMPY_DTYPES[info.dtype]
    whole = info.dtype not in _BITS and is_integer(info.dtype)
    word = item if whole else np.dtype(f"u{item.itemsize}")
    values = unpack_varints(raw)
    if values is None or len(values) != _words(info):
        problem = f"{info.key!r} does not hold the {math.prod(info.shape):,} numbers it claims"
        raise ContainerError(problem, place.source.path, DAMAGED)
    signed = values if word == np.uint64 else values.view(np.int64)
    limits = np.iinfo(word)
    if ((signed < limits.min) | (signed > (1 if info.dtype == "bool" else limits.max))).any():
        raise ContainerError(f"{info.key!r} holds numbers that are no {info.dtype}", place.source.path, DAMAGED)
    return signed.astype(word).view(np.uint8)


def _spread(raw: np.ndarray, bits: int, count: int, name: str) -> np.ndarray:
    """Numbers of less than a byte, one in a byte."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = ((raw[:, None] >> shifts) & np.uint8((1 << bits) - 1)).reshape(-1)[:count]
    dtype = NUMPY_DTYPES[name]
    if not is_integer(name):
        return codes.view(dtype)
    sign = 0 if name.startswith("u") else 1 << (bits - 1)  # (code ^ sign) - sign spreads the sign bit
    return ((codes.astype(np.int8) ^ np.int8(sign)) - np.int8(sign)).astype(dtype)
