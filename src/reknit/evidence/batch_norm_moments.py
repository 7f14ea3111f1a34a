"""Moments behind a BatchNorm: what an activation makes of the mean and variance that the norm sets itself.

A BatchNorm gives channel c of its output mean ``beta_c`` and variance ``gamma_c^2 v_c / (v_c + eps)``, whatever came
in; ``eps`` is neglected, so that the variance is ``gamma_c^2``. If the channel is normal, what follows the activation
has the mean ``E act(N(beta_c, gamma_c^2))``. For relu, with z = beta / gamma,

    E relu = beta Phi(z) + gamma phi(z),        E relu^2 = (beta^2 + gamma^2) Phi(z) + beta gamma phi(z).

Piecewise linear activations have such closed forms; all others are integrated with 64 nodes of Gauss and Hermite.

Source: the norm is that of Ioffe and Szegedy, "Batch Normalization" (2015), arXiv 1502.03167, section 3; the moments of
a rectified normal are those of a truncated one, by partial integration.
Cost: a few evaluations of Phi per channel, 64 of the activation where there is no closed form.
Fails where a channel is far from normal: most of its mass at a kink, few distinct values, an input that is mostly zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from reknit.network.activations import activation as known_activation

Array = Float[np.ndarray, "*shape"]
NODES = 64


class Moments(NamedTuple):
    """Mean and variance of every channel, the channels independent of each other.

    Attributes:
        mean: in the units of the signal.
        variance: in their square.
    """

    mean: Array
    variance: Array


def moments_after(activation: str, mean: Array, variance: Array) -> Moments:
    """Mean and variance of act(x) for normal x; both arrays of one shape, or broadcast to one.

    Args:
        activation: ``identity``, ``relu``, ``relu6``, ``leaky-relu``, ``hard-swish``, or one of
            ``reknit.network.activations``.
        mean: of x, for instance the betas of a BatchNorm.
        variance: of x, not negative; for instance the squares of its gammas.

    >>> moments = moments_after("relu", np.zeros(1), np.ones(1))
    >>> [round(float(part[0]), 4) for part in moments]  # 1 / sqrt(2 pi) and 1/2 - 1 / (2 pi)
    [0.3989, 0.3408]
    """
    mean, variance = np.broadcast_arrays(np.asarray(mean, np.float64), np.asarray(variance, np.float64))
    if activation == "identity":
        return Moments(mean, variance)
    deviation = np.sqrt(variance)
    if activation == "relu":
        return _rectified(mean, deviation)
    if activation in _BENDS:
        return _piecewise_linear(*_BENDS[activation], mean, deviation)
    return _quadrature(_value(activation), mean, deviation)


def _rectified(mean: Array, deviation: Array) -> Moments:
    """The formulas above; the general ones for bends take five times as long, and a search asks for many."""
    from scipy.special import ndtr  # slow to load, and only the wiring of networks with BatchNorm needs it

    z = mean / np.maximum(deviation, 1e-12 * (np.abs(mean) + 1.0))
    mass, edge = ndtr(z), deviation * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    first = mean * mass + edge
    second = (mean * mean + deviation * deviation) * mass + mean * edge
    return Moments(first, np.maximum(second - first * first, 0.0))


_BENDS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "relu6": ((0.0, 6.0), (0.0, 1.0, 0.0)),
    "leaky-relu": ((0.0,), (0.01, 1.0)),
}
"""Where a piecewise linear activation bends, the first time at the origin; its slopes left of, between and behind."""


def _piecewise_linear(knots: tuple[float, ...], slopes: tuple[float, ...], mean: Array, deviation: Array) -> Moments:
    """Sum over the pieces of E(slope x + offset)^k on the piece, from the moments of a truncated normal."""
    from scipy.special import ndtr  # slow to load, and only the wiring of networks with BatchNorm needs it

    safe = np.maximum(deviation, 1e-12 * (np.abs(mean) + 1.0))
    ends = (-np.inf, *knots, np.inf)
    first = np.zeros_like(safe)
    second = np.zeros_like(safe)
    offset = 0.0  # every piece is slope x + offset; the first knot is the origin, where the value is zero
    for k, slope in enumerate(slopes):
        if k:
            offset += (slopes[k - 1] - slope) * knots[k - 1]
        low, high = (ends[k] - mean) / safe, (ends[k + 1] - mean) / safe
        mass = ndtr(high) - ndtr(low)
        edge = _density(low) - _density(high)
        moment1 = mean * mass + safe * edge
        moment2 = (mean * mean + safe * safe) * mass + safe * mean * edge
        moment2 += safe * safe * (_finite(low) * _density(low) - _finite(high) * _density(high))
        moment2 += safe * mean * edge
        first += slope * moment1 + offset * mass
        second += slope * slope * moment2 + 2 * slope * offset * moment1 + offset * offset * mass
    return Moments(first, np.maximum(second - first * first, 0.0))


def _density(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))


def _finite(z: Array) -> Array:
    """Infinite ends are replaced: there the density is zero, and so must be their product."""
    return np.where(np.isfinite(z), z, 0.0)


@lru_cache(maxsize=1)
def _nodes() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()


def _quadrature(value: Callable[[Array], Array], mean: Array, deviation: Array) -> Moments:
    first = np.zeros_like(deviation)
    second = np.zeros_like(deviation)
    for node, weight in zip(*_nodes(), strict=True):
        at = value(mean + node * deviation)
        first += weight * at
        second += weight * at * at
    return Moments(first, np.maximum(second - first * first, 0.0))


def _value(name: str) -> Callable[[Array], Array]:
    if name == "hard-swish":
        return lambda x: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0
    return known_activation(name).value
