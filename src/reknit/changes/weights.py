"""The weights of a file: every float tensor, and codes with their scales as the numbers that they stand for.

Quantised files keep a matrix in two or three tensors: codes (small integers), scales, and perhaps zero points (``_q``
and ``_scale``; ``_quantized``, ``_scale``, ``_zero_point`` as ONNX Runtime names them). Names tell which belong
together; where they say nothing, the scales that follow the codes in the file. Counters, indices and masks are no
weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reknit.changes.naming.grid import Grid, Per, bits_of
from reknit.containers.dtypes import is_float, is_integer
from reknit.containers.tensors import Tensors

CODES = ("int8", "uint8", "int4", "uint4", "int16", "uint16", "int2", "uint2")


@dataclass(frozen=True)
class Weight:
    """One matrix, kernel, table or vector of a file.

    Attributes:
        name: of the tensor, or of the codes.
        shape: of it.
        dtype: that its numbers are stored in.
        scale: the name of its scales; empty if it is no codes.
        zero: the name of its zero points; empty if it has none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: str = ""
    zero: str = ""

    @property
    def layer(self) -> str:
        """The name without its last word, which weight and bias share."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Weights:
    """All weights of a file.

    Attributes:
        tensors: the file.
        found: the weights, in the order of their names.
        aside: names of what is no weight.
    """

    tensors: Tensors
    found: tuple[Weight, ...]
    aside: tuple[str, ...] = field(repr=False)

    def read(self, weight: Weight) -> tuple[np.ndarray, Grid | None]:
        """Its numbers, and of codes the grid that they lie on.

        Raises:
            ContainerError: the numbers cannot be read.
        """
        stored = self.tensors.array(weight.name)
        if not weight.scale:
            return stored, None
        codes = stored.astype(np.int64)
        if weight.zero:
            codes = codes - spread(self.tensors.array(weight.zero).astype(np.int64), codes)[0]
        steps, per = spread(self.tensors.array(weight.scale).astype(np.float64), codes)
        whole = np.broadcast_to(steps, codes.shape)
        grid = Grid(per, 0, whole, np.zeros(codes.shape), codes, bits_of(codes), math.inf)
        return np.asarray(codes * steps), grid


def weights_of(tensors: Tensors) -> Weights:
    """List the weights of a file, from headers alone."""
    scales = _scales(tensors)
    used = {name for pair in scales.values() for name in pair if name}
    found, aside = [], []
    for name in tensors.names:
        shape, dtype = tensors.shape(name), tensors.dtype(name)
        if name in used:
            continue
        if name in scales:
            found.append(Weight(name, shape, dtype, *scales[name]))
        elif is_float(dtype) and shape and 0 not in shape:
            found.append(Weight(name, shape, dtype))
        else:
            aside.append(name)
    return Weights(tensors, tuple(found), tuple(aside))


def spread(along: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, Per]:
    """Scales in a shape that goes with their codes, and what has one of its own.

    A list as long as several axes belongs to the one along which every line reaches the outermost code.
    """
    if along.size == 1:
        return along.reshape([1] * codes.ndim), "tensor"
    if along.ndim == codes.ndim:
        return along, "row" if along.shape[0] > 1 else "column"
    axes = [k for k in range(codes.ndim) if codes.shape[k] == along.size]

    def reached(axis: int) -> int:
        lines = np.abs(np.moveaxis(codes, axis, 0).reshape(codes.shape[axis], -1)).max(1)
        return int((lines == lines.max()).sum())

    axis = max(axes, key=reached) if len(axes) > 1 else axes[0]
    return along.reshape([-1 if k == axis else 1 for k in range(codes.ndim)]), "row" if axis == 0 else "column"


def _scales(tensors: Tensors) -> dict[str, tuple[str, str]]:
    """Name of codes -> names of their scales and zero points."""
    found: dict[str, tuple[str, str]] = {}
    codes = [name for name in tensors.names if tensors.dtype(name) in CODES and len(tensors.shape(name)) > 1]
    free = [name for name in tensors.names if is_float(tensors.dtype(name))]
    zeros = [name for name in tensors.names if is_integer(tensors.dtype(name)) and "zero" in name.lower()]
    for name in codes:
        shape = tensors.shape(name)
        fitting = [each for each in free if "scale" in each.lower() and _fits(tensors.shape(each), shape)]
        scale = _nearest(name, fitting)
        if not scale:
            behind = tensors.names[tensors.names.index(name) + 1 :][:1]
            scale = next((each for each in behind if each in free and _fits(tensors.shape(each), shape)), "")
        if scale:
            zero = _nearest(name, [each for each in zeros if _fits(tensors.shape(each), shape) and each != name])
            found[name] = (scale, zero)
            free.remove(scale)
    return found


def _fits(scale: tuple[int, ...], codes: tuple[int, ...]) -> bool:
    """Whether scales go with codes: one, one a line, or spread over them."""
    size = math.prod(scale)
    if size == 1:
        return True
    if len(scale) == len(codes):
        return all(a in (1, b) for a, b in zip(scale, codes, strict=True)) and size in codes
    return len(scale) == 1 and size in codes


def _nearest(name: str, others: Sequence[str]) -> str:
    """The name with the longest common beginning, if that is all but an ending of both."""
    best = max(others, key=lambda each: _common(name, each), default="")
    common = _common(name, best)
    return best if best and common >= max(1, len(name) - len("_quantized")) else ""


def _common(first: str, second: str) -> int:
    """How many letters two names begin with in common."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(len(first), len(second)))
