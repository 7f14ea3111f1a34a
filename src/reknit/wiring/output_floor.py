"""How far rounding alone may take a module's answers from the recorded ones.

Measured, not looked up: the tolerance is 8 times the largest difference between a float32 and a float64 pass over these
inputs, or 8 times half a unit in the last place of the largest recorded number, for each tensor of the answer
(docs/verdicts.md). It is taken where the record was made, behind softmax or sigmoid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from reknit.errors import TableError
from reknit.skeleton.guess_inputs import first_line
from reknit.wiring.recording import Recording, tensors_in

TOLERANCE = 8.0


@dataclass(frozen=True)
class OutputFloor:
    """The error of one placement, and what rounding explains of it; all numbers in units of the rounding.

    Attributes:
        largest: the largest error as a share of the tolerance; at most 1: rounding explains everything.
        rounding: root mean square of the rounding of a float32 pass, by tensor of the answer, in its own units.
        tolerance: the largest error that rounding explains, by tensor of the answer, in its own units.
        max_abs: the largest error, by tensor of the answer, in its own units.
        mse: mean squared error, by tensor of the answer, in its own units.
        count: numbers compared.
    """

    largest: float
    rounding: tuple[float, ...]
    tolerance: tuple[float, ...]
    max_abs: tuple[float, ...]
    mse: tuple[float, ...]
    count: int


def state_in(recording: Recording, values: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """All tensors of the module, its constants, its own and those in its slots, in a dtype."""
    constants = {key: value for key, value in recording.module.named_buffers() if not value.is_meta}
    return {key: cast(value, dtype) for key, value in {**constants, **recording.own, **values}.items()}


def cast(value: Any, dtype: torch.dtype) -> Any:
    """Numbers in a dtype; everything else as it is."""
    return value.detach().to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


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
    return [link.recorded(answer) for link, answer in zip(recording.links, answers, strict=True)]


def output_floor(recording: Recording, values: Mapping[str, Tensor]) -> OutputFloor:
    """The error of the module with these tensors in its slots, against what was recorded."""
    records = recording.records
    exact, plain = (
        recorded_answers(recording, state_in(recording, values, dtype), dtype)
        for dtype in (torch.float64, torch.float32)
    )
    rounding, tolerance, max_abs, mse = [], [], [], []
    for record, full, short in zip(records, exact, plain, strict=True):
        slip = (short.double() - full).abs()
        unit = torch.finfo(record.dtype).eps / 2 * float(record.abs().max()) if record.numel() else 0.0
        error = (record.double() - full).abs()
        tolerance.append(TOLERANCE * max(float(slip.max()) if slip.numel() else 0.0, unit))
        rounding.append(max(float(slip.square().mean()) ** 0.5 if slip.numel() else 0.0, unit / 3))
        max_abs.append(float(error.max()) if error.numel() else 0.0)
        mse.append(float(error.square().mean()) if error.numel() else 0.0)
    shares = [
        error / limit if limit > 0 else (0.0 if error == 0 else float("inf"))
        for error, limit in zip(max_abs, tolerance, strict=True)
    ]
    shares = [float("inf") if math.isnan(share) else share for share in shares]
    count = sum(record.numel() for record in records)
    return OutputFloor(max(shares), tuple(rounding), tuple(tolerance), tuple(max_abs), tuple(mse), count)
