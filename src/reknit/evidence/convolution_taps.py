"""What a convolution does to the moments of its input: sums over its taps, and pairs of them.

A kernel is out x in x taps, with one axis of taps per dimension of space (none for a linear layer); "in" counts the
channels of one group. If every channel of the input has the same mean at every position, the output's mean is

    E y_o = sum_i S_oi E x_i + b_o,      S_oi = sum_t w_t K_oit

where w_t is the share of output positions at which tap t lies inside the input: 1 far from the edges, and at an edge
that is padded with zeros ``1 - |offset| / length`` along each axis, with stride 1. If the channels are uncorrelated and
neighbouring positions of one channel correlate as rho to the power of their distance, its variance is

    Var y_o = sum_i Q_oi Var x_i,        Q_oi = sum_{t, t'} rho^|t - t'| K_oit K_oit'.

Source: linearity; nothing is approximated but the stationarity of the input (S) and its correlations (Q).
Cost: one pass over the kernel for S, taps^2 for every pair of channels for Q.
Fails: S, where the mean depends on the position (deep in a network of small images; zero padding spreads); Q, where
channels are correlated, which they are: its shape over the channels is of use, its level is too low by up to 10.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Kernel = Float[np.ndarray, "out inside *taps"]


def tap_sums(kernel: Kernel, *, length: float = np.inf, dilation: int = 1) -> Float[np.ndarray, "out inside"]:
    """S: the kernel summed over its taps, each weighted by how often it lies inside the input.

    Args:
        kernel: out x in of a group x taps along each dimension of space.
        length: positions along every dimension of the input; infinite: edges do not count.
        dilation: positions between neighbouring taps.

    >>> tap_sums(np.ones((1, 1, 3))).tolist()
    [[3.0]]
    >>> tap_sums(np.ones((1, 1, 3)), length=4).tolist()  # the outer taps leave the input at one position of four
    [[2.5]]
    """
    sums = np.asarray(kernel, dtype=np.float64)
    while sums.ndim > 2:
        offsets = np.abs(np.arange(sums.shape[-1]) - (sums.shape[-1] - 1) / 2) * dilation
        sums = sums @ np.maximum(1.0 - offsets / length, 0.0)
    return sums


EDGES = (np.inf, 32.0, 16.0, 8.0, 4.0, 2.0)
"""Lengths of the input that are tried where it is not known, in half widths of the kernel."""


def edge_sums(kernel: Kernel) -> Float[np.ndarray, "edges out inside"]:
    """S for each of ``EDGES``; for one length where all taps are in the middle, and edges do not count."""
    half = (max(kernel.shape[2:], default=1) - 1) / 2
    lengths = [edge * half for edge in EDGES] if half else [np.inf]
    return np.stack([tap_sums(kernel, length=length) for length in lengths])


def tap_powers(kernel: Kernel, correlation: float) -> Float[np.ndarray, "out inside"]:
    """Q: the variance that each input channel of variance 1 lends to each output channel.

    Args:
        kernel: out x in of a group x taps along each dimension of space.
        correlation: rho, between a channel's values at neighbouring taps; 0 to 1.

    >>> tap_powers(np.ones((1, 1, 3)), 0.0).tolist(), tap_powers(np.ones((1, 1, 3)), 1.0).tolist()
    ([[3.0]], [[9.0]])
    """
    taps = np.asarray(kernel, dtype=np.float64)
    joined = taps
    for axis in range(2, taps.ndim):
        steps = np.arange(taps.shape[axis])
        decay = np.power(correlation, np.abs(steps[:, None] - steps[None, :]))
        joined = np.moveaxis(np.tensordot(joined, decay, (axis, 0)), -1, axis)
    return np.asarray((taps * joined).reshape(*taps.shape[:2], -1).sum(2), dtype=np.float64)


def passed_on(
    sums: Float[np.ndarray, "*more out inside"], signal: Float[np.ndarray, "*more channels"]
) -> Float[np.ndarray, "*more out"]:
    """S x, or Q x, for a convolution in groups: channels / inside of them, each with out / groups outputs.

    Leading axes are broadcast against each other.

    >>> passed_on(np.array([[2.0], [3.0]]), np.array([1.0, 10.0])).tolist()  # one channel a group
    [2.0, 30.0]
    """
    out, inside = sums.shape[-2:]
    channels = signal.shape[-1]
    if inside == 1 and channels == out:
        return np.asarray(sums[..., 0] * signal)
    groups = channels // inside
    parts = sums.reshape(*sums.shape[:-2], groups, out // groups, inside)
    inputs = signal.reshape(*signal.shape[:-1], groups, inside, 1)
    mixed = np.matmul(parts, inputs)
    return np.asarray(mixed.reshape(*mixed.shape[:-3], out))


def written_units(kernel: Kernel) -> Float[np.ndarray, "out rest"]:
    """The kernel with its output channels as rows: what makes each of the hidden units behind it."""
    return np.asarray(kernel, dtype=np.float64).reshape(len(kernel), -1)


def read_units(kernel: Kernel) -> Float[np.ndarray, "inside rest"]:
    """The kernel with its input channels as rows: what reads each of the hidden units before it."""
    return np.moveaxis(np.asarray(kernel, dtype=np.float64), 1, 0).reshape(kernel.shape[1], -1)
