"""What modules answer and are asked: tensors in any nest, and their precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def tensors_in(answer: Any) -> list[Tensor]:
    """All tensors of a nest, from left to right; what is neither a tensor nor holds any is passed over."""
    if isinstance(answer, Tensor):
        return [answer]
    if isinstance(answer, Mapping):
        answer = answer.values()
    elif not isinstance(answer, tuple | list):
        return []
    return [tensor for part in answer for tensor in tensors_in(part)]


def cast(value: Any, dtype: torch.dtype) -> Any:
    """Numbers in a dtype, detached; everything else as it is."""
    return value.detach().to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
