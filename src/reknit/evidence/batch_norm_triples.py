"""Loose vectors around a convolution: which gamma, beta and running mean fit its kernel best.

A norm's output and the mean behind the next convolution are tied by ``mean = S E act(N(beta, gamma^2))``; biases before
a norm are small after training and are left out. A fit is the relative log error of ``batch_norm_errors``, which can do
without variances. All betas and means are tried together with a few gammas, the best of these with every gamma. Fits
are taken the clearest first, and a kernel whose vectors were taken by then is fitted again to what is left.

Cost: for each of ``PROBES`` gammas, betas * (out * in + out * means) multiplications a kernel; for a kernel that writes
to the stream, pairs of means take the place of means.
Fails where a vector is one of several alike: gammas or betas that hardly moved in training.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from reknit.evidence.batch_norm_errors import FLOOR
from reknit.evidence.batch_norm_moments import moments_after
from reknit.evidence.convolution_taps import passed_on

PROBES, KEPT = 8, 200
"""Gammas that betas and means are first tried with, and how many of those are then tried with every gamma."""
Vector = Float[np.ndarray, " channels"]


class Fit(NamedTuple):
    """A kernel with the vectors around it; numbers into the lists.

    Attributes:
        error: the relative log error.
        kernel: the convolution.
        gamma: what scales what it reads.
        beta: what shifts it.
        mean: the running mean behind it.
        base: the running mean that it raises to ``mean``; -1 where there is none.
    """

    error: float
    kernel: int
    gamma: int
    beta: int
    mean: int
    base: int = -1


def best_fit(
    kernel: int,
    sums: Float[np.ndarray, "edges out inside"],
    vectors: Sequence[Vector],
    gammas: Collection[int],
    betas: Collection[int],
    means: Collection[int],
    activation: str,
    *,
    rise: Callable[[int, int], bool] | None = None,
) -> Fit | None:
    """The best of all gammas, betas and means; None where no sizes fit.

    Args:
        kernel: its number, for the answer.
        sums: S of the kernel, for some distances of the edges.
        vectors: all of them.
        gammas: which may scale.
        betas: which may shift.
        means: which may be behind the kernel.
        activation: between norm and kernel.
        rise: whether the kernel may raise one mean to another; None: it does not write to the stream.
    """
    out, inside = sums.shape[1:]
    read = out if inside == 1 else inside
    scales = [k for k in gammas if len(vectors[k]) == read]
    shifts = [k for k in betas if len(vectors[k]) == read]
    behind = [k for k in means if len(vectors[k]) == out]
    ends = [(k, -1) for k in behind] if rise is None else [(k, j) for j in behind for k in behind if rise(j, k)]
    if not scales or not shifts or not ends:
        return None
    targets = np.stack([vectors[k] - (vectors[j] if j >= 0 else 0.0) for k, j in ends])
    shift = np.stack([vectors[k] for k in shifts])
    by_size = sorted(scales, key=lambda k: float(np.abs(vectors[k]).mean()))
    probes = by_size[:: max(len(by_size) // PROBES, 1)]
    pairs = set()
    for scale in probes:
        after = moments_after(activation, shift, vectors[scale] ** 2).mean
        for edge in sums:
            pairs |= set(_closest(passed_on(edge, after), targets, KEPT).tolist())
    return _refined(
        kernel,
        sums,
        vectors,
        scales,
        [(shifts[k // len(ends)], *ends[k % len(ends)]) for k in sorted(pairs)],
        activation,
    )


def _closest(
    predicted: Float[np.ndarray, "betas channels"], targets: Float[np.ndarray, "ends channels"], count: int
) -> Int[np.ndarray, " count"]:
    """Where the relative error is least: numbers into the flattened matrix, betas x ends.

    Least error is greatest p m / (p^2 + m^2), which takes no logarithm; and so many columns whose best is at least some
    value bound it from below, so only few entries are compared.
    """
    first, second = predicted.astype(np.float32), targets.astype(np.float32)
    sizes = (first**2).sum(1)[:, None] + (second**2).sum(1)
    nearness = (first @ second.T) / np.maximum(sizes, np.finfo(np.float32).tiny)
    if nearness.size <= count:
        return np.arange(nearness.size)
    tops = nearness.max(0)
    bound = np.partition(tops, -count)[-count] if len(tops) > count else -np.inf
    found = np.flatnonzero(nearness.ravel() >= bound)
    best = np.argpartition(-nearness.ravel()[found], count - 1)[:count] if len(found) > count else np.arange(len(found))
    return np.asarray(found[best])


def _refined(
    kernel: int,
    sums: Float[np.ndarray, "edges out inside"],
    vectors: Sequence[Vector],
    scales: Sequence[int],
    pairs: Sequence[tuple[int, int, int]],
    activation: str,
) -> Fit | None:
    """The best gamma with the best of some (beta, mean, base)."""
    betas = sorted({beta for beta, _, _ in pairs})
    row = np.array([betas.index(beta) for beta, _, _ in pairs])
    shift = np.stack([vectors[beta] for beta in betas])
    targets = np.stack([vectors[mean] - (vectors[base] if base >= 0 else 0.0) for _, mean, base in pairs])
    sizes = (targets**2).sum(1)
    best: Fit | None = None
    for scale in scales:
        after = moments_after(activation, shift, vectors[scale] ** 2).mean
        for edge in sums:
            predicted = passed_on(edge, after)[row]
            errors = ((predicted - targets) ** 2).sum(1) / ((predicted**2).sum(1) + sizes)
            for k in np.argsort(errors)[:4]:
                names = (scale, *pairs[int(k)])
                error = float(np.log(max(errors[k], FLOOR)))
                if (best is None or error < best.error) and len(set(names)) == 4:
                    best = Fit(error, kernel, *names)
    return best


def clearest_fits(kernels: Iterable[int], count: int, fit: Callable[[int, Sequence[Fit]], Fit | None]) -> list[Fit]:
    """So many fits of different kernels, the clearest first.

    Args:
        kernels: to choose from.
        count: how many fits to take at most.
        fit: the best fit of a kernel that agrees with those taken.
    """
    taken: list[Fit] = []
    found = {kernel: fit(kernel, taken) for kernel in kernels}
    fresh = set(found)
    while len(taken) < count:
        left = [entry for entry in found.values() if entry is not None]
        if not left:
            break
        best = min(left)
        if best.kernel in fresh:
            taken.append(best)
            del found[best.kernel]
            fresh = {k for k in fresh if _agree(found.get(k), best, taken)}
        else:
            found[best.kernel] = fit(best.kernel, taken)
            fresh.add(best.kernel)
    return taken


def ends_of(taken: Sequence[Fit]) -> dict[int, int]:
    """Where rises lead: base -> the last mean that is reached from it."""
    step = {fit.base: fit.mean for fit in taken if fit.base >= 0}
    ends = {}
    for base, mean in step.items():
        end = mean
        while end in step:
            end = step[end]
        ends[base] = end
    return ends


def _agree(one: Fit | None, other: Fit, taken: Sequence[Fit]) -> bool:
    """Whether a fit may still be the best of its kernel after another was taken: no vector has two places."""
    if one is None:
        return False
    if one.base < 0 and {one.gamma, one.beta} & set(other[2:]):  # of rises, gammas and betas are dealt afterwards
        return False
    if {one.gamma, one.beta} & {other.mean, other.base} or {other.gamma, other.beta} & {one.mean, one.base} - {-1}:
        return False
    if one.mean == other.mean or (one.base >= 0 and one.base == other.base):
        return False
    return one.base < 0 or ends_of(taken).get(one.mean) != one.base
