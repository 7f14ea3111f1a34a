"""The dtypes tensors are stored in, by the name torch and numpy give them, and the size of their rounding steps."""

from __future__ import annotations

import ml_dtypes
import numpy as np

_NATIVE = (
    *("float64", "float32", "float16", "complex64", "complex128", "bool"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
)
_EXTENDED = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
_BELOW_A_BYTE = ("int4", "uint4", "float4_e2m1fn", "int2", "uint2")  # in memory each takes a byte all the same
NUMPY_DTYPES: dict[str, np.dtype] = {name: np.dtype(name) for name in _NATIVE} | {
    name: np.dtype(getattr(ml_dtypes, name)) for name in (*_EXTENDED, *_BELOW_A_BYTE)
}
"""Every dtype a container may hold; a name that is not here is refused when the file is opened."""

_FLOATS = frozenset(name for name in NUMPY_DTYPES if "float" in name)
_INTEGERS = frozenset(name for name in NUMPY_DTYPES if "int" in name)


def is_float(name: str) -> bool:
    """Whether the dtype holds real floating-point numbers."""
    return name in _FLOATS


def is_integer(name: str) -> bool:
    """Whether the dtype holds integers; bool is none."""
    return name in _INTEGERS


def float_step(values: np.ndarray, name: str) -> np.ndarray:
    """The absolute distance between neighbouring numbers of a float dtype at each value.

    For ``v`` with ``2^e <= |v| < 2^(e+1)`` and m stored mantissa bits this is ``2^(e-m)``; below the smallest normal
    number, and at 0, it is the smallest subnormal.

    >>> float_step(np.array([1.0, 3.0, -0.75]), "bfloat16").tolist()
    [0.0078125, 0.015625, 0.00390625]

    Args:
        values: any shape, real.
        name: a float dtype of ``NUMPY_DTYPES``.

    Returns:
        An array of the shape of ``values``, float64.
    """
    mantissa_bits, least_exponent = _float_format(name)
    _, exponent = np.frexp(np.asarray(values, np.float64))  # |v| = f 2^exponent with 1/2 <= f < 1
    exponent = np.where(values == 0, least_exponent, np.maximum(exponent - 1, least_exponent))
    return np.asarray(np.ldexp(1.0, exponent - mantissa_bits))


def _float_format(name: str) -> tuple[int, int]:
    """Stored mantissa bits, and the exponent of the smallest normal number."""
    info = ml_dtypes.finfo(NUMPY_DTYPES[name])  # type: ignore[no-untyped-call]
    return int(info.nmant), int(info.minexp)


def native_bytes(raw: np.ndarray, dtype: np.dtype, *, big_endian: bool) -> np.ndarray:
    """The bytes of stored numbers in the byte order of this machine (every one that torch runs on is little-endian).

    Args:
        raw: uint8, one axis, a whole number of items long.
        dtype: what the bytes hold.
        big_endian: the byte order they were written in.
    """
    word = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
    if big_endian and word > 1:  # ml_dtypes has no byte order of its own, so the bytes are turned by hand
        return np.ascontiguousarray(raw.reshape(-1, word)[:, ::-1]).reshape(-1)
    return raw
