"""Gains stay near one and biases near zero: a soft prior from the numbers, for slots that are known to scale.

A gain of a norm starts at one and seldom leaves its neighbourhood, so its mean is nearly its root mean square; a bias
starts at zero and has either sign. In a pool with n scaling slots the n tensors of the highest ratio are favoured
there, by at most ``MOST`` in log-odds and by less where the ratios leave no gap: recorded outputs can overrule it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Float

MOST, STEEPNESS = 4.0, 20.0


def scale_prior(
    slots: Sequence[str], scaling: Collection[str], tensors: Float[np.ndarray, "pool numbers"]
) -> Float[np.ndarray, "slots pool"]:
    """Logarithm of the prior of every tensor in every slot; zero where all slots are of one kind.

    Args:
        slots: the slots of a pool.
        scaling: those that multiply: gains of norms.
        tensors: the tensors of the pool as rows.

    >>> scale_prior(["gain", "bias"], {"gain"}, np.array([[0.9, 1.1], [0.1, -0.1]])).round().tolist()
    [[2.0, -2.0], [-2.0, 2.0]]
    """
    scales = np.array([slot in scaling for slot in slots])
    count = int(scales.sum())
    if count in (0, len(slots)):
        return np.zeros((len(slots), len(tensors)))
    square = np.sqrt(np.square(tensors, dtype=np.float64).mean(1))
    ratio = tensors.mean(1, dtype=np.float64) / np.maximum(square, np.finfo(np.float64).tiny)
    falling = np.sort(ratio)[::-1]
    odds = np.clip(STEEPNESS * (ratio - (falling[count - 1] + falling[count]) / 2), -MOST, MOST)
    return np.asarray(np.where(scales[:, None], odds, -odds) / 2)


def scaling_slots(slots: Sequence[str], dimensions: int) -> set[str]:
    """Slots that scale, by the one convention that all modules share: a ``weight`` of one axis is a gain."""
    return {slot for slot in slots if dimensions == 1 and slot.rpartition(".")[2] == "weight"}
