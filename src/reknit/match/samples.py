"""What networks are asked: inputs from a file, with the right answers where they are known, or drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reknit.containers.tensors import Tensors, read_tensors
from reknit.errors import TableError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from reknit.skeleton.like import Like
    from reknit.skeleton.skeleton import Skeleton

FORM = "Write an npz file with the array inputs and, for losses, targets"
DRAWN = 16


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs, and what should be answered.

    Attributes:
        inputs: positional arguments of the module; the first axis of each runs over the rows.
        targets: class numbers or values; None where they are not known.
        drawn: whether the inputs are noise, and tell nothing of the task.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor | None = None
    drawn: bool = False

    def __len__(self) -> int:
        """How many rows."""
        return len(self.inputs[0])

    def some(self, rows: Tensor | slice) -> Samples:
        """Some of the rows."""
        targets = None if self.targets is None else self.targets[rows]
        return Samples(tuple(each[rows] for each in self.inputs), targets, self.drawn)


def read_samples(path: str | Path, *, targets: bool = False) -> Samples:
    """Read the arrays ``inputs`` (or ``input_0``, ``input_1``, ...) and ``targets`` of an npz or safetensors file.

    Args:
        path: the file.
        targets: whether targets are wanted.

    Raises:
        ContainerError: the file cannot be read.
        TableError: an array is missing, or the first axes differ.
    """
    import torch

    stored = read_tensors(path)
    inputs = _arrays(stored, "input")
    wanted = _arrays(stored, "target")
    if not inputs:
        raise TableError("has no array inputs (nor input_0, input_1, ...)", path, FORM)
    if targets and len(wanted) != 1:
        raise TableError("has no array targets", path, FORM)
    rows = {len(array) if array.ndim else 0 for array in (*inputs, *wanted)}
    if len(rows) > 1 or 0 in rows:
        raise TableError("the first axes of inputs and targets are not equally long", path, "Write one row an input")
    return Samples(tuple(map(torch.from_numpy, inputs)), torch.from_numpy(wanted[0]) if wanted else None)


def _arrays(stored: Tensors, word: str) -> list[np.ndarray]:
    names = [name for name in stored.names if stored.info(name).key.rstrip("s_0123456789") == word]
    return [np.asarray(stored.array(name), order="C") for name in names]


def draw_samples(like: Like, skeleton: Skeleton, generator: torch.Generator, rows: int = DRAWN) -> Samples:
    """Normal numbers, and whole numbers that every table they may be looked up in has.

    Inputs by name are taken in the order in which the skeleton's example has them.
    """
    import torch

    sizes = [group.size for group in skeleton.groups if "looked up by the input" in group.fixed]
    most = min(sizes, default=2)
    examples = like.inputs.values() if isinstance(like.inputs, dict) else like.inputs
    found = []
    for example in examples:
        shape = (rows, *example.shape[1:])
        if example.is_floating_point():
            found.append(torch.randn(shape, generator=generator))
        elif example.dtype == torch.bool:
            found.append(torch.ones(shape, dtype=torch.bool))
        else:
            found.append(torch.randint(most, shape, generator=generator))
    return Samples(tuple(found), drawn=True)
