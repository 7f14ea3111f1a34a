"""One piece: the weight and bias of a layer, dequantized, with the size of the rounding steps they were stored in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from reknit.containers.container import Container, TensorInfo
from reknit.containers.dtypes import float_step, is_float, is_integer
from reknit.errors import PileError

_ROLES = {
    "weight": "weight",
    "bias": "bias",
    "weight_scale": "scale",
    "scale": "scale",
    "weight_zero_point": "zero_point",
    "zero_point": "zero_point",
}


@dataclass(frozen=True, eq=False)
class Piece:
    """What arrives together and has no place yet: the weight and bias of one linear layer; either may be missing.

    Attributes:
        name: unique in the pile.
        weight: ``[rows, columns]``, dequantized; float64 if stored so, else float32. None: only a bias came.
        bias: ``[rows]``, float64 if stored so, else float32.
        dtype: the dtype the weight is stored in; the bias's where there is no weight.
        bias_dtype: the dtype the bias is stored in.
        file: the file it was read from (the weight's, where the bias lies in another).
        scale: of a quantized weight, the value of one quantum: ``[1, 1]`` or ``[rows, 1]``, float64.
    """

    name: str
    weight: Float[np.ndarray, "rows columns"] | None = field(repr=False)
    bias: Float[np.ndarray, " rows"] | None = field(repr=False)
    dtype: str
    bias_dtype: str | None
    file: Path
    scale: Float[np.ndarray, "_ 1"] | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape, or the bias's where there is no weight."""
        shape: tuple[int, ...] = (self.weight if self.weight is not None else self._bias()).shape
        return shape

    def weight_step(self) -> Float[np.ndarray, "_ _"]:
        """One rounding step of each stored weight, absolute; rounding errs by up to half of it either way.

        Returns:
            float64; ``[rows, columns]`` for a floating-point dtype (a step grows with the value), ``[1, 1]`` or
            ``[rows, 1]`` for integers.

        Raises:
            PileError: the piece has no weight.
        """
        if self.weight is None:
            raise PileError("has a bias but no weight", self.name)
        if is_float(self.dtype):
            scale = 1.0 if self.scale is None else self.scale
            return float_step(self.weight / scale, self.dtype) * scale
        assert self.scale is not None  # an integer weight is read with its scale or not at all  # noqa: S101
        return self.scale

    def bias_step(self) -> Float[np.ndarray, " rows"] | None:
        """One rounding step of each stored bias, absolute, float64; None where there is no bias."""
        if self.bias is None or self.bias_dtype is None:
            return None
        return float_step(self.bias, self.bias_dtype)

    @cached_property
    def sha256(self) -> str:
        """A hash of the numbers: the same whatever the piece and its file are called and however they are packed."""
        digest = hashlib.sha256()
        for array in (self.weight, self.bias):
            if array is None:
                digest.update(b"none;")
            else:
                digest.update(f"{array.dtype.name}{array.shape};".encode())
                digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def _bias(self) -> Float[np.ndarray, " rows"]:
        if self.bias is None:
            raise PileError("has neither weight nor bias", self.name)
        return self.bias


@dataclass(frozen=True)
class Parts:
    """The tensors of one piece by role (``weight``, ``bias``, ``scale``, ``zero_point``), not read yet."""

    prefix: str
    tensors: dict[str, tuple[Container, TensorInfo]]

    @property
    def file(self) -> Path:
        """The weight's file, or where there is none the bias's."""
        return next(self.tensors[role][1].file for role in ("weight", "bias") if role in self.tensors)


def group(container: Container) -> Iterator[Parts]:
    """The pieces of a container, by what stands before ``.weight`` and ``.bias``, in the order stored.

    Raises:
        PileError: a tensor is no part of a piece; the sentence names them.
    """
    found: dict[str, dict[str, tuple[Container, TensorInfo]]] = {}
    loose = []
    for key, info in container.tensors.items():
        prefix, _, last = key.rpartition(".")
        role = _ROLES.get(last)
        if role is None and container.unnamed:
            prefix, role = key, {1: "bias", 2: "weight"}.get(len(info.shape))
        parts = found.setdefault(prefix, {})
        if role is None or role in parts:
            loose.append(key)
        else:
            parts[role] = container, info
    loose += [f"{prefix}.*" for prefix, parts in found.items() if parts and not parts.keys() & {"weight", "bias"}]
    if loose:
        listed = ", ".join(map(repr, loose[:5])) + (f" and {len(loose) - 5} more" if len(loose) > 5 else "")
        remedy = "A pile holds linear layers only: a 2-D weight and a 1-D bias, named PREFIX.weight and PREFIX.bias"
        raise PileError(f"holds tensors that are no part of a piece: {listed}", container.path, remedy)
    yield from (Parts(prefix, parts) for prefix, parts in found.items())


def read_piece(name: str, parts: Parts) -> Piece:
    """Read, check and dequantize one piece.

    Raises:
        PileError: a shape, dtype or value that no linear layer has; the sentence names the piece and the key.
        ContainerError: the numbers cannot be read.
    """
    reader = _Reader(name, parts)
    weight, scale = reader.read_weight() if "weight" in parts.tensors else (None, None)
    bias = reader.read_bias() if "bias" in parts.tensors else None
    if weight is not None and bias is not None and len(weight) != len(bias):
        raise reader.bad("bias", f"has {len(bias)} values but the weight has {len(weight)} rows")
    dtypes = {role: info.dtype for role, (_, info) in parts.tensors.items()}
    dtype = dtypes.get("weight") or dtypes["bias"]
    return Piece(name, weight, bias, dtype, dtypes.get("bias"), parts.file, scale)


class _Reader:
    """The tensors of one piece, with the name its errors are told under."""

    def __init__(self, name: str, parts: Parts) -> None:
        self.name, self.parts = name, parts

    def bad(self, role: str, problem: str, remedy: str = "") -> PileError:
        _, info = self.parts.tensors[role]
        return PileError(f"piece {self.name!r}: {info.key!r} {problem}", info.file, remedy)

    def read_bias(self) -> Float[np.ndarray, " rows"]:
        _, info = self.parts.tensors["bias"]
        self._refuse_blocks("bias")
        if not is_float(info.dtype):
            raise self.bad("bias", f"is of the dtype {info.dtype}, not of floating-point numbers")
        if len(info.shape) != 1 or not info.nbytes:
            raise self.bad("bias", f"has the shape {info.shape}; a bias has one axis and is not empty")
        return self._finite("bias", self._read("bias"))

    def read_weight(self) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "_ 1"] | None]:
        """The weight and, if it is quantized, its scale."""
        _, info = self.parts.tensors["weight"]
        self._refuse_blocks("weight")
        if len(info.shape) != 2 or not info.nbytes:
            raise self.bad("weight", f"has the shape {info.shape}; a weight has two axes and is not empty")
        if not is_float(info.dtype) and not is_integer(info.dtype):
            raise self.bad("weight", f"is of the dtype {info.dtype}, not of real numbers")
        scaled = "scale" in self.parts.tensors
        if is_integer(info.dtype) and not scaled:
            remedy = "Store its weight_scale beside it, for the tensor or for each row"
            raise self.bad("weight", f"is of the dtype {info.dtype} and has no scale", remedy)
        if not is_integer(info.dtype) and (not info.dtype.startswith("float8") if scaled else False):
            raise self.bad("scale", f"scales a weight of the dtype {info.dtype}, which is not quantized")
        if not is_integer(info.dtype) and "zero_point" in self.parts.tensors:
            raise self.bad("zero_point", f"shifts a weight of the dtype {info.dtype}, which is not quantized")
        if not scaled:
            return self._finite("weight", self._read("weight")), None
        return self._dequantize(info.shape[0])

    def _refuse_blocks(self, role: str) -> None:
        """What a block format has rounded is not known here, and a verdict needs to know it."""
        packing = self.parts.tensors[role][1].packing
        if packing:
            raise self.bad(role, f"is quantized as {packing}, whose rounding steps are not known", "Convert it to F32")

    def _dequantize(self, rows: int) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "_ 1"]]:
        """``(weight - zero_point) * scale``, row by row or all alike."""
        scale = self._per_row("scale", rows)
        if not (scale > 0).all():
            raise self.bad("scale", "has values that are not positive")
        zero = self._per_row("zero_point", rows) if "zero_point" in self.parts.tensors else 0.0
        container, info = self.parts.tensors["weight"]
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is told below, as a non-finite value
            weight = ((container.read(info.key).astype(np.float64) - zero) * scale).astype(np.float32)
        return self._finite("weight", weight), scale

    def _per_row(self, role: str, rows: int) -> Float[np.ndarray, "_ 1"]:
        container, info = self.parts.tensors[role]
        if info.shape not in {(), (1,), (1, 1), (rows,), (rows, 1)}:
            raise self.bad(role, f"has the shape {info.shape}; one value, or one for each of {rows} rows, is expected")
        if not is_float(info.dtype) and not (role == "zero_point" and is_integer(info.dtype)):
            raise self.bad(role, f"is of the dtype {info.dtype}")
        return self._finite(role, _cast(container.read(info.key), np.float64)).reshape(-1, 1)

    def _read(self, role: str) -> np.ndarray:
        container, info = self.parts.tensors[role]
        values = container.read(info.key)
        return values if info.dtype == "float64" else _cast(values, np.float32)

    def _finite(self, role: str, values: np.ndarray) -> np.ndarray:
        finite = np.isfinite(values)
        if not finite.all():
            raise self.bad(role, f"holds {finite.size - int(finite.sum()):,} non-finite values of {finite.size:,}")
        return values


def _cast(values: np.ndarray, dtype: type[np.floating]) -> np.ndarray:
    """Another float dtype; a signalling NaN among the values is no cause for a warning here, it is told later."""
    with np.errstate(invalid="ignore"):
        return values.astype(dtype, copy=False)
