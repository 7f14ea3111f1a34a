"""Tensors as the bytes of one safetensors file, in an order of the caller's choice.

The library's own writer sorts tensors by name; here the header names them as given. The numbers lie in the same order,
but those of wide items first, so that every tensor begins at a multiple of its item size, as readers that map the file
need it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.containers.safetensors_file import DTYPES
from reknit.errors import OutputError

_CODES = {name: code for code, name in DTYPES.items()}


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
            return np.ascontiguousarray(self.array.astype(NUMPY_DTYPES[self.dtype], copy=False)).reshape(
                self.array.shape
            )


def safetensors_bytes(tensors: Sequence[Named]) -> bytes:
    """A whole file.

    Raises:
        OutputError: the format has no such dtype, or two tensors have one name.
    """
    if len({each.name for each in tensors}) < len(tensors):
        raise OutputError("two tensors would have one name", "", "Choose other names")
    for each in tensors:
        if each.dtype not in _CODES:
            raise OutputError(f"safetensors files hold no {each.dtype}", each.name, "Cast it first")
    stored = [each.stored for each in tensors]
    begins, at = [0] * len(stored), 0
    by_width = sorted(range(len(stored)), key=lambda k: -stored[k].dtype.itemsize)
    for k in by_width:
        begins[k], at = at, at + stored[k].nbytes
    header = {
        each.name: {
            "dtype": _CODES[each.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, begin + array.nbytes],
        }
        for each, array, begin in zip(tensors, stored, begins, strict=True)
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(stored[k].tobytes() for k in by_width)])
