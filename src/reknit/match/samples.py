"""What networks are asked: inputs from a file, with the right answers where they are known, or drawn at random."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reknit.containers.tensors import Tensors, read_tensors
from reknit.errors import InputError, TableError

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

    @property
    def repeated(self) -> int:
        """How many rows are the same as an earlier one: they are no evidence of their own."""
        seen = {
            tuple(each[k].numpy().tobytes() for each in self.inputs) if len(self.inputs) > 1 else own.numpy().tobytes()
            for k, own in enumerate(self.inputs[0])
        }
        return len(self) - len(seen)

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
    _check(inputs, wanted, path)
    found = (
        torch.from_numpy(wanted[0].astype(np.int64) if wanted[0].dtype.kind in "iub" else wanted[0]) if wanted else None
    )
    return Samples(tuple(map(torch.from_numpy, inputs)), found)


def _check(inputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], path: str | Path) -> None:
    """Whether arrays can be asked.

    Raises:
        TableError: there are no rows, not equally many, or numbers that no module takes.
    """
    rows = {len(array) if array.ndim else 0 for array in (*inputs, *targets)}
    if rows == {0}:
        raise TableError("holds no rows", path, FORM)
    if len(rows) > 1:
        raise TableError("its arrays are not equally long along their first axes", path, "Write one row an input")
    for array in (*inputs, *targets):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise TableError("holds numbers that are infinite or undefined", path, "Leave these rows out")
    for array in inputs:
        if array.dtype.kind in "iu" and array.dtype.itemsize < 4:
            raise TableError(f"its inputs are {array.dtype.name}", path, "Write floats, or token numbers as int64")


def _arrays(stored: Tensors, word: str) -> list[np.ndarray]:
    names = [name for name in stored.names if stored.info(name).key.rstrip("s_0123456789") == word]
    return [np.asarray(stored.array(name), order="C") for name in names]


def draw_samples(like: Like, skeleton: Skeleton, generator: torch.Generator, rows: int = DRAWN) -> Samples:
    """Normal numbers, and whole numbers that every table they may be looked up in has.

    Inputs by name are put in the order in which the module takes them.

    Raises:
        InputError: they are not the first ones that it takes.
    """
    import torch

    sizes = [group.size for group in skeleton.groups if "looked up by the input" in group.fixed]
    most = min(sizes, default=2)
    examples = _by_place(like) if isinstance(like.inputs, dict) else like.inputs
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


def _by_place(like: Like) -> list[Tensor]:
    named = dict(like.inputs) if isinstance(like.inputs, dict) else {}
    taken = list(inspect.signature(like.module.forward).parameters)[: len(named)]
    if set(taken) != set(named):
        problem = f"its example inputs are {', '.join(named)}, its first arguments {', '.join(taken)}"
        raise InputError(problem, like.name, "Give example inputs by place")
    return [named[name] for name in taken]
