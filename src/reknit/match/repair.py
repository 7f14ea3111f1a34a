"""REPAIR: the activations of an average have too little variance; each channel gets the average of its parents' back.

Jordan, Sedghi, Saukh, Entezari, Neyshabur, "REPAIR: REnormalizing Permuted Activations for Interpolation Repair" (2022,
arXiv 2211.08403). For a channel that goes through an activation, with mean m and deviation s over samples,

    target mean = sum_k c_k m_k,    target deviation = sum_k c_k s_k        over the networks k with shares c_k

and the channel of the merged network is moved and scaled there, layer by layer, each as it is behind the repaired
layers before it. Both are folded into weight and bias, so that the network keeps its form. Where a layer has no bias,
only the deviation is set. Layers with a BatchNorm behind them are left to ``statistics``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reknit.match.activations import Activations, Place, activations
from reknit.match.computing import Computer
from reknit.match.samples import Samples
from reknit.match.stored_dtype import stored_as
from reknit.skeleton.skeleton import Skeleton, Use

LEAST = 1e-4
"""Share of the target below which a deviation is dead, and is left alone."""
MOST = 1e3
"""A channel is never scaled by more."""


def repairable(skeleton: Skeleton) -> tuple[Use, ...]:
    """Linear layers and convolutions whose results go through an activation at once, in order of the forward pass."""
    found = {}
    for use in skeleton.uses:
        if not use.bent or len(use.sources) != 1 or "running_mean" in use.slots:
            continue  # a sum of several is a stream: its parts are not bent on their own
        source = skeleton.uses[use.sources[0]]
        if source.operation.startswith(("linear", "conv")) and "weight" in source.slots:
            found[source.slots["weight"]] = source
    return tuple(sorted(found.values(), key=lambda use: use.step))


def repaired(
    computer: Computer,
    merged: Mapping[str, np.ndarray],
    parents: Sequence[Mapping[str, np.ndarray]],
    shares: Sequence[float],
    samples: Samples,
) -> dict[str, np.ndarray]:
    """The merged network with the mean and deviation of every channel before an activation set to its parents'.

    Args:
        computer: runs the module.
        merged: slot -> numbers; not changed.
        parents: the networks it was made from, in one basis.
        shares: of each parent.
        samples: real inputs.
    """
    uses = repairable(computer.skeleton)
    if not uses:
        return dict(merged)
    seen = [activations(computer, parent, samples) for parent in parents]
    current = dict(merged)
    for use in uses:
        place = _written(computer.skeleton, use)
        if place is None or any(place not in each for each in seen):
            continue
        moments = [_moments(each, place) for each in seen]
        mean, deviation = (np.average([each[k] for each in moments], axis=0, weights=shares) for k in range(2))
        current = _set(current, use, place, _moments(activations(computer, current, samples), place), mean, deviation)
    return current


def _written(skeleton: Skeleton, use: Use) -> Place | None:
    """Where the channels of a layer are written: the axis of its weight that a bias runs along."""
    weight = use.slots["weight"]
    for group in skeleton.groups:
        for member in group.members:
            if member.slot == weight and member.role == "writes":
                return Place(weight, member.axis, written=True)
    return None


def _moments(found: Activations, place: Place) -> tuple[np.ndarray, np.ndarray]:
    rows = found[place].astype(np.float64)
    return rows.mean(1), rows.std(1)


def _set(
    tensors: Mapping[str, np.ndarray],
    use: Use,
    place: Place,
    now: tuple[np.ndarray, np.ndarray],
    mean: np.ndarray,
    deviation: np.ndarray,
) -> dict[str, np.ndarray]:
    alive = now[1] > LEAST * np.maximum(deviation, 1e-12)
    scale = np.where(alive, np.minimum(deviation / np.maximum(now[1], 1e-12), MOST), 1.0)
    weight = tensors[use.slots["weight"]]
    along = [1] * weight.ndim
    along[place.axis] = -1
    found = {**tensors, use.slots["weight"]: stored_as(weight * scale.reshape(along), weight.dtype)}
    bias = use.slots.get("bias")
    if bias is not None:
        found[bias] = stored_as(scale * (tensors[bias] - now[0]) + mean, weight.dtype)
    return found
