"""What the right arrangement may leave of the recorded outputs: rounding, decimals, dtypes of the pieces, noise.

Every part is measured on this very network and these rows, not looked up: the rounding of a float32 pass is its
distance from the float64 pass; the effect of pieces stored in bfloat16 or int8, and of inputs of few decimals,
is simulated by moving every number at random within its rounding step and looking at the answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from reknit.assembly.problem import mean_square
from reknit.network.stack import Arrangement, Stack

TOLERANCE = 8.0
"""The tolerance in units of the largest rounding error seen in a float32 pass: other kernels round elsewhere."""
DRAWS = 24
"""Simulated errors of each kind; their spread is known no better than that of so many numbers."""


@dataclass(frozen=True)
class Steps:
    """Rounding steps of what was given, absolute; a stored value lies within half a step of what was recorded.

    Attributes:
        weights: by name of a ``Stack`` array, steps that broadcast to it; only arrays stored coarser than float32.
        inputs: per input column, 0 where the column is not rounded.
        outputs: per output column.
        noise: standard deviation of noise the user says the outputs carry.
    """

    weights: Mapping[str, Float[np.ndarray, "*shape"]]
    inputs: Float[np.ndarray, " d"]
    outputs: Float[np.ndarray, " o"]
    noise: float = 0.0

    @property
    def known(self) -> bool:
        """Whether anything but float32 rounding is known to disturb the outputs."""
        return bool(self.weights) or self.noise > 0 or bool(self.inputs.any()) or bool(self.outputs.any())


@dataclass(frozen=True)
class Floor:
    """The error expected of the right arrangement.

    Attributes:
        tolerance: largest absolute error that float32 rounding explains.
        rounding: root mean square of that rounding.
        white: variance of what disturbs every answer independently (noise, decimals of the outputs, rounding).
        draws: simulated errors of what disturbs all answers together (weights, inputs): [draw, row, output].
        mse: expected mean squared error, the two together.
        highest: mean squared error above which the floor no longer explains it.
        parts: the share of each cause in ``mse``, by name.
    """

    tolerance: float
    rounding: float
    white: float
    draws: Float[np.ndarray, "draws rows outputs"]
    mse: float
    highest: float
    parts: Mapping[str, float]


def _jittered(stack: Stack, steps: Steps, generator: np.random.Generator) -> Stack:
    moved: dict[str, Any] = {}
    for name, step in steps.weights.items():
        array = getattr(stack, name)
        offset = generator.random(array.shape, array.dtype) - array.dtype.type(0.5)
        moved[name] = array + offset * step.astype(array.dtype)
    return replace(stack, **moved)


def measure_floor(
    stack: Stack,
    x: Float[np.ndarray, "rows width"],
    y: Float[np.ndarray, "rows outputs"],
    arrangement: Arrangement,
    exact: Float[np.ndarray, "rows outputs"],
    steps: Steps,
) -> Floor:
    """Measure the floor of an arrangement.

    Args:
        stack: the layers in float32.
        x: inputs, float32.
        y: recorded outputs, float64.
        arrangement: the arrangement to be judged.
        exact: its answers computed in float64.
        steps: what is known of the rounding of pieces and table.
    """
    plain = stack.forward(x, arrangement)
    slip = plain - exact
    half_ulp = float(np.finfo(np.float32).eps) / 2 * float(np.abs(y).max()) if y.size else 0.0
    rounding = max(math.sqrt(mean_square(slip)), half_ulp / 3)
    tolerance = TOLERANCE * max(float(np.abs(slip).max()) if slip.size else 0.0, half_ulp)
    parts = {"float32 rounding": rounding**2}
    if steps.outputs.any():
        parts["decimals of the outputs"] = float((steps.outputs**2 / 12).mean())
    if steps.noise > 0:
        parts["stated noise"] = steps.noise**2
    white = sum(parts.values())
    generator = np.random.default_rng(0)
    draws: list[Float[np.ndarray, "rows outputs"]] = []
    for name, active in (("dtype of the pieces", bool(steps.weights)), ("decimals of the inputs", steps.inputs.any())):
        if not active:
            continue
        found = []
        for _ in range(DRAWS):
            if name.startswith("dtype"):
                answers = _jittered(stack, steps, generator).forward(x, arrangement)
            else:
                offset = generator.random(x.shape, x.dtype) - x.dtype.type(0.5)
                answers = stack.forward(x + offset * steps.inputs.astype(x.dtype), arrangement)
            found.append((answers - plain).astype(np.float64))
        parts[name] = mean_square(np.stack(found))
        # the causes add up: every draw is one simulated error of all of them together
        draws = [known + more for known, more in zip(draws, found, strict=True)] if draws else found
    stacked = np.stack(draws) if draws else np.zeros((0, *exact.shape))
    mse = sum(parts.values())
    count = max(y.size, 1)
    spread = white * (1 + 6 * (2 / count) ** 0.5)
    common = 3.0 * max(map(mean_square, draws)) if draws else 0.0
    return Floor(tolerance, rounding, white, stacked, mse, spread + common, parts)
