"""Activations by name: value and derivative, elementwise.

An activation is a pair of functions over tensors of any shape. The derivative takes the pre-activation and the value,
because for some (tanh) the value alone gives it and for others (relu) it is cheaper from the pre-activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from reknit.errors import UsageError


@dataclass(frozen=True)
class Activation:
    """One elementwise function.

    Attributes:
        name: the name used in the command line and in ``config.json``.
        value: z -> act(z).
        slope: (z, act(z)) -> act'(z); at a kink, the value torch's autograd uses.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]

    def pull(self, gradient: Tensor, z: Tensor, value: Tensor) -> Tensor:
        """The gradient times the slope; relu's without a detour over a mask, which costs more than the products."""
        if self.value is torch.relu:
            pulled: Tensor = torch.ops.aten.threshold_backward(gradient, z, 0)
            return pulled
        return gradient * self.slope(z, value)

    def into(self, z: Tensor, out: Tensor) -> Tensor:
        """act(z) written into ``out``, which may be z itself; returns ``out``."""
        if self.value is torch.relu:
            return torch.clamp_min(z, 0, out=out)
        if self.value is torch.tanh:
            return torch.tanh(z, out=out)
        return out.copy_(self.value(z))


def _gelu_slope(z: Tensor, _value: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(z * math.sqrt(0.5))) + z * torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _gelu_tanh_slope(z: Tensor, _value: Tensor) -> Tensor:
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    t = torch.tanh(scale * (z + cubic * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * scale * (1 + 3 * cubic * z * z)


def _silu_slope(z: Tensor, _value: Tensor) -> Tensor:
    gate = torch.sigmoid(z)
    return gate * (1 + z * (1 - gate))


ACTIVATIONS: dict[str, Activation] = {
    a.name: a
    for a in (
        Activation("relu", torch.relu, lambda z, _: (z > 0).to(z.dtype)),
        Activation("gelu", functional.gelu, _gelu_slope),
        Activation("silu", functional.silu, _silu_slope),
        Activation("tanh", torch.tanh, lambda _, value: 1 - value * value),
        Activation("gelu-tanh", lambda z: functional.gelu(z, approximate="tanh"), _gelu_tanh_slope),
        Activation("leaky-relu", functional.leaky_relu, lambda z, _: torch.where(z > 0, torch.ones_like(z), 0.01)),
        Activation("elu", functional.elu, lambda z, value: torch.where(z > 0, torch.ones_like(z), value + 1)),
        Activation("sigmoid", torch.sigmoid, lambda _, value: value * (1 - value)),
    )
}


def activation(name: str) -> Activation:
    """Look an activation up by name; an unknown name lists the choices."""
    try:
        return ACTIVATIONS[name]
    except KeyError:
        choices = f"Choose one of {', '.join(ACTIVATIONS)}"
        raise UsageError(f"there is no activation {name!r}", "--activation", choices) from None
