"""Running statistics of BatchNorms, estimated again: of a merged network those of its parents are wrong.

Every BatchNorm of the forward pass, called as a layer or as a function, normalises by the batch instead of by what is
stored, as in training, and what it saw is averaged over the batches. For merging: Jordan, Sedghi, Saukh, Entezari,
Neyshabur, "REPAIR: REnormalizing Permuted Activations for Interpolation Repair" (2022, arXiv 2211.08403), section 4.

What comes out are the statistics of the samples, so they have to be like the rows that were trained on; where they are
not, ``parents_moments`` harms less.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from reknit.errors import TableError
from reknit.match.computing import Computer
from reknit.match.samples import Samples
from reknit.match.stored_dtype import stored_as

_SIGNATURE = inspect.signature(functional.batch_norm)
BATCH = 256
"""Rows normalised together."""


@dataclass(frozen=True, eq=False)
class NormCall:
    """One call of a BatchNorm that has running statistics.

    Attributes:
        x: what is normalised, channels on axis 1.
        mean: running mean.
        variance: running variance.
        weight: gain of each channel; None: one.
        bias: summand of each channel; None: zero.
        eps: added to the variance.
    """

    x: Tensor
    mean: Tensor
    variance: Tensor
    weight: Tensor | None
    bias: Tensor | None
    eps: float

    @property
    def channels(self) -> Tensor:
        """What is normalised: channels x values.

        Raises:
            TableError: there is one value for each channel, which has no variance.
        """
        found = self.x.movedim(1, 0).flatten(1)
        if found.shape[1] < 2:
            raise TableError("one row has no variance", "--data", "Give at least 2 rows")
        return found

    def normed(self, mean: Tensor, variance: Tensor) -> Tensor:
        """What comes out with these statistics."""
        return functional.batch_norm(self.x, mean, variance, self.weight, self.bias, training=False, eps=self.eps)


class EveryBatchNorm(TorchFunctionMode, ABC):
    """Hands every BatchNorm that has running statistics to ``answer``, as a layer or as a function."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not functional.batch_norm:
            return func(*args, **(kwargs or {}))
        given = _SIGNATURE.bind(*args, **(kwargs or {})).arguments
        mean, variance = given.get("running_mean"), given.get("running_var")
        if mean is None or variance is None:
            return func(*args, **(kwargs or {}))
        affine = given.get("weight"), given.get("bias")
        return self.answer(NormCall(given["input"], mean, variance, *affine, given.get("eps", 1e-5)))

    @abstractmethod
    def answer(self, call: NormCall) -> Tensor:
        """What the call returns instead."""


class NormedByBatch(EveryBatchNorm):
    """Lets BatchNorms normalise by their batch, and keeps the mean and variance that each saw.

    Args:
        slot_of: where running statistics lie in memory -> their slot; None: nothing is kept.
    """

    def __init__(self, slot_of: Mapping[int, str] | None = None) -> None:
        super().__init__()
        self.slot_of = slot_of
        self.seen: dict[str, list[Tensor]] = {}

    def answer(self, call: NormCall) -> Tensor:
        """Normalised by its batch."""
        if self.slot_of is not None:
            channels = call.channels
            for tensor, value in ((call.mean, channels.mean(1)), (call.variance, channels.var(1, correction=1))):
                self.seen.setdefault(self.slot_of[tensor.data_ptr()], []).append(value)
        return functional.batch_norm(call.x, None, None, call.weight, call.bias, training=True, eps=call.eps)


def has_statistics(computer: Computer) -> bool:
    """Whether the skeleton has BatchNorms with running statistics; those of other norms are left as they are."""
    return any(use.operation != "instance_norm" and "running_mean" in use.slots for use in computer.skeleton.uses)


def slots_in_memory(computer: Computer, state: Mapping[str, Tensor]) -> dict[int, str]:
    """Where every slot's tensor lies -> its slot."""
    return {state[slot.key].data_ptr(): slot.key for slot in computer.skeleton.slots if state[slot.key].numel()}


def batches(samples: Samples, batch: int = BATCH) -> tuple[Samples, ...]:
    """The samples in parts of about equal size, of at least so many rows."""
    parts = torch.arange(len(samples)).tensor_split(max(len(samples) // batch, 1))
    return tuple(samples.some(rows) for rows in parts)


def estimated_again(
    computer: Computer, tensors: Mapping[str, np.ndarray], samples: Samples, *, batch: int = BATCH
) -> dict[str, np.ndarray]:
    """The network with its running statistics estimated on samples; what holds none is handed on as it is.

    Args:
        computer: runs the module.
        tensors: slot -> numbers; not changed.
        samples: from where the network is to work: on noise the statistics of noise come out.
        batch: rows normalised together.

    Raises:
        TableError: there is one value for each channel.
    """
    state = computer.state(tensors)
    with torch.no_grad(), NormedByBatch(slots_in_memory(computer, state)) as mode:
        for part in batches(samples, batch):
            computer.call(state, part.inputs)
    again = {key: torch.stack(values).mean(0).numpy() for key, values in mode.seen.items()}
    return {key: stored_as(again[key], value.dtype) if key in again else value for key, value in tensors.items()}
