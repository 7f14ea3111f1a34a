"""The problem a search works on: layers in stacks, rows of data, and how well an arrangement explains them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from reknit.assembly.result import Step
from reknit.network.stack import Arrangement, Stack, Trace
from reknit.solvers.ordering import inversions


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
    x: Float[Tensor, "rows width"]
    y: Float[Tensor, "rows outputs"]
    floor: float = 0.0
    pooled: bool = False

    @property
    def blocks(self) -> int:
        """Number of blocks, n."""
        return self.stack.blocks // 2 if self.pooled else self.stack.blocks

    @property
    def variance(self) -> float:
        """Mean squared deviation of the recorded outputs from their column means."""
        return float((self.y - self.y.mean(0)).square().mean())

    @property
    def solved_below(self) -> float:
        """A mean squared error that only an arrangement as good as the right one reaches, for the search to stop."""
        scale = float(self.y.square().mean())
        return max(1.5 * self.floor, 1e-10 * self.variance, 1e-12 * scale, 1e-30)

    def mse(self, arrangement: Arrangement, rows: int | None = None) -> float:
        """Mean squared error of an arrangement on the first ``rows`` rows (all by default), in float32."""
        x, y = (self.x, self.y) if rows is None else (self.x[:rows], self.y[:rows])
        return float((self.stack.forward(x, arrangement) - y).square().mean())


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
        self.generator = torch.Generator().manual_seed(self.seed)

    def draw(self, rows: int) -> tuple[Float[Tensor, "rows width"], Float[Tensor, "rows outputs"]]:
        """A fresh random subset of the rows (all of them when there are not more)."""
        total = len(self.problem.x)
        if rows >= total:
            return self.problem.x, self.problem.y
        pick = torch.randperm(total, generator=self.generator)[:rows]
        return self.problem.x[pick], self.problem.y[pick]

    def directions(self, y: Float[Tensor, "rows outputs"]) -> Float[Tensor, "rows outputs"]:
        """One direction of the outputs per row, so that many outputs cost no more than one."""
        if y.shape[1] == 1:
            return torch.ones_like(y)
        return torch.randn(y.shape, generator=self.generator, dtype=y.dtype)

    def residual(
        self, x: Float[Tensor, "rows width"], y: Float[Tensor, "rows outputs"], arrangement: Arrangement, stack: Stack
    ) -> tuple[Trace, Float[Tensor, " rows"]]:
        """Trace an arrangement of ``stack`` and say what it leaves of the recorded outputs along the directions."""
        direction = self.directions(y)
        trace = stack.trace(x, direction, arrangement)
        return trace, (y * direction).sum(1) - trace.answer

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
