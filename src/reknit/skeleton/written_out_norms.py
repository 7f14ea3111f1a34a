"""BatchNorm in eval mode with a derivative for its running statistics, which torch's own has not.

    y = (x - mean) / sqrt(variance + eps) * weight + bias          Ioffe and Szegedy, arXiv 1502.03167, algorithm 2

The search by outputs asks what the answer would be if another vector stood in for the running mean or variance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

STATISTICS = ("running_mean", "running_var")
ORDERS: dict[Callable[..., Any], tuple[str, ...]] = {
    functional.batch_norm: ("input", *STATISTICS, "weight", "bias", "training", "momentum", "eps"),
    torch.batch_norm: ("input", "weight", "bias", *STATISTICS, "training", "momentum", "eps", "cudnn_enabled"),
}
"""Functions that a module may call, and their arguments in order."""


class WrittenOutNorms(TorchFunctionMode):
    """While it is entered, BatchNorms that do not train are computed by the formula above."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Every call of torch; all but one kind are handed on."""
        order = ORDERS.get(func)
        if order is not None:
            told = {"weight": None, "bias": None, "training": False, "eps": 1e-5, **(kwargs or {})}
            told |= dict(zip(order, args, strict=False))
            if not told["training"]:
                return written_out(*(told[name] for name in ("input", *STATISTICS, "weight", "bias", "eps")))
        return func(*args, **(kwargs or {}))


def written_out(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """BatchNorm by its statistics; channels are the second axis of x."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    y = (x - mean.view(shape)) * scale.view(shape)
    return y if bias is None else y + bias.view(shape)
