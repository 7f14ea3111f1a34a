"""Random weights for a skeleton, on which its module is asked what leaves its function as it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reknit.skeleton.skeleton import Skeleton


def random_weights(skeleton: Skeleton, generator: torch.Generator, size: float = 1.0) -> dict[str, Tensor]:
    """Random weights in float64 that keep signals at about this size; variances are positive, counters zero."""
    variances = {use.slots.get("running_var") for use in skeleton.uses}
    state: dict[str, Tensor] = {}
    for slot in skeleton.slots:
        if not slot.dtype.startswith(("float", "bfloat")):
            state[slot.key] = torch.zeros(slot.shape, dtype=torch.int64)
            continue
        drawn = size * torch.randn(slot.shape, generator=generator, dtype=torch.float64)
        wide = max(int(np.prod(slot.shape[1:])), 1) if len(slot.shape) > 1 else 4
        drawn = drawn / wide**0.5 + (0.2 if len(slot.shape) == 1 else 0.0)
        state[slot.key] = drawn.abs() + 0.5 if slot.key in variances else drawn
    return state
