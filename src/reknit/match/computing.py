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

from reknit.errors import InputError, TableError
from reknit.match.samples import Samples
from reknit.skeleton.answers import cast, tensors_in
from reknit.skeleton.guess_inputs import first_line, on_meta, refusal
from reknit.skeleton.like import Like
from reknit.skeleton.skeleton import Skeleton

TOLERANCE = 8.0
"""Times what float32 rounding changes that two networks may differ by and be the same function, as in verdicts.md."""
LARGE = 1e4
"""Times the median from which an answer is held to its own last place."""


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
        except (RuntimeError, ValueError, IndexError) as error:
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
        if any(each.ndim == 0 for each in parts[0]):
            problem = "it answers one number for all rows"
            raise TableError(problem, self.like.name, "Give a module that answers row by row")
        return [torch.cat(each) for each in zip(*parts, strict=True)]


@dataclass(frozen=True)
class SameFunction:
    """Whether two networks compute the same.

    Attributes:
        largest: the largest difference of an answer, in float64, in the tensor of answers where it is most beside what
            is tolerated.
        tolerance: in that tensor, 8 times what a float32 pass of the first network differs from a float64 pass, or 8
            half units in the last place of its largest answer, whichever is more. Numbers that are very large beside
            the rest (masked logits) are held to their own last place instead, and lend the others none of it.
        answers: how many numbers were compared.
        drawn: whether the inputs were noise.
        holds: whether every difference, in every tensor of answers, is rounding.
    """

    largest: float
    tolerance: float
    answers: int
    drawn: bool
    holds: bool


def same_function(
    computer: Computer, first: Mapping[str, Any], second: Mapping[str, Any], samples: Samples
) -> SameFunction:
    """Hold two networks of one skeleton against each other.

    Raises:
        InputError: the module answers nothing that could be compared, or the same inputs differently.
    """
    exact = computer.answers(first, samples, torch.float64)
    again = computer.answers(first, samples, torch.float64)
    name = computer.like.name
    if any(not _equal(a, b, 1e-10) for a, b in zip(exact, again, strict=True)):
        raise InputError("it answers the same inputs differently", name, "Switch off dropout and what else is drawn")
    if not any(a.numel() for a in exact):
        raise InputError("it answers nothing that could be compared", name, "Return tensors")
    other = computer.answers(second, samples, torch.float64)
    plain = computer.answers(first, samples, torch.float32)
    parts = [_differences(*each) for each in zip(exact, other, plain, strict=True) if each[0].numel()]
    largest, tolerance = max(parts, key=lambda part: _share(*part))
    holds = all(_share(*part) <= 1 for part in parts)
    return SameFunction(largest, tolerance, sum(a.numel() for a in exact), samples.drawn, holds)


def _share(difference: float, tolerance: float) -> float:
    return 0.0 if difference == 0 else difference / tolerance if tolerance > 0 else math.inf


def _differences(a: Tensor, b: Tensor, short: Tensor) -> tuple[float, float]:
    """The largest difference of one tensor of answers, and what is tolerated there."""
    if not a.is_floating_point():
        return (0.0 if torch.equal(a, b) else math.inf), 0.0
    known = a.isfinite()
    if not bool((known == b.isfinite()).all()) or not torch.equal(a[~known].nan_to_num(0.5), b[~known].nan_to_num(0.5)):
        return math.inf, 0.0
    a, b, short = (each[known].double() for each in (a, b, short))
    if not a.numel():
        return 0.0, 0.0
    half = torch.finfo(torch.float32).eps / 2
    large = a.abs() > LARGE * a.abs().median().clamp(min=1e-300)
    if bool(((a - b).abs() > TOLERANCE * half * a.abs())[large].any()):
        return math.inf, 0.0
    a, b, short = a[~large], b[~large], short[~large]
    slip = (short - a).abs().nan_to_num(0.0)
    tolerance = TOLERANCE * max(float(slip.max()), half * float(a.abs().max()))
    return float((a - b).abs().max()), tolerance


def _equal(a: Tensor, b: Tensor, share: float) -> bool:
    if not a.is_floating_point():
        return torch.equal(a, b)
    scale = float(a[a.isfinite()].abs().median()) if bool(a.isfinite().any()) else 0.0
    return bool(torch.isclose(a, b, rtol=share, atol=share * scale, equal_nan=True).all())
