"""What every container offers, whatever its format: tensors listed from headers alone, read one at a time.

A container never holds a file open, runs nothing that a file asks for, and checks what a header claims against the
real size of the file before it allocates.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.errors import ContainerError

Format = Literal["torch", "torchscript", "safetensors", "npz", "npy", "onnx", "hdf5", "gguf"]

MAX_KEY = 1024
DAMAGED = "The file is cut short or damaged; copy it again"
_MAX_DIMENSIONS = 32  # what numpy 1.26 can hold
_MAX_BYTES = 1 << 60
_FREE_BYTES = 16 << 20
_MAX_EXPANSION = 100
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UPWARD = re.compile(r"(?:^|[/\\])\.\.(?:[/\\]|$)")


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a header says of one tensor.

    Attributes:
        key: its name in the container.
        dtype: as stored (of blocks, as read), a name in ``NUMPY_DTYPES``: ``float32``, ``bfloat16``, ``int8``, ...
        shape: its size along each axis; ``()`` for a scalar.
        nbytes: its size in memory, in bytes.
        file: the file its numbers are in (a shard of a sharded container).
        packing: the block format they are dequantized from when read, such as ``Q8_0``; else empty.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    file: Path
    packing: str = ""


class Container(ABC):
    """A file or folder that holds tensors.

    Attributes:
        path: the file, or the folder of a sharded container.
        format: one of ``Format``.
        tensors: what it holds, in the order stored, by key.
        unnamed: the file is one tensor without a name of its own; its key is then the file's stem.
    """

    path: Path
    format: Format
    tensors: Mapping[str, TensorInfo]
    unnamed: bool = False

    @abstractmethod
    def read(self, key: str) -> np.ndarray:
        """One tensor, of its stored dtype, in an array of its own, in C order.

        Raises:
            ContainerError: the numbers are not there, or fail the checksum the format keeps.
            KeyError: there is no such key.
        """


def is_printable(name: str) -> bool:
    """Whether a name can be shown: no control characters, and nothing that UTF-8 cannot write."""
    return not _UNPRINTABLE.search(name)


def check_key(key: str, path: Path) -> str:
    """Refuse a tensor's name that no honest file has: control characters, ``..`` as a path, kilobytes of text."""
    if len(key) > MAX_KEY:
        raise ContainerError(f"holds a name of {len(key):,} characters, starting {key[:40]!r}", path)
    if not is_printable(key):
        raise ContainerError(f"holds the name {key!r}, which has unprintable characters", path)
    if _UPWARD.search(key):
        raise ContainerError(f"holds the name {key!r}, which points out of its folder", path)
    return key


def tensor_info(key: str, dtype: str, shape: tuple[int, ...], path: Path, packing: str = "") -> TensorInfo:
    """Check a header's claim of name, dtype and shape, and work out the size; nothing is allocated.

    Raises:
        ContainerError: no array could have this name, dtype or shape.
    """
    check_key(key, path)
    if dtype not in NUMPY_DTYPES:
        raise ContainerError(f"{key!r} has the dtype {dtype!r}, which is not supported", path)
    if len(shape) > _MAX_DIMENSIONS or any(type(size) is not int or size < 0 for size in shape):
        raise ContainerError(f"{key!r} claims a shape that no tensor has", path)
    itemsize = NUMPY_DTYPES[dtype].itemsize
    if math.prod(size or 1 for size in shape) * itemsize > _MAX_BYTES:
        raise ContainerError(f"{key!r} claims a shape that no memory holds", path)
    return TensorInfo(key, dtype, shape, math.prod(shape) * itemsize, path, packing)


def is_bomb(unpacked: int, stored: int) -> bool:
    """Whether so few stored bytes claim to become so many that no honest weights would."""
    return unpacked > _FREE_BYTES and unpacked > _MAX_EXPANSION * stored
