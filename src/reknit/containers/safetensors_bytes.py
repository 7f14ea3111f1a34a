"""Tensors as the bytes of one safetensors file, in an order of the caller's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.containers.write_safetensors import safetensors_parts
from reknit.errors import OutputError


@dataclass(frozen=True, eq=False)
class Named:
    """A tensor to be written.

    Attributes:
        name: in the file.
        array: the numbers, in a dtype that holds all of them.
        dtype: as they shall be stored, a name in ``NUMPY_DTYPES``.
    """

    name: str
    array: np.ndarray
    dtype: str

    @property
    def stored(self) -> np.ndarray:
        """The numbers in the dtype of the file, in C order."""
        with np.errstate(over="ignore", invalid="ignore"):
            cast = self.array.astype(NUMPY_DTYPES[self.dtype], copy=False)
        return np.ascontiguousarray(cast).reshape(self.array.shape)


def safetensors_bytes(tensors: Sequence[Named]) -> bytes:
    """A whole file, whose header names the tensors as given.

    Raises:
        OutputError: the format has no such dtype, or two tensors have one name.
    """
    named = {each.name: each for each in tensors}
    if len(named) < len(tensors):
        raise OutputError("two tensors would have one name", "", "Choose other names")
    described = {name: (each.dtype, each.array.shape) for name, each in named.items()}
    return b"".join(safetensors_parts("", described, lambda name: named[name].stored.tobytes(), by_name=False))
