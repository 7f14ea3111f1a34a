"""The problem a search works on: layers in stacks, rows of data, and how well an arrangement explains them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from reknit.assembly.result import Step
from reknit.network.stack import Arrangement, Stack, Trace
from reknit.solvers.ordering import inversions

SCREEN_ROWS, HELD_ROWS = 512, 2000
"""Rows on which settings are compared, and arrangements that ask to be held; the verdict rests on all rows."""
LARGEST = 1e15
"""The largest number a table may hold: beyond it the squares of sums of float32 numbers overflow."""


def mean_square(values: Float[np.ndarray, "*shape"]) -> float:
    """The mean of the squares, in the precision of the values; infinite where overflow left no number."""
    flat = values.reshape(-1)
    mean = float(flat @ flat) / max(flat.size, 1)
    return math.inf if math.isnan(mean) else mean


@dataclass(frozen=True)
class Problem:
    """Layers and data; nothing in it changes during a search.

    Attributes:
        stack: the layers, in the order of the pile, with the activation and norms under trial.
        x: recorded inputs, float32, one row a sample.
        y: recorded outputs, float32.
        pooled: in- and out-layers have one shape and were not told apart: both stacks hold the same 2 n layers.
        floor: mean squared error that the right arrangement is expected to leave (decimals, dtype, noise).
    """

    stack: Stack
    x: Float[np.ndarray, "rows width"]
    y: Float[np.ndarray, "rows outputs"]
    floor: float = 0.0
    pooled: bool = False

    @property
    def blocks(self) -> int:
        """Number of blocks, n."""
        return self.stack.blocks // 2 if self.pooled else self.stack.blocks

    @property
    def variance(self) -> float:
        """Mean squared deviation of the recorded outputs from their column means."""
        return mean_square(self.y - self.y.mean(0))

    @property
    def solved_below(self) -> float:
        """A mean squared error that only an arrangement as good as the right one reaches, for the search to stop."""
        scale = mean_square(self.y)
        return max(1.5 * self.floor, 1e-10 * self.variance, 1e-12 * scale, 1e-30)

    def mse(self, arrangement: Arrangement, rows: int | None = None) -> float:
        """Mean squared error of an arrangement on the first ``rows`` rows (all by default), in float32."""
        x, y = (self.x, self.y) if rows is None else (self.x[:rows], self.y[:rows])
        return mean_square(self.stack.forward(x, arrangement) - y)


class OutOfTime(Exception):  # noqa: N818  (control flow, never shown to a user)
    """The search's budget is spent."""


@dataclass
class Search:
    """One run of a search: its randomness, its clock, its log and the best arrangement it has held.

    Attributes:
        problem: what is being solved.
        seed: seeds the draws of rows and orders; the same seed and threads give the same run.
        deadline: ``time.perf_counter()`` after which the search stops; None: never.
        listener: called with every logged step.
    """

    problem: Problem
    seed: int
    deadline: float | None = None
    listener: Callable[[str, float], None] | None = None
    began: float = field(default_factory=time.perf_counter)
    log: list[tuple[str, float, int, Arrangement, float]] = field(default_factory=list)
    best: tuple[float, Arrangement] | None = None

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.seed)
        self.traced: Trace | None = None

    def draw(self, rows: int) -> tuple[Float[np.ndarray, "rows width"], Float[np.ndarray, "rows outputs"]]:
        """A fresh random subset of the rows (all of them when there are not more)."""
        total = len(self.problem.x)
        if rows >= total:
            return self.problem.x, self.problem.y
        pick = self.generator.choice(total, rows, replace=False)
        return self.problem.x[pick], self.problem.y[pick]

    def directions(self, y: Float[np.ndarray, "rows outputs"]) -> Float[np.ndarray, "rows outputs"]:
        """One direction of the outputs per row, so that many outputs cost no more than one."""
        if y.shape[1] == 1:
            return np.ones_like(y)
        return self.generator.standard_normal(y.shape, y.dtype)

    def residual(
        self,
        x: Float[np.ndarray, "rows width"],
        y: Float[np.ndarray, "rows outputs"],
        arrangement: Arrangement,
        stack: Stack,
    ) -> tuple[Trace, Float[np.ndarray, " rows"]]:
        """Trace an arrangement of ``stack`` and say what it leaves of the recorded outputs along the directions.

        The trace holds until the next one is asked for, which takes over its memory: to be given fresh pages by the
        system costs a trace of small layers a quarter of its time.
        """
        direction = self.directions(y)
        self.traced = stack.trace(x, direction, arrangement, spent=self.traced)
        return self.traced, (y * direction).sum(1) - self.traced.answer

    def note(self, stage: str, arrangement: Arrangement, mse: float, rows: int) -> None:
        """Log an arrangement; keep it when it is the best so far; stop when time is up."""
        self.log.append((stage, mse, rows, arrangement, time.perf_counter() - self.began))
        if self.best is None or mse < self.best[0]:
            self.best = (mse, arrangement)
        if self.listener is not None:
            self.listener(stage, mse)
        self.check_time()

    def check_time(self) -> None:
        """Raise ``OutOfTime`` when the budget is spent."""
        if self.deadline is not None and time.perf_counter() > self.deadline:
            raise OutOfTime

    def steps(self, final: Arrangement) -> tuple[Step, ...]:
        """The log as the report shows it: inversions are counted against the final order where the pairs agree."""
        pairs = set(zip(final.ins, final.outs, strict=True))
        return tuple(
            Step(
                stage,
                mse,
                rows,
                inversions(a.ins, final.ins) if set(zip(a.ins, a.outs, strict=True)) == pairs else None,
                seconds,
            )
            for stage, mse, rows, a, seconds in self.log
        )
