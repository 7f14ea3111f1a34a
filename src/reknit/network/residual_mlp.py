"""The residual MLP: ``x -> x + out(act(in(norm(x))))``, n times, an optional final norm, a linear head.

``ResidualMLP`` is an ordinary ``torch.nn.Module`` whose state-dict keys are ``blocks.0.in.weight``, ...,
``head.weight``, ``head.bias``. A layer that came without a bias has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from reknit.network.norms import norm
from reknit.network.spec import ResidualSpec

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "gelu-tanh": partial(functional.gelu, approximate="tanh"),
    "leaky-relu": functional.leaky_relu,
    "elu": functional.elu,
    "sigmoid": torch.sigmoid,
}
"""torch's own functions by the names of ``reknit.network.activations``."""


class FreeNorm(nn.Module):
    """A parameter-free norm as a module, so that it prints and traces."""

    def __init__(self, name: str, eps: float | None = None) -> None:
        super().__init__()
        self.kind = norm(name)
        self.eps = self.kind.eps if eps is None else eps

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Normalise the last axis."""
        if self.kind.name == "none":
            return x
        normed = functional.layer_norm if self.kind.name == "layer" else functional.rms_norm
        return normed(x, x.shape[-1:], eps=self.eps)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"{self.kind.name}, eps={self.eps:g}"


class ResidualBlock(nn.Module):
    """``x -> x + out(act(in(norm(x))))``."""

    def __init__(self, spec: ResidualSpec, in_bias: bool = True, out_bias: bool = True) -> None:
        super().__init__()
        self.norm = FreeNorm(spec.norm, spec.norm_eps)
        # "in" is a Python keyword, so the layer cannot be an attribute written out
        self.add_module("in", nn.Linear(spec.width, spec.hidden, bias=in_bias))
        self.out = nn.Linear(spec.hidden, spec.width, bias=out_bias)
        self.act = ACTIVATIONS[spec.activation]

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Add the branch to the stream."""
        added: Tensor = self.out(self.act(self.get_submodule("in")(self.norm(x))))
        return x + added


class ResidualMLP(nn.Module):
    """A residual MLP; see the module's docstring for its equation.

    Args:
        spec: the architecture.
        biases: which layers have a bias, by key without ``.bias``; None: all of them.
    """

    def __init__(self, spec: ResidualSpec, biases: frozenset[str] | None = None) -> None:
        super().__init__()
        self.spec = spec

        def has_bias(key: str) -> bool:
            return biases is None or key in biases

        self.blocks = nn.ModuleList(
            ResidualBlock(spec, has_bias(f"blocks.{k}.in"), has_bias(f"blocks.{k}.out")) for k in range(spec.blocks)
        )
        self.final_norm = FreeNorm(spec.final_norm, spec.norm_eps)
        self.head = nn.Linear(spec.width, spec.outputs, bias=has_bias("head"))

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows outputs"]:
        """The network's answer."""
        for block in self.blocks:
            x = block(x)
        answer: Tensor = self.head(self.final_norm(x))
        return answer

    @classmethod
    def from_tensors(cls, spec: ResidualSpec, tensors: Mapping[str, Tensor | np.ndarray]) -> ResidualMLP:
        """A model holding these tensors, in their dtype; a layer has a bias when its ``.bias`` is among them.

        Arrays are copied, tensors are held as they are.
        """
        biases = frozenset(key.removesuffix(".bias") for key in tensors if key.endswith(".bias"))
        with torch.device("meta"):
            model = cls(spec, biases)
        state = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in tensors.items()}
        model.load_state_dict(state, assign=True)
        return model.requires_grad_(False)
