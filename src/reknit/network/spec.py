"""The architecture of a residual MLP; apart from the module, so that it can be spoken of without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ResidualSpec:
    """The architecture of one residual MLP: everything but its numbers.

    Attributes:
        blocks: number of residual blocks, n.
        width: size of the stream, d.
        hidden: size inside a block, h.
        outputs: size of the head's answer, o.
        activation: a name in ``ACTIVATIONS``.
        norm: the norm a block reads the stream through, a name in ``NORMS``.
        final_norm: the norm before the head.
        norm_eps: what the norms add under the root; None for each norm's default.
    """

    blocks: int
    width: int
    hidden: int
    outputs: int
    activation: str = "relu"
    norm: str = "none"
    final_norm: str = "none"
    norm_eps: float | None = None

    def as_config(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return {"architecture": "residual-mlp", **asdict(self)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ResidualSpec:
        """The inverse of ``as_config``; keys it does not know are left aside."""
        return cls(**{key: config[key] for key in cls.__dataclass_fields__ if key in config})
