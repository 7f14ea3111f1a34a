"""What reaches every BatchNorm of a network, measured on inputs: mean and variance of every channel, step by step.

While it is measured, norms divide by the statistics of the batch itself, as they do in training (Ioffe and Szegedy,
arXiv 1502.03167, algorithm 1). So what a norm passes on does not depend on which running statistics stand in its slots,
and one wrong tensor does not spoil all that comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.written_out_norms import ORDERS, written_out
from reknit.wiring.batch_norm_units import LAYERS, NORM

Vector = Float[np.ndarray, " channels"]
SEQUENCE = 3
"""Axes of a batch of sequences."""
CALLS = {torch.conv1d, torch.conv2d, torch.conv3d, nn.functional.linear}


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer as it was called.

    Attributes:
        run: the same call with another input and other weights.
        x: what it read.
        y: what it gave.
    """

    run: Callable[[Tensor, Tensor], Tensor]
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Norm:
    """A BatchNorm as it was called.

    Attributes:
        x: what it read; nothing where only moments were asked for.
        y: what it gave, divided by the statistics of the batch.
        mean: of every channel of x.
        variance: of every channel of x.
        eps: what it adds to the variance.
        numbers: how many numbers it read.
    """

    x: Tensor | None
    y: Tensor | None
    mean: Tensor
    variance: Tensor
    eps: float
    numbers: int


@dataclass
class Passed:
    """One forward pass: steps of the skeleton's uses -> what happened there.

    Attributes:
        norms: every norm that was reached, the first time.
        layers: every layer, the first time; none where only moments were asked for.
    """

    norms: dict[int, Norm] = field(default_factory=dict)
    layers: dict[int, Layer] = field(default_factory=dict)


class _Enough(Exception):  # noqa: N818  no error: the way out of another's forward pass
    """Every norm was reached."""


class _Watch(TorchFunctionMode):
    """While it is entered, BatchNorms that do not train are measured, and divide by what was measured."""

    def __init__(self, steps: Mapping[int, int], last: int, *, keep: bool) -> None:
        super().__init__()
        self.steps = steps
        self.keep = keep
        self.last = last
        self.passed = Passed()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Every call of torch."""
        given = dict(kwargs or {})
        if func in ORDERS:
            told = {"weight": None, "bias": None, "training": False, "eps": 1e-5, **given}
            told |= dict(zip(ORDERS[func], args, strict=False))
            step = self.steps.get(id(told["running_mean"]))
            if step is not None and not told["training"]:
                return self._norm(step, told)
        y = func(*args, **given)
        if self.keep and func in CALLS:
            told = {**dict(zip(("input", "weight", "bias"), args, strict=False)), **given}
            step = self.steps.get(id(told.get("weight")))
            if step is not None:
                rest = {key: value for key, value in given.items() if key not in ("input", "weight", "bias")}
                run = partial(_again, func, told.get("bias"), args[3:], rest)
                self.passed.layers.setdefault(step, Layer(run, told["input"], y))
        return y

    def _norm(self, step: int, told: Mapping[str, Any]) -> Tensor:
        x: Tensor = told["input"]
        mean, variance = moments(x)
        y = written_out(x, mean, variance, told["weight"], told["bias"], told["eps"])
        kept = {"x": x, "y": y} if self.keep else {"x": None, "y": None}
        norm = Norm(**kept, mean=mean, variance=variance, eps=told["eps"], numbers=x.numel())
        self.passed.norms.setdefault(step, norm)
        if step == self.last:
            raise _Enough
        return y


def _again(
    func: Callable[..., Tensor],
    bias: Tensor | None,
    extra: tuple[Any, ...],
    rest: Mapping[str, Any],
    x: Tensor,
    weight: Tensor,
) -> Tensor:
    """The call of a layer with another input and weight."""
    return func(x, weight, bias, *extra, **rest)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of every channel; channels are the second axis.

    >>> [part.tolist() for part in moments(torch.tensor([[1.0, 2.0], [3.0, 2.0]]))]
    [[2.0, 2.0], [1.0, 0.0]]
    """
    variance, mean = torch.var_mean(x, [axis for axis in range(x.ndim) if axis != 1], correction=0)
    return mean, variance


def watch(
    module: nn.Module, skeleton: Skeleton, values: Mapping[str, Tensor], inputs: Sequence[Any], *, keep: bool = False
) -> Passed:
    """Run a network up to its last norm and measure all of them.

    Args:
        module: in eval mode, on the meta device or not.
        skeleton: of the module.
        values: what stands in its slots; one tensor may stand in several.
        inputs: its positional arguments.
        keep: what every layer and norm read and gave, too.
    """
    held = dict(values)
    steps: dict[int, int] = {}
    for use in skeleton.uses:
        key = use.slots.get("running_mean" if use.operation == NORM else "weight")
        if use.operation in LAYERS | {NORM} and key in held:
            held[key] = held[key].clone()  # told apart by what is handed in
            steps[id(held[key])] = use.step
    last = max((use.step for use in skeleton.uses if use.operation == NORM), default=-1)
    mode = _Watch(steps, last, keep=keep)
    with torch.no_grad(), mode, suppress(_Enough):
        functional_call(module, held, tuple(inputs))
    return mode.passed


def numbers_of(passed: Passed) -> int:
    """How many numbers all norms read."""
    return sum(norm.numbers for norm in passed.norms.values())


def cut(inputs: Sequence[Any], share: float) -> tuple[Any, ...]:
    """The middle of every sequence (rows, channels, positions); images and tokens stay as they are.

    >>> [tuple(x.shape) for x in cut((torch.zeros(2, 4, 100), torch.zeros(2, 3, 8, 8)), 0.2)]
    [(2, 4, 20), (2, 3, 8, 8)]
    """
    found = []
    for x in inputs:
        if isinstance(x, Tensor) and x.is_floating_point() and x.ndim == SEQUENCE:
            length = max(1, int(x.shape[2] * share))
            found.append(x.narrow(2, (x.shape[2] - length) // 2, length))
        else:
            found.append(x)
    return tuple(found)
