"""Recorded inputs and outputs of a network that is no table: arrays by name, in an npz or safetensors file.

``inputs`` (or ``input_0``, ``input_1``, ... in the order of the forward pass) and ``outputs`` (or ``output_0``, ...),
which may be missing; the first axis of each runs over the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reknit.containers.tensors import Tensors, read_tensors
from reknit.errors import TableError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Recorded:
    """What a network was asked and what it answered.

    Attributes:
        inputs: positional arguments; whole numbers stay whole numbers.
        outputs: in the order in which the module answers; none where only inputs were recorded.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_recorded(path: str | Path) -> Recorded:
    """Read a record.

    Raises:
        ContainerError: the file cannot be read.
        TableError: it has no inputs, an array is empty, or first axes differ.
    """
    stored = read_tensors(path)
    inputs, outputs = (_numbered(stored, word) for word in ("input", "output"))
    if not inputs:
        remedy = "Write an npz file with the arrays inputs and, if they are known, outputs"
        raise TableError("has no array inputs (nor input_0, input_1, ...)", path, remedy)
    rows = {len(array) if array.ndim else 0 for array in (*inputs, *outputs)}
    if any(array.ndim and not len(array) for array in (*inputs, *outputs)):
        raise TableError("inputs or outputs are empty", path, "Record one row an input, and at least one")
    if len(rows) > 1 or 0 in rows:
        raise TableError("the first axes of inputs and outputs are not equally long", path, "Record one row an input")
    import torch

    return Recorded(*(tuple(map(torch.from_numpy, found)) for found in (inputs, outputs)))


def _numbered(stored: Tensors, word: str) -> list[np.ndarray]:
    """The arrays of that word, in natural order."""
    # what is alone in its file is named after the file, whatever its key is
    called = {name: (name.rpartition(":")[2], stored.info(name).key) for name in stored.names}
    names = [name for name, words in called.items() if word in (each.rstrip("s_0123456789") for each in words)]
    return [np.asarray(stored.array(name), order="C") for name in names]
