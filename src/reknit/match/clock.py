"""How long each stage of a verb took."""

from __future__ import annotations

import time


class Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        """A stage ends, and the next one begins."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
