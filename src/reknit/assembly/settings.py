"""What is supposed of an architecture beyond its shapes: the activation, the norm of the blocks, the final norm."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reknit.assembly.problem import Problem
from reknit.network.activations import activation
from reknit.network.norms import NORMS, norm

COMMON_ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "gelu-tanh", "leaky-relu", "elu", "sigmoid")
FAMILIES = {"relu": ("leaky-relu",), "gelu": ("silu", "gelu-tanh", "elu"), "tanh": ("sigmoid", "elu")}
"""Activations that stand for the ones like them when settings are screened: a network is nearly solved under those."""


@dataclass(frozen=True)
class Setting:
    """What is supposed of the architecture beyond the shapes."""

    activation: str
    norm: str
    final_norm: str

    def __str__(self) -> str:
        final = f", final norm {self.final_norm}" if self.final_norm != "none" else ""
        return f"{self.activation}, norm {self.norm}{final}"


def settings(act: str | None, block_norm: str | None) -> list[Setting]:
    """The combinations to try, common ones first: what the user names is kept, the rest runs through what is common."""
    acts = COMMON_ACTIVATIONS if act is None else (activation(act).name,)
    norms = tuple(NORMS) if block_norm is None else (norm(block_norm).name,)
    pairs = [(kind, final) for kind in norms for final in dict.fromkeys((kind, "none"))]
    return [Setting(a, kind, final) for kind, final in pairs for a in acts]


def suppose(problem: Problem, setting: Setting) -> Problem:
    """The problem under another setting."""
    stack = replace(
        problem.stack,
        activation=activation(setting.activation),
        norm=norm(setting.norm),
        final_norm=norm(setting.final_norm),
    )
    return replace(problem, stack=stack)
