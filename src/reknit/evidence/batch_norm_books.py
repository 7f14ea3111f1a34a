"""The books of a chain of units: how well the running statistics agree with a placement of its tensors.

A placement says which kernel, bias, gamma, beta, mean and variance stand where in each unit, the units in the order of
the forward pass. Its books hold one entry for every norm whose mean follows from what stands before it:

    inside a unit      mean_{k+1} = S E act(N(beta_k, gamma_k^2)) + b
    norm first         mean' - mean = S E act(N(beta_L, gamma_L^2)) + b, from a unit's first norm to the next unit's
    convolution first  mean_1 = S E x + b, and x' = act_stream(x + N(beta_L, gamma_L^2)) from unit to unit

and one for every two convolutions with hidden units between them that mix channels (C is the number of the units, r the
correlation of the two Grams over them, ``stream_grams``). What an entry costs, in nats,

    C / 2 * (log(e + e0) + mean over channels of log(v_c + eps))      C / 2 * log(1 - max(r, 0)^2)

with e the squared error (``batch_norm_errors``) at the best of six distances of the edges (``convolution_taps``), and
e0 an error that says nothing: ``NORMALITY``, because channels are not quite normal, or nearly 0 where no activation
stands in between and the entry is exact (a linear bottleneck read by the next unit).

Source: Ioffe and Szegedy, arXiv 1502.03167, for the statistics. NORMALITY was chosen on small residual networks.
Cost: entries are kept by what they depend on, so a placement near one seen before costs a few look-ups.
Fails: the stream behind an activation is taken as normal, and its channels as independent of the branch that is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from reknit.evidence.batch_norm_errors import FLOOR, squared_errors
from reknit.evidence.batch_norm_moments import Moments, moments_after
from reknit.evidence.batch_norm_pieces import Unit
from reknit.evidence.convolution_taps import edge_sums, passed_on, read_units, written_units
from reknit.evidence.stream_grams import gram_direction

Vectors = Sequence[Float[np.ndarray, " channels"]]
Vector = Float[np.ndarray, " channels"]
Places = Int[np.ndarray, "units convolutions"]
Reader = tuple[int, int, int, int]
NOTHING = -1
TINY = 1e-9
NORMALITY = 0.01
"""A squared error, in running variances: as much as the shape of a channel's distribution may make."""


@dataclass(frozen=True)
class Placement:
    """Which tensor stands where; numbers into the lists of ``Books``, one row a unit, one column a layer.

    One more row, where the norms come first, holds in its first column the norm that reads the stream behind them all.

    Attributes:
        kernel: of convolution k.
        bias: of convolution k; ``NOTHING`` where it has none, or none is known.
        gamma: of norm k.
        beta: of norm k.
        mean: of norm k.
        variance: of norm k; ``NOTHING`` where it is not known yet: errors are then not divided by it.
    """

    kernel: Places
    bias: Places
    gamma: Places
    beta: Places
    mean: Places
    variance: Places

    def copy(self) -> Placement:
        """One whose arrays can be written to."""
        return Placement(*(getattr(self, name).copy() for name in FIELDS))

    def rows(self, order: Sequence[int]) -> Placement:
        """The units in another order."""
        chosen = list(order)
        return Placement(*(getattr(self, name)[chosen] for name in FIELDS))


FIELDS = tuple(field.name for field in fields(Placement))


class Entry(NamedTuple):
    """One norm's mean against what the tensors before it make it, or one pair of convolutions.

    Attributes:
        squared: the squared error in running variances; 0 for a pair.
        nats: what it costs.
    """

    squared: float
    nats: float


class Books:
    """The entries of placements of given tensors.

    Args:
        units: of the chain, by place; their shapes are not looked at.
        kernels: out x in x taps each.
        biases: of convolutions.
        gammas: of norms, and so on; a norm whose four vectors came together has one number in all four lists.
        betas: of norms.
        means: of norms.
        variances: of norms.
        eps: of the norms.
        start: mean and variance of the stream before the first unit; only used for "convolution first", where None
            leaves the first unit's entry out, and takes E x from what its convolution and its first norm say of it.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        kernels: Sequence[Float[np.ndarray, "out inside *taps"]],
        biases: Vectors,
        gammas: Vectors,
        betas: Vectors,
        means: Vectors,
        variances: Vectors,
        *,
        eps: float = 1e-5,
        start: Moments | None = None,
    ) -> None:
        self.units = units
        self.unit = units[0]
        self.shapes = [tuple(kernel.shape) for kernel in kernels]
        self.sums = [edge_sums(kernel) for kernel in kernels]
        self.biases = [np.asarray(vector, np.float64) for vector in biases]
        self.gammas = [np.asarray(vector, np.float64) for vector in gammas]
        self.betas = [np.asarray(vector, np.float64) for vector in betas]
        self.means = [np.asarray(vector, np.float64) for vector in means]
        self.variances = [np.asarray(vector, np.float64) + eps for vector in variances]
        self.start = start
        self.eps = eps
        self.kernels = kernels
        self._predicted: dict[tuple[int, ...], Float[np.ndarray, "edges channels"]] = {}
        self._entries: dict[tuple[int, ...], Entry] = {}
        self._streams: dict[tuple[int, ...], Moments] = {}
        self._grams: dict[tuple[str, int], Vector] = {}

    def total(self, placement: Placement) -> float:
        """The sum of all entries, in nats; smaller is better."""
        nats = sum(entry.nats for entry in self.entries(placement))
        for row in placement.kernel[: len(self.units)].tolist():
            nats += sum(self.bond(pair).nats for pair in pairwise(row))
        return float(nats)

    def entries(self, placement: Placement) -> list[Entry]:
        """Every norm's entry, unit by unit: inside a unit first, then that of the stream."""
        table = np.stack([getattr(placement, name) for name in FIELDS], axis=2).tolist()
        readings = iter(self.readings(table))
        found: list[Entry] = []
        for i, unit in enumerate(table[: len(self.units)]):
            for k in self.unit.between:
                source, target = (k, k + 1) if self.unit.norm_first else (k - 1, k)
                found.append(self.inside((*unit[k][:2], *unit[source][2:4], *unit[target][4:])))
            if self.unit.norm_first and i + 1 < len(table):
                found.append(self.step((*unit[-1][:4], *unit[0][4:], *table[i + 1][0][4:])))
            elif not self.unit.norm_first and (i or self.start is not None):
                found.append(next(readings))
        return found

    def readings(self, table: list[list[list[int]]]) -> list[Entry]:
        """Convolution first: the entries of what each unit reads of the stream.

        Args:
            table: units x layers x the fields of a placement.
        """
        if self.unit.norm_first:
            return []
        found: list[Entry] = []
        prefix: tuple[int, ...] = ()
        for i, unit in enumerate(table):
            if i or self.start is not None:
                found.append(self._read(prefix, _reader(unit), _reader(table[0])))
            prefix = (*prefix, *unit[-1][2:4])
        return found

    def squared_errors(self, placement: Placement) -> Float[np.ndarray, " entries"]:
        """The squared error of every entry, in running variances."""
        return np.array([entry.squared for entry in self.entries(placement)])

    def unit_errors(self, placement: Placement) -> Float[np.ndarray, " units"]:
        """The largest squared error among the entries of each unit; an entry between two units counts for both."""
        count = len(self.units)
        worst = np.zeros(count)
        errors = iter(self.squared_errors(placement))
        for i in range(count):
            for _ in self.unit.between:
                worst[i] = max(worst[i], next(errors))
            if self.unit.norm_first and i + 1 < len(placement.kernel):
                worst[i : i + 2] = np.maximum(worst[i : i + 2], next(errors))
            elif not self.unit.norm_first and (i or self.start is not None):
                worst[i] = max(worst[i], next(errors))
        return worst

    def predicted(self, kernel: int, bias: int, gamma: int, beta: int) -> Float[np.ndarray, "edges channels"]:
        """S E act(N(beta, gamma^2)) + b, for every distance of the edges."""
        key = (kernel, bias, gamma, beta)
        if key not in self._predicted:
            inner = moments_after(self.unit.activation, self.betas[beta], self.gammas[gamma] ** 2).mean
            self._predicted[key] = self.through(kernel, bias, inner)
        return self._predicted[key]

    def through(self, kernel: int, bias: int, mean: Vector) -> Float[np.ndarray, "edges channels"]:
        """S m + b, for every distance of the edges."""
        passed = passed_on(self.sums[kernel], mean)
        return passed if bias == NOTHING else np.asarray(passed + self.biases[bias])

    def stream(self, prefix: tuple[int, ...], first: Reader) -> Moments:
        """Mean and variance of the stream behind units whose last gammas and betas are given in turn.

        Args:
            prefix: gamma, beta, gamma, beta, ...
            first: kernel, bias, mean and variance of the first unit's convolution and norm, for want of a start.
        """
        key = (*first, NOTHING, *prefix)
        if key not in self._streams:
            self._streams[key] = self._grown(prefix, first) if prefix else self._start(first)
        return self._streams[key]

    def _grown(self, prefix: tuple[int, ...], first: Reader) -> Moments:
        unit = self.units[len(prefix) // 2 - 1]
        mean, variance = self.betas[prefix[-1]], self.gammas[prefix[-2]] ** 2
        if unit.adds:
            before = self.stream(prefix[:-2], first)
            mean, variance = mean + before.mean, variance + before.variance
        return moments_after(unit.stream_activation, mean, variance)

    def _start(self, first: Reader) -> Moments:
        if self.start is not None:
            return self.start
        kernel, bias, mean, _ = first
        seen = self.means[mean] - (0.0 if bias == NOTHING else self.biases[bias])
        solved = np.linalg.lstsq(self.sums[kernel][0], seen, rcond=None)[0]
        return Moments(solved, np.zeros_like(solved))

    def inside(self, key: tuple[int, ...]) -> Entry:
        """The entry of kernel, bias, gamma, beta, and the mean and variance behind them."""
        if key not in self._entries:
            self._entries[key] = self._entry(self.predicted(*key[:4]), self.means[key[4]], key[5:], NORMALITY)
        return self._entries[key]

    def step(self, key: tuple[int, ...]) -> Entry:
        """The entry of kernel, bias, gamma, beta, and two means and variances of the stream, each mean with its own."""
        if key not in self._entries:
            risen = self.means[key[6]] - self.means[key[4]]
            self._entries[key] = self._entry(self.predicted(*key[:4]), risen, (key[5], key[7]), NORMALITY)
        return self._entries[key]

    def _read(self, prefix: tuple[int, ...], reader: Reader, first: Reader) -> Entry:
        key = (*prefix, NOTHING, *(first if self.start is None else ()), NOTHING, *reader)
        if key not in self._entries:
            kernel, bias, mean, variance = reader
            passed = self.through(kernel, bias, self.stream(prefix, first).mean)
            exact = self.unit.stream_activation == "identity"
            self._entries[key] = self._entry(passed, self.means[mean], (variance,), FLOOR if exact else NORMALITY)
        return self._entries[key]

    def _entry(
        self, predicted: Float[np.ndarray, "edges channels"], mean: Vector, variances: tuple[int, ...], least: float
    ) -> Entry:
        """Without variances, errors are in units of how much the means differ between channels."""
        known = [self.variances[k] for k in variances if k != NOTHING]
        scale = np.maximum(sum(known[1:], known[0]), TINY) if known else np.full_like(mean, np.var(mean) + TINY)
        squared = float(squared_errors(predicted, mean, scale).min())
        return Entry(squared, len(mean) / 2 * float(np.log(squared + least) + np.mean(np.log(scale))))

    def bond(self, pair: tuple[int, int]) -> Entry:
        """The entry of two kernels, the second of which reads what the first one writes."""
        if pair not in self._entries:
            before, behind = self.shapes[pair[0]], self.shapes[pair[1]]
            correlation = 0.0
            if before[0] == behind[1] and before[1] > 1:  # a convolution of every channel on its own mixes none
                correlation = float(self._gram("written", pair[0]) @ self._gram("read", pair[1]))
            self._entries[pair] = Entry(0.0, before[0] / 2 * float(np.log1p(-(min(max(correlation, 0.0), 0.999) ** 2))))
        return self._entries[pair]

    def _gram(self, side: str, kernel: int) -> Vector:
        if (side, kernel) not in self._grams:
            units = (written_units if side == "written" else read_units)(self.kernels[kernel])
            self._grams[side, kernel] = gram_direction(units)
        return self._grams[side, kernel]


def _reader(unit: list[list[int]]) -> Reader:
    kernel, bias, _, _, mean, variance = unit[0]
    return kernel, bias, mean, variance
