"""Parameter-free norms over the last axis: value and vector-Jacobian product.

``none``: x. ``layer``: (x - mean) / sqrt(var + eps), the biased variance, as ``torch.nn.LayerNorm`` without affine
parameters. ``rms``: x / sqrt(mean(x^2) + eps), as ``torch.nn.RMSNorm`` without affine parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reknit.errors import UsageError


@dataclass(frozen=True)
class Norm:
    """One parameter-free norm.

    Attributes:
        name: the name used in the command line and in ``config.json``.
        eps: what is added under the root; torch's default for that norm in float32.
        value: (x, eps) -> N(x), over the last axis.
        pullback: (x, eps, g) -> g times the Jacobian of N at x.
    """

    name: str
    eps: float
    value: Callable[[Tensor, float], Tensor]
    pullback: Callable[[Tensor, float, Tensor], Tensor]


def _layer(x: Tensor, eps: float) -> Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=eps)


def _layer_pullback(x: Tensor, eps: float, g: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    normed = centred * scale
    return scale * (g - g.mean(-1, keepdim=True) - normed * (g * normed).mean(-1, keepdim=True))


def _rms(x: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def _rms_pullback(x: Tensor, eps: float, g: Tensor) -> Tensor:
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    normed = x * scale
    return scale * (g - normed * (g * normed).mean(-1, keepdim=True))


NORMS: dict[str, Norm] = {
    n.name: n
    for n in (
        Norm("none", 0.0, lambda x, _: x, lambda _x, _eps, g: g),
        Norm("layer", 1e-5, _layer, _layer_pullback),
        Norm("rms", float(torch.finfo(torch.float32).eps), _rms, _rms_pullback),
    )
}


def norm(name: str) -> Norm:
    """Look a norm up by name; an unknown name lists the choices."""
    try:
        return NORMS[name]
    except KeyError:
        raise UsageError(f"there is no norm {name!r}", "--norm", f"Choose one of {', '.join(NORMS)}") from None
