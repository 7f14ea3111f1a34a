"""Running statistics of BatchNorms, estimated again: of a merged network those of its parents are wrong.

Every BatchNorm of the forward pass, called as a layer or as a function, normalises by the batch instead of by what is
stored, as in training, and what it saw is averaged over the batches. For merging: Jordan, Sedghi, Saukh, Entezari,
Neyshabur, "REPAIR: REnormalizing Permuted Activations for Interpolation Repair" (2022, arXiv 2211.08403), section 4.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from reknit.errors import TableError
from reknit.match.computing import Computer
from reknit.match.samples import Samples

_SIGNATURE = inspect.signature(functional.batch_norm)


class NormedByBatch(TorchFunctionMode):
    """Lets BatchNorms normalise by their batch, and keeps the mean and variance that each saw.

    Args:
        slot_of: where running statistics lie in memory -> their slot; None: nothing is kept.
    """

    def __init__(self, slot_of: Mapping[int, str] | None = None) -> None:
        super().__init__()
        self.slot_of = slot_of
        self.seen: dict[str, list[Tensor]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not functional.batch_norm:
            return func(*args, **(kwargs or {}))
        given = _SIGNATURE.bind(*args, **(kwargs or {})).arguments
        x, mean, variance = given["input"], given.get("running_mean"), given.get("running_var")
        if mean is None or variance is None:
            return func(*args, **(kwargs or {}))
        if self.slot_of is not None:
            channels = x.movedim(1, 0).flatten(1)
            for tensor, value in ((mean, channels.mean(1)), (variance, channels.var(1, correction=1))):
                self.seen.setdefault(self.slot_of[tensor.data_ptr()], []).append(value)
        return functional.batch_norm(
            x, None, None, given.get("weight"), given.get("bias"), training=True, eps=given.get("eps", 1e-5)
        )


def has_statistics(computer: Computer) -> bool:
    """Whether the skeleton has running statistics."""
    return any("running_mean" in use.slots for use in computer.skeleton.uses)


def estimated_again(
    computer: Computer, tensors: Mapping[str, np.ndarray], samples: Samples, *, batch: int = 256
) -> dict[str, np.ndarray]:
    """The network with its running statistics estimated on samples; what holds none is handed on as it is.

    Args:
        computer: runs the module.
        tensors: slot -> numbers; not changed.
        samples: from where the network is to work: on noise the statistics of noise come out.
        batch: rows normalised together.
    """
    if len(samples) < 2:
        raise TableError("one row has no variance", "--data", "Give at least 2 rows")
    state = computer.state(tensors)
    slot_of = {state[slot.key].data_ptr(): slot.key for slot in computer.skeleton.slots if state[slot.key].numel()}
    with torch.no_grad(), NormedByBatch(slot_of) as mode:
        for rows in torch.arange(len(samples)).tensor_split(max(len(samples) // batch, 1)):
            computer.call(state, samples.some(rows).inputs)
    again = {key: torch.stack(values).mean(0).numpy() for key, values in mode.seen.items()}
    return {key: again[key].astype(value.dtype) if key in again else value for key, value in tensors.items()}
