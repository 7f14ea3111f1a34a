"""A skeleton's module with one network's tensors in it after another's: answers, and what is the same function.

The module is made once; tensors are handed in at every call, so nothing is copied and nothing is left behind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from reknit.errors import TableError
from reknit.match.samples import Samples
from reknit.skeleton.answers import cast, tensors_in
from reknit.skeleton.guess_inputs import first_line, on_meta, refusal
from reknit.skeleton.like import Like
from reknit.skeleton.skeleton import Skeleton

TOLERANCE = 8.0
"""Times what float32 rounding changes that two networks may differ by and be the same function, as in verdicts.md."""


class Computer:
    """Runs the module of a skeleton.

    Args:
        like: the module.
        skeleton: of it.
    """

    def __init__(self, like: Like, skeleton: Skeleton) -> None:
        self.like, self.skeleton = like, skeleton
        self.module: nn.Module = like.fillable().eval().requires_grad_(False)

    def check(self, samples: Samples, where: str) -> None:
        """Whether the module takes the inputs.

        Raises:
            TableError: it does not.
        """
        reason = refusal(self.like.module, on_meta(samples.inputs))
        if reason:
            problem = f"{self.like.name} does not take the inputs: {reason}"
            raise TableError(problem, where, "Write the arguments of the module, in their order")

    def state(self, tensors: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Every key of the state dict, tied ones with one tensor; zeros in slots that hold none."""
        state: dict[str, Tensor] = {}
        for slot in self.skeleton.slots:
            given = tensors.get(slot.key)
            if given is None:
                given = torch.zeros(slot.shape)
            value = given if isinstance(given, Tensor) else torch.from_numpy(np.array(given, order="C"))
            state |= dict.fromkeys((slot.key, *slot.aliases), cast(value, dtype))
        return state

    def call(self, state: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
        """The answers, tensor by tensor, whatever nest the module returns."""
        dtype = next((value.dtype for value in state.values() if value.is_floating_point()), torch.float32)
        usual = torch.get_default_dtype()
        torch.set_default_dtype(dtype)  # of what the module makes itself
        try:
            return tensors_in(functional_call(self.module, dict(state), tuple(cast(x, dtype) for x in inputs)))
        except RuntimeError as error:
            raise TableError(f"a forward pass failed: {first_line(error)}", self.like.name) from error
        finally:
            torch.set_default_dtype(usual)

    def answers(
        self, tensors: Mapping[str, Any], samples: Samples, dtype: torch.dtype = torch.float32, batch: int = 256
    ) -> list[Tensor]:
        """Answers to all samples, in batches."""
        state = self.state(tensors, dtype)
        with torch.no_grad():
            parts = [self.call(state, samples.some(slice(k, k + batch)).inputs) for k in range(0, len(samples), batch)]
        return [torch.cat(each) if each[0].ndim else torch.stack(each) for each in zip(*parts, strict=True)]


@dataclass(frozen=True)
class SameFunction:
    """Whether two networks compute the same.

    Attributes:
        largest: the largest difference of an answer, in float64.
        tolerance: 8 times what a float32 pass of the first differs from a float64 pass, or 8 half units in the last
            place of its largest answer, whichever is more.
        answers: how many numbers were compared.
        drawn: whether the inputs were noise.
    """

    largest: float
    tolerance: float
    answers: int
    drawn: bool

    @property
    def holds(self) -> bool:
        """Whether the difference is rounding."""
        return self.largest <= self.tolerance


def compare(computer: Computer, first: Mapping[str, Any], second: Mapping[str, Any], samples: Samples) -> SameFunction:
    """Hold two networks of one skeleton against each other."""
    exact = computer.answers(first, samples, torch.float64)
    other = computer.answers(second, samples, torch.float64)
    plain = computer.answers(first, samples, torch.float32)
    largest = tolerance = 0.0
    for a, b, c in zip(exact, other, plain, strict=True):
        if not a.numel() or not a.is_floating_point():
            continue
        unit = torch.finfo(torch.float32).eps / 2 * float(a.abs().max())
        tolerance = max(tolerance, TOLERANCE * max(float((c.double() - a).abs().max()), unit))
        difference = float((a - b).abs().max())
        largest = max(largest, math.inf if math.isnan(difference) else difference)
    return SameFunction(largest, tolerance, sum(a.numel() for a in exact), samples.drawn)
