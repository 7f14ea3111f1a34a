"""The books of loose tensors: which vectors and which kernels share the channels of one norm.

Where the four vectors of a norm come apart, the means still say which gamma, beta and mean belong to which kernel
(``batch_norm_books``). What ties the rest together is that all tensors at one norm number the same channels: a channel
that is hardly used has a small variance, a small gamma and small weights. At the site of a norm stand up to six
features of its channels,

    the variance predicted from the kernel before it (its norms, where the stream is read), the weights' norms in the
    kernel behind it, the running variance, the running mean, gamma, beta,

each replaced by its normal scores. With R the matrix of their correlations, a site costs ``C / 2 * log det R`` nats: if
the features are jointly normal, minus C times the information they hold about each other. With norms first, the
variances of the stream cost ``C / 2 * log(var(log v' - log v) + 0.01)`` over the channels from unit to unit, and C / 2
times as much as they fall on average: the stream only gains.

Source: the multi-information of a normal distribution (Cover and Thomas, "Elements of Information Theory", 2nd edition,
theorem 8.4.1). Normal scores: van der Waerden.
Cost: C numbers a feature, once; a determinant of 6 x 6 a site. A site is kept by the tensors that stand there.
Fails where channels are few: of random features log det R is about -7.5 / C * 2, so 7.5 nats, with a spread of 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from reknit.evidence.batch_norm_books import FIELDS, NORMALITY, NOTHING, TINY, Books, Placement
from reknit.evidence.batch_norm_moments import Moments, moments_after
from reknit.evidence.batch_norm_pieces import Unit, norm_widths
from reknit.evidence.convolution_taps import passed_on, read_units, tap_powers, written_units

Vector = Float[np.ndarray, " channels"]
CORRELATIONS = (0.0, 0.9, 1.0)
"""Between neighbouring positions of a channel: for predicting variances, the best of these is taken."""
NO_VARIANCE = 1e4
"""Nats against a running variance that is negative somewhere."""


def normal_scores(values: Vector) -> Vector:
    """Ranks turned into normal quantiles, as a vector of length 1; ties keep their order; zero where all are equal.

    >>> normal_scores(np.array([3.0, -1.0, 2.0])).round(3).tolist()
    [0.707, -0.707, 0.0]
    """
    from scipy.special import ndtri  # slow to load, and only the wiring of loose vectors needs it

    if np.ptp(values) == 0:
        return np.zeros(len(values))
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(1, len(values) + 1)
    scores = ndtri(ranks / (len(values) + 1))
    return np.asarray(scores / np.linalg.norm(scores))


class LooseBooks(Books):
    """Books with the entries of sites; placements whose variances are ``NOTHING`` leave those features out."""

    def __init__(
        self,
        units: Sequence[Unit],
        kernels: Sequence[Float[np.ndarray, "out inside *taps"]],
        vectors: Sequence[Vector],
        *,
        eps: float = 1e-5,
        start: Moments | None = None,
    ) -> None:
        super().__init__(units, kernels, vectors, vectors, vectors, vectors, vectors, eps=eps, start=start)
        self._sizes = [np.abs(gamma) for gamma in self.gammas]
        self._sites: dict[tuple[int, ...], float] = {}
        self._features: dict[tuple[object, ...], Float[np.ndarray, "*more channels"]] = {}
        self._spreads: dict[tuple[int, ...], float] = {}
        self._kept_powers: dict[int, Float[np.ndarray, "correlations out inside"]] = {}
        self._units: dict[bytes, float] = {}
        self._rises: dict[tuple[int, int], float] = {}

    def total(self, placement: Placement) -> float:
        """The sum of all entries, in nats; smaller is better. Errors of means are not divided by variances."""
        table = np.stack([getattr(placement, name) for name in FIELDS], axis=2)
        nats = 0.0
        for i, unit in enumerate(table):
            behind = table[i + 1, 0, 4:] if i + 1 < len(table) else _NO_NORM
            key = unit.tobytes() + behind.tobytes()
            if key not in self._units:
                last = i == len(self.units)
                self._units[key] = self._end(unit.tolist()) if last else self._unit(unit.tolist(), behind.tolist())
            nats += self._units[key]
        if not self.unit.norm_first:
            nats += self._stream_spreads(table.tolist())
            table[:, :, _VARIANCE] = NOTHING  # an error must not look small because a large variance was put beside it
            nats += sum(entry.nats for entry in self.readings(table.tolist()))
        return nats

    def nats(self, placement: Placement) -> float:
        """The total and what the errors say once variances have their places: for comparing ends of searches."""
        half = np.mean(norm_widths(self.units)) / 2
        errors = self.squared_errors(placement)
        return self.total(placement) + float(half * np.log(errors + NORMALITY).sum())

    def _unit(self, unit: list[list[int]], behind: list[int]) -> float:
        """What the entries cost that depend on one unit, and on the first norm of the next."""
        layers = range(len(unit))
        nats = sum(self.bond((unit[k][0], unit[k + 1][0])).nats for k in layers[:-1])
        for k in self.unit.between:
            source, target = (k, k + 1) if self.unit.norm_first else (k - 1, k)
            nats += self.inside((*unit[k][:2], *unit[source][2:4], unit[target][4], NOTHING)).nats
        if self.unit.norm_first and behind[0] != NOTHING:
            nats += self.step((*unit[-1][:4], unit[0][4], NOTHING, behind[0], NOTHING)).nats
            nats += self.rise(unit[0][5], behind[1])
        return nats + sum(self.site(standing(unit, k, self.unit.norm_first)) for k in layers)

    def _end(self, unit: list[list[int]]) -> float:
        """What the norm behind all units costs by itself."""
        return self.site(standing(unit, 0, norm_first=True))

    def site(self, key: tuple[int, ...]) -> float:
        """What one site costs, in nats."""
        if key not in self._sites:
            kernel, gamma, beta, reader, *own = key
            scores = []
            if kernel != NOTHING and gamma == NOTHING:
                scores.append(self._scores("written", kernel))
            if reader != NOTHING:
                scores.append(self._scores("read", reader))
            scores += [self._scores(kind, number) for kind, number in zip(_OWN, own, strict=True) if number != NOTHING]
            features = np.stack(scores)
            correlations = features @ features.T
            np.fill_diagonal(correlations, 1.0)
            ridge = 1e-3 * np.eye(len(features))
            nats = features.shape[1] / 2 * float(np.linalg.slogdet((correlations + ridge) / (1 + 1e-3))[1])
            if own[0] != NOTHING:
                nats += NO_VARIANCE if self.variances[own[0]].min() < 0 else 0.0
                nats += self._spread(kernel, gamma, beta, own[0]) if gamma != NOTHING else 0.0
            self._sites[key] = nats
        return self._sites[key]

    def _stream_spreads(self, table: list[list[list[int]]]) -> float:
        """Convolution first: what the first variances cost against the stream's, up to a common factor each."""
        nats = 0.0
        prefix: tuple[int, ...] = ()
        known = self.start is not None
        for i, unit in enumerate(table if known or not self.unit.adds else ()):
            kernel, variance = unit[0][0], unit[0][5]
            key = (*prefix, NOTHING, kernel, variance)
            if i == 0 and not known:  # what the first unit reads is unknown, and it leaves nothing of it
                self._spreads[key] = 0.0
            if key not in self._spreads:
                inner = self.stream(prefix, (NOTHING,) * 4).variance
                logs = np.log(passed_on(self._powers(kernel), inner) + self.eps)
                self._spreads[key] = self._unexplained(variance, logs, len(inner))
            nats += self._spreads[key]
            prefix = (*prefix, *unit[-1][2:4])
        return nats

    def _spread(self, kernel: int, gamma: int, beta: int, variance: int) -> float:
        """What a variance costs against the one predicted, at the best of ``CORRELATIONS``, up to a common factor."""
        key = (kernel, gamma, beta, variance)
        if key not in self._spreads:
            self._spreads[key] = self._unexplained(
                variance, self._log_spread(kernel, gamma, beta), len(self.gammas[gamma])
            )
        return self._spreads[key]

    def _unexplained(self, variance: int, predicted: Float[np.ndarray, "correlations channels"], inputs: int) -> float:
        """What is left of the spread of a variance over its channels, on a log scale, as a share of it, in nats.

        Channels are no more independent of each other than there are inputs to the kernel.
        """
        logs = np.log(np.maximum(self.variances[variance], TINY))
        left = (logs - predicted).var(axis=1).min() / max(logs.var(), TINY)
        return min(len(logs), inputs) / 2 * float(np.log(min(left, 1.0) + 0.01))

    def _log_spread(self, kernel: int, gamma: int, beta: int) -> Float[np.ndarray, "correlations channels"]:
        key = ("spread", kernel, gamma, beta)
        if key not in self._features:
            inner = moments_after(self.unit.activation, self.betas[beta], self.gammas[gamma] ** 2).variance
            self._features[key] = np.log(passed_on(self._powers(kernel), inner) + self.eps)
        return self._features[key]

    def _powers(self, kernel: int) -> Float[np.ndarray, "correlations out inside"]:
        if kernel not in self._kept_powers:
            self._kept_powers[kernel] = np.stack([tap_powers(self.kernels[kernel], rho) for rho in CORRELATIONS])
        return self._kept_powers[kernel]

    def _scores(self, kind: str, number: int) -> Vector:
        key = (kind, number)
        if key not in self._features:
            self._features[key] = normal_scores(self._feature(kind, number))
        return self._features[key]

    def _feature(self, kind: str, number: int) -> Vector:
        if kind in ("written", "read"):
            kernel = self.kernels[number]
            units = written_units(kernel) if kind == "written" or kernel.shape[1] == 1 else read_units(kernel)
            return np.asarray(np.linalg.norm(units, axis=1))
        return {"variance": self.variances, "mean": self.means, "beta": self.betas}.get(kind, self._sizes)[number]

    def rise(self, before: int, behind: int) -> float:
        """What two variances of the stream cost, one unit apart, in nats."""
        if NOTHING in (before, behind):
            return 0.0
        key = (before, behind)
        if key not in self._rises:
            steps = np.log(np.maximum(self.variances[behind], 1e-12) / np.maximum(self.variances[before], 1e-12))
            fall = max(-float(steps.mean()), 0.0)
            self._rises[key] = len(steps) / 2 * (float(np.log(np.var(steps) + 0.01)) + fall)
        return self._rises[key]


def standing(unit: list[list[int]], layer: int, norm_first: bool) -> tuple[int, ...]:
    """What stands at the site of a norm: kernel before, gamma and beta that it reads, kernel behind, and its own.

    Its own: variance, mean, gamma, beta. ``NOTHING`` where there is none.
    """
    before, behind = (layer - 1, layer) if norm_first else (layer, layer + 1)
    kernel = unit[before][0] if before >= 0 else NOTHING
    source = unit[layer - 1][2:4] if layer else [NOTHING, NOTHING]
    reader = unit[behind][0] if behind < len(unit) else NOTHING
    _, _, gamma, beta, mean, variance = unit[layer]
    return kernel, *source, reader, variance, mean, gamma, beta


_VARIANCE = FIELDS.index("variance")
_NO_NORM = np.full(2, NOTHING)
_OWN = ("variance", "mean", "gamma", "beta")
