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
