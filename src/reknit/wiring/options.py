"""What was asked of a wiring, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reknit.errors import UsageError

LINKS = ("identity", "softmax", "sigmoid")


@dataclass(frozen=True)
class WiringOptions:
    """What was asked for; see ``reknit.assemble``."""

    like: str | None = None
    input_shape: str | None = None
    link: str | None = None
    noise: float | None = None
    budget: float | None = None
    seed: int = 0
    starts: int = 16

    def __post_init__(self) -> None:
        if self.link is not None and self.link not in LINKS:
            raise UsageError(f"there is no link {self.link!r}", "--link", f"Choose one of {', '.join(LINKS)}")
        if self.noise is not None and not 0 <= self.noise < math.inf:
            raise UsageError(f"noise is a standard deviation, not {self.noise}", "--noise", "Give a number from 0")
