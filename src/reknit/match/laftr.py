"""How far two ReLU networks lie apart as functions, without data: from one stored number for each unit.

Source: Dhawan, Huang, Bae and Grosse 2023, "Efficient parametric approximations of neural network function space
distance", arXiv 2302.03519 (LAFTR, the Linearized Activation Function TRick). Sought is E ||f1(x) - f0(x)||^2 over the
data that f0 was trained on. The activations of f1 are linearised at f0's: where relu(s0) = g s0, g 0 or 1,

    relu(s1) ~ relu(s0) + g (s1 - s0) = g s1,

so that both networks become linear with the same gates. Those are replaced by independent draws, P(g = 1) = mu, where
mu is the share of the data at which the unit of f0 is active: the one number that is stored. Of the data themselves
only the mean and the covariance of the inputs are kept.

Here the expectation over the gates is exact. With z = (a0, a1 - a0) of a layer and m, M its mean and second moment,
a linear layer maps both linearly, and gates multiply m by mu and M_ij by E[g_i g_j] = mu_i mu_j, or mu_i if i = j.

    paper    here
    mu       Stored.active
    FSD      ``estimated_distance``, with the squared distance of outputs

Departures: the published code drops the variance of the gates (mu_i - mu_i^2 on the diagonal) and the products of a0
with a1 - a0; both are kept. Cost: two products of 2n x 2n matrices a layer.

Known flaw: gates are not independent of what they gate, so the absolute value is off (docs/cards/laftr.md says by how
much), and networks in different bases, such as seeds trained apart, share no gates: align first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from reknit.errors import InputError

Layers = Sequence[tuple[np.ndarray, np.ndarray]]
"""Weight (out x in) and bias of every linear layer; a ReLU between any two."""


@dataclass(frozen=True)
class Stored:
    """What is kept of a network's training data.

    Attributes:
        active: for each hidden layer, the share of inputs at which each unit is active, in [0, 1].
        mean: of the inputs.
        covariance: of the inputs.
    """

    active: tuple[Float[np.ndarray, " units"], ...]
    mean: Float[np.ndarray, " inputs"]
    covariance: Float[np.ndarray, "inputs inputs"]


def store(layers: Layers, x: Float[np.ndarray, "rows inputs"]) -> Stored:
    """The statistics of a network on its data, taken once.

    Raises:
        InputError: there are no rows, the layers do not fit, or a number is not finite.
    """
    _check(layers)
    if x.ndim != 2 or not len(x) or x.shape[1] != layers[0][0].shape[1] or not np.isfinite(x).all():
        problem = f"inputs of shape {x.shape} do not fit a layer of shape {layers[0][0].shape}, or are not finite"
        raise InputError(problem, "inputs", "Give one finite row or more, of the network's width")
    active, a = [], np.asarray(x, dtype=np.float64)
    for weight, bias in layers[:-1]:
        s = a @ weight.T + bias
        active.append((s > 0).mean(0))
        a = np.maximum(s, 0)
    centred = x - x.mean(0, dtype=np.float64)
    return Stored(tuple(active), np.asarray(x.mean(0, dtype=np.float64)), centred.T @ centred / len(x))


def outputs(layers: Layers, x: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows outputs"]:
    """The network's answers."""
    a = np.asarray(x, dtype=np.float64)
    for k, (weight, bias) in enumerate(layers):
        a = (np.maximum(a, 0) if k else a) @ weight.T + bias
    return a


def true_distance(first: Layers, second: Layers, x: Float[np.ndarray, "rows inputs"]) -> float:
    """The mean of ||f1(x) - f0(x)||^2 over rows of data: what ``estimated_distance`` stands for."""
    return float(np.square(outputs(second, x) - outputs(first, x)).sum(1).mean())


def estimated_distance(first: Layers, second: Layers, stored: Stored) -> float:
    """E ||f1 - f0||^2 under the gates of the first network; 0 if the networks are the same, else above.

    Args:
        first: the network the statistics are of.
        second: the other one, in the same basis.
        stored: ``store(first, data)``.

    Raises:
        InputError: the networks differ in their sizes, the statistics are another network's, or a number is not finite.
    """
    _check(first)
    _check(second)
    sizes = [[w.shape for w, _ in layers] for layers in (first, second)]
    known = [len(a) for a in stored.active]
    if sizes[0] != sizes[1] or [shape[0] for shape in sizes[0][:-1]] != known or len(stored.mean) != sizes[0][0][1]:
        problem = f"layers of shapes {sizes[0]} and {sizes[1]} and statistics of {known} units do not belong together"
        raise InputError(problem, "layers", "Give two networks of one architecture and the first one's statistics")
    mean = np.concatenate([stored.mean, np.zeros_like(stored.mean)])
    second_moment = np.zeros((len(mean), len(mean)))
    inputs = len(stored.mean)
    second_moment[:inputs, :inputs] = stored.covariance + np.outer(stored.mean, stored.mean)
    for k, ((w0, b0), (w1, b1)) in enumerate(zip(first, second, strict=True)):
        joint = np.block([[w0, np.zeros_like(w0)], [w1 - w0, w1]]).astype(np.float64)
        bias = np.concatenate([b0, b1 - b0]).astype(np.float64)
        mapped = joint @ mean
        second_moment = joint @ second_moment @ joint.T + np.outer(mapped, bias) + np.outer(bias, mapped + bias)
        mean = mapped + bias
        if k < len(stored.active):
            mean, second_moment = _gated(mean, second_moment, stored.active[k])
    units = len(mean) // 2
    return max(float(np.trace(second_moment[units:, units:])), 0.0)


def _gated(mean: np.ndarray, second_moment: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and second moment behind gates that both halves share."""
    both = np.outer(active, active)
    np.fill_diagonal(both, active)
    return mean * np.tile(active, 2), second_moment * np.tile(both, (2, 2))


def _check(layers: Layers) -> None:
    """Stop unless these are the layers of one network.

    Raises:
        InputError: they do not fit one another, or a number is not finite.
    """
    fit = layers and all(w.ndim == 2 and b.shape == w.shape[:1] for w, b in layers)
    if not fit or any(w.shape[0] != v.shape[1] for (w, _), (v, _) in pairwise(layers)):
        shapes = [(w.shape, b.shape) for w, b in layers]
        raise InputError(
            f"layers of shapes {shapes} make no network", "layers", "Give weight and bias of each, in order"
        )
    if not all(np.isfinite(part).all() for layer in layers for part in layer):
        raise InputError("not every number is finite", "layers", "Leave this network out")
