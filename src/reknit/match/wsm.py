"""Checkpoint averages that emulate a decay of the learning rate.

Source: Tian et al. 2025, "WSM: Decay-free learning rate schedule via checkpoint merging for LLM pre-training",
arXiv 2507.17634. It names a linear, a cosine and an inverse square root decay; of the last both readings are here:
1 - sqrt(share), arXiv 2405.18392, and 1 / sqrt(step), arXiv 1706.03762.

Derivation. Checkpoints of one run are kept at steps s_0 < s_1 < ... < s_k. With u_i what step i added to the
parameters, theta(s_k) = theta(s_0) + sum of u_i over s_0 < i <= s_k, whatever the optimiser. Average them with weights
c_0 ... c_k that sum to 1:

    sum_j c_j theta(s_j) = theta(s_0) + sum_i w_i u_i,     w_i = sum of c_j over the checkpoints at step i or later

so the average is the run in which step i was scaled by w_i. Between two checkpoints w is constant,
W_j = c_j + ... + c_k for s_{j-1} < i <= s_j, and back

    c_0 = 1 - W_1,     c_j = W_j - W_{j+1},     c_k = W_k.

Weights are non-negative and sum to 1 exactly if 1 >= W_1 >= ... >= W_k >= 0: every decay that never rises, no other.

    paper   here
    c_j     weights[j], k + 1 of them
    w_i     decay[j - 1] = W_j, k of them; ``step_decay`` has one for every step
    n, n+k  steps[0], steps[-1]

Departures: checkpoints may be any steps apart. A decay that varies between two of them is replaced by its mean there,
the step function nearest to it in squares, which moves the parameters as far in all (sum of w). A decay is read in the
middle of each step, so that the first is not left at full rate and the last not at zero.

What is exact and what is not: the identity above is exact. That training *with* the decay ends there is not: its later
gradients are taken elsewhere. On a quadratic of curvature h, trained at rate r, the decayed run forgets its distance to
the minimum as exp(-h r sum w), the average as sum_j c_j exp(-h r (s_j - s_0)), which by Jensen is never less. Averages
lag along steep directions that are still descending, and equal the decay along flat ones (docs/cards/wsm.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from reknit.errors import UsageError

Floats = Float[np.ndarray, " n"]

DECAYS: dict[str, Callable[[Floats, float], Floats]] = {
    "linear": lambda t, _onset: 1 - t,
    "cosine": lambda t, _onset: (1 + np.cos(np.pi * t)) / 2,
    "1-sqrt": lambda t, _onset: 1 - np.sqrt(t),
    "inverse-sqrt": lambda t, onset: np.sqrt(onset / (onset + (1 - onset) * t)),
}
"""By name: the factor on the learning rate at a share t of the decay, in [0, 1]; ``onset`` is first step / last step.

``inverse-sqrt`` is sqrt(s_0 / s), which does not end at zero and hardly falls if the window is short.
"""


def step_decay(name: str, first: int, last: int) -> Float[np.ndarray, " steps"]:
    """The factors on the learning rate of steps first + 1 ... last, read in the middle of each step.

    Args:
        name: one of ``DECAYS``.
        first: the step after which the decay begins.
        last: the step at which it ends.

    Raises:
        UsageError: there is no such decay, or it does not begin before it ends.

    >>> step_decay("linear", 10, 14).tolist()
    [0.875, 0.625, 0.375, 0.125]
    """
    if name not in DECAYS:
        raise UsageError(f"there is no decay {name!r}", "decay", f"Choose one of {', '.join(DECAYS)}")
    if not 0 <= first < last:
        raise UsageError(f"a decay from step {first} to step {last} has no steps", "steps", "Give rising steps")
    if name == "inverse-sqrt" and first == 0:
        raise UsageError("an inverse square root of the step cannot begin at step 0", "steps", "Begin it later")
    count = last - first
    return np.asarray(DECAYS[name]((np.arange(count) + 0.5) / count, first / last), dtype=np.float64)


def interval_decay(name: str, steps: Sequence[int]) -> Float[np.ndarray, " intervals"]:
    """W_1 ... W_k: the mean of a decay over the steps between neighbouring checkpoints.

    Args:
        name: one of ``DECAYS``.
        steps: the step of every checkpoint, rising; the decay begins at the first and ends at the last.

    Raises:
        UsageError: fewer than two checkpoints, steps that do not rise, or no such decay.
    """
    if len(steps) < 2:
        raise UsageError(f"{len(steps)} checkpoints emulate no decay", "steps", "Give two or more")
    if any(after <= before for before, after in pairwise(steps)):
        raise UsageError("the steps of the checkpoints do not rise", "steps", "Sort them and leave out what repeats")
    sums = np.concatenate([[0.0], np.cumsum(step_decay(name, steps[0], steps[-1]))])
    ends = np.asarray(steps) - steps[0]
    return np.asarray(np.diff(sums[ends]) / np.diff(ends), dtype=np.float64)


def weights_of_decay(decay: Float[np.ndarray, " intervals"]) -> Float[np.ndarray, " checkpoints"]:
    """c_0 ... c_k of a decay W_1 ... W_k; negative where the decay rises, sum 1 always.

    >>> weights_of_decay(np.array([0.75, 0.25])).tolist()
    [0.25, 0.5, 0.25]
    """
    return np.asarray(-np.diff(np.concatenate([[1.0], decay, [0.0]])), dtype=np.float64)


def decay_of_weights(weights: Float[np.ndarray, " checkpoints"]) -> Float[np.ndarray, " intervals"]:
    """W_1 ... W_k that averaging with these weights amounts to: the inverse of ``weights_of_decay``.

    The plain mean of k + 1 checkpoints is a linear decay:

    >>> decay_of_weights(np.full(4, 0.25)).tolist()
    [0.75, 0.5, 0.25]

    Raises:
        UsageError: the weights do not sum to 1 (to 1e-6).
    """
    if not abs(float(np.sum(weights)) - 1) <= 1e-6:
        raise UsageError(f"the weights sum to {np.sum(weights):.6g}", "weights", "Divide them by their sum")
    return np.asarray(np.cumsum(weights[::-1])[::-1][1:], dtype=np.float64)


def averaging_weights(name: str, steps: Sequence[int]) -> Float[np.ndarray, " checkpoints"]:
    """The weight of each checkpoint in the average that emulates a decay from the first to the last of them.

    Raises:
        UsageError: as ``interval_decay``.

    >>> averaging_weights("linear", [100, 102, 104]).tolist()
    [0.25, 0.5, 0.25]
    """
    return weights_of_decay(interval_decay(name, steps))
