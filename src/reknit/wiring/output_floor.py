"""How far rounding alone may take a module's answers from the recorded ones.

Measured, not looked up: the tolerance is 8 times the largest difference between a float32 and a float64 pass over these
inputs, or 8 times half a unit in the last place of the largest recorded number, for each tensor of the answer
(docs/verdicts.md). It is taken where the record was made, behind softmax or sigmoid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from reknit.errors import TableError
from reknit.skeleton.answers import cast, tensors_in
from reknit.skeleton.guess_inputs import first_line
from reknit.wiring.observed import Misfit
from reknit.wiring.recording import Recording

STEADY = 1e-9
"""Share by which two float64 passes may differ."""


@dataclass(frozen=True)
class OutputFloor:
    """The error of one placement, and what rounding explains of it.

    Attributes:
        parts: for each tensor of the answer, in its own units.
    """

    parts: tuple[Misfit, ...]

    @property
    def largest(self) -> float:
        """The largest error as a share of the tolerance; at most 1: rounding explains everything."""
        return max(part.share for part in self.parts)

    @property
    def contradicted(self) -> int:
        """Labels that are broken by more than rounding explains."""
        return sum(part.contradicted for part in self.parts)


def state_in(recording: Recording, values: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """All tensors of the module, its constants, its own and those in its slots, in a dtype."""
    constants = {key: value for key, value in recording.module.named_buffers() if not value.is_meta}
    return {key: cast(value, dtype) for key, value in {**constants, **recording.own, **values}.items()}


def recorded_answers(
    recording: Recording, state: Mapping[str, Tensor], dtype: torch.dtype
) -> list[Float[Tensor, "*shape"]]:
    """What would be recorded of the module with these tensors, computed in their dtype."""
    with torch.no_grad():
        inputs = tuple(cast(x, dtype) for x in recording.inputs)
        usual = torch.get_default_dtype()
        torch.set_default_dtype(dtype)  # of what the module makes itself: a first state of zeros
        try:
            answers = tensors_in(functional_call(recording.module, dict(state), inputs))
        except RuntimeError as error:
            problem = f"the module cannot be computed in {str(dtype).removeprefix('torch.')}: {first_line(error)}"
            raise TableError(problem, "outputs", "Let the module keep the dtype of its tensors") from error
        finally:
            torch.set_default_dtype(usual)
    return [part.recorded(answer) for part, answer in zip(recording.observed, answers, strict=True)]


def check_repeatable(recording: Recording, values: Mapping[str, Tensor]) -> None:
    """Whether the module answers the same inputs twice alike; else chance would pass for rounding.

    Two passes in float64 have to agree, and leave torch's generator in the same state: dropout that rarely drops
    anything shows there alone. A forward pass that seeds what it draws does both.

    Raises:
        TableError: it does not.
    """
    passes, states = [], []
    for _ in range(2):
        passes.append(recorded_answers(recording, state_in(recording, values, torch.float64), torch.float64))
        states.append(torch.get_rng_state())
    alike = all(
        torch.allclose(first, second, rtol=STEADY, atol=STEADY * _usual(first), equal_nan=True)
        for first, second in zip(*passes, strict=True)
    )
    if not alike or not torch.equal(*states):
        problem = "the module draws at random: it need not answer the same inputs twice alike"
        raise TableError(problem, "outputs", "Switch off dropout and all else that is random in its forward pass")


def _usual(answer: Tensor) -> float:
    """The median size of the numbers that are finite."""
    sizes = answer.abs()[answer.isfinite()]
    return float(sizes.median()) if len(sizes) else 0.0


def output_floor(recording: Recording, values: Mapping[str, Tensor], noise: float = 0.0) -> OutputFloor:
    """The error of the module with these tensors in its slots, against what was recorded."""
    exact, plain = (
        recorded_answers(recording, state_in(recording, values, dtype), dtype)
        for dtype in (torch.float64, torch.float32)
    )
    found = [
        part.misfit(full, short, noise) for part, full, short in zip(recording.observed, exact, plain, strict=True)
    ]
    return OutputFloor(tuple(found))
