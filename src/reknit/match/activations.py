"""Activations of a network, place by place: what every matrix reads and what it writes.

They are picked up where the forward pass hands a slot's tensor to an operation, so any module will do: layers, bare
functions, views of a fused tensor. The channels are those of the tensor's own axes, so that a skeleton's members say
which unit is where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from reknit.match.computing import Computer
from reknit.match.samples import Samples

POSITIONS = 4096
"""Rows and positions that are kept of every place."""
PRODUCTS = ("linear", "matmul", "mm", "addmm", "__matmul__", "__rmatmul__")
CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")


@dataclass(frozen=True)
class Place:
    """Where activations are taken.

    Attributes:
        slot: of the matrix, kernel or table.
        axis: the axis of the slot that the channels run along.
        written: whether it is what an operation answered, or what it was given.
    """

    slot: str
    axis: int
    written: bool


Activations = dict[Place, Float[np.ndarray, "channels positions"]]


class PickUp(TorchFunctionMode):
    """Shows what operations on slots' tensors read and write to a function: place, values with channels first."""

    def __init__(self, state: Mapping[str, Tensor], keys: Sequence[str], show: Callable[[Place, Tensor], None]) -> None:
        super().__init__()
        self.slot_of = {state[key].untyped_storage().data_ptr(): (key, state[key]) for key in keys}
        self.show = show

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in (*PRODUCTS, *CONVOLUTIONS, "embedding") and isinstance(out, Tensor):
            given = [each for each in (*args, *(kwargs or {}).values()) if isinstance(each, Tensor)]
            held = [(self.slot_of.get(each.untyped_storage().data_ptr()), each) for each in given]
            matrices = [(k, slot, each) for k, (slot, each) in enumerate(held) if slot and each.ndim > 1]
            others = [(k, each) for k, (slot, each) in enumerate(held) if not slot]
            if len(matrices) == 1 and others:
                place, (slot, own), matrix = matrices[0]
                self._shown(name, slot, _axes(matrix, own), matrix, others[0][1], out, first=place < others[0][0])
        return out

    def _shown(
        self,
        name: str,
        slot: str,
        axes: tuple[int, int] | None,
        matrix: Tensor,
        read: Tensor,
        written: Tensor,
        *,
        first: bool,
    ) -> None:
        """Tell the places of one operation; ``axes`` are the slot's axes of the first two dimensions it was given."""
        if axes is None:
            return
        if name == "embedding":
            self.show(Place(slot, axes[1], written=True), written.movedim(-1, 0))
        elif name in CONVOLUTIONS:
            if read.shape[1] == matrix.shape[1]:  # not in groups
                self.show(Place(slot, axes[1], written=False), read.movedim(1, 0))
            self.show(Place(slot, axes[0], written=True), written.movedim(1, 0))
        elif name == "linear" or not first:
            into, out_of = (axes[1], axes[0]) if name == "linear" else axes
            self.show(Place(slot, into, written=False), read.movedim(-1, 0))
            self.show(Place(slot, out_of, written=True), written.movedim(-1, 0))
        elif read.ndim > 1:  # the matrix stands on the left: channels are rows
            self.show(Place(slot, axes[1], written=False), read.movedim(-2, 0))
            self.show(Place(slot, axes[0], written=True), written.movedim(-2, 0))


def _axes(given: Tensor, own: Tensor) -> tuple[int, int] | None:
    """Which axes of a slot's tensor the first two of a view are; None where it was laid out in another way."""
    if given.shape == own.shape and given.stride() == own.stride():
        return 0, 1
    if given.ndim == 2 and given.shape == own.shape[::-1] and given.stride() == own.stride()[::-1]:
        return 1, 0
    return None


def activations(computer: Computer, tensors: Mapping[str, Any], samples: Samples, *, batch: int = 64) -> Activations:
    """What every matrix, kernel and table of a network reads and writes, on the same positions for every network.

    Args:
        computer: runs the module.
        tensors: slot -> numbers.
        samples: what is asked.
        batch: rows in one forward pass.

    Returns:
        float32; at most 4096 rows and positions of each place, drawn with a seed of their own.
    """
    found: dict[Place, list[Tensor]] = {}
    state = computer.state(tensors)
    share = -(-POSITIONS * batch // max(len(samples), 1))

    def show(place: Place, values: Tensor) -> None:
        found.setdefault(place, []).append(_drawn(values.flatten(1), share))

    with torch.no_grad(), PickUp(state, [slot.key for slot in computer.skeleton.slots], show):
        for k in range(0, len(samples), batch):
            computer.call(state, samples.some(slice(k, k + batch)).inputs)
    return {place: torch.cat(parts, 1).float().numpy() for place, parts in found.items()}


def _drawn(rows: Tensor, most: int) -> Tensor:
    if rows.shape[1] <= most:
        return rows.clone()
    return rows[:, torch.randperm(rows.shape[1], generator=torch.Generator().manual_seed(rows.shape[1]))[:most]]


def standardised(rows: Float[np.ndarray, "channels positions"]) -> Float[np.ndarray, "channels positions"]:
    """Channels less their mean, as unit vectors; zero where they do not vary."""
    centred = rows.astype(np.float64) - rows.mean(1, keepdims=True, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    floor = 1e-6 * np.abs(rows).max(initial=0.0) * np.sqrt(max(rows.shape[1], 1))
    return np.asarray(np.where(length > floor, centred / np.maximum(length, 1e-300), 0.0))
