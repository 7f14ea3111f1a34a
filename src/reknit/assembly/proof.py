"""Is it the only one? Every near rearrangement, tested against the data (docs/verdicts.md).

For an arrangement with answers f and residual e = y - f, and a move that changes the answers by delta, the data
speak for the move in proportion ``c = <e, delta> / <delta, delta>``: 1 if the moved arrangement made them, 0 if this
one did. With disturbances of variance ``sigma^2`` on every answer, and simulated common errors whose own c has variance
``V``, c has standard error ``sqrt(sigma^2 / <delta, delta> + V)``, so the move is rejected when

    z = (1 - max(c, 0)) / sqrt(sigma^2 / <delta, delta> + V)

reaches a level at which all moves together would be rejected wrongly once in a million. A move that changes nothing
has z = 0 and is never rejected, nor does a residual that speaks against one (c < 0) reject it the more: next to nothing
is easily contradicted.

Rounding grows with the row, so one row of outlying inputs would pass its own rounding off as an effect. Rows are
looked at from the most ordinary on (the median norm), and those beyond ``OUTLYING`` times it are scaled down to it.

Three rounds, each only for what the one before left: (1) every move exactly on a few rows, all in one sweep (moves.py);
(2) first-order effects on all rows, rejecting only where twice the remainder seen in round 1 could not matter; (3)
exactly, in float64, on growing numbers of rows up to all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from reknit.assembly.commutator import insertion_effects, inversion_effects
from reknit.assembly.floor import Floor
from reknit.assembly.mean_field import pairing_effects
from reknit.assembly.moves import Rearrangement, all_moves, move_effects
from reknit.assembly.problem import mean_square
from reknit.network.stack import Arrangement, Stack

WRONGLY = 1e-6
"""Chance that any move is rejected although it is the truth (family-wise, Bonferroni)."""
SWEEP_ROWS, SECOND_SWEEP, FEW_ROWS, MANY, CHUNK = 2, 32, 32, 200, 1000
PULL_ROWS, SUSPECTS = 2000, 16
"""Rows on which exchanges that are rejected already are asked whether the residual speaks for them, and how many of
those it speaks for most are asked again on all rows."""
REMAINDER_SAFETY = 2.0
OUTLYING = 3.0
"""Times the median norm of a row's inputs beyond which the row counts for less."""
RESOLVED = 10.0
"""How many times its own rounding a float32 effect has to be to count as seen; smaller ones are computed in float64,
or thousands of rows of rounding would pass for an effect."""


@dataclass(frozen=True)
class Tested:
    """What the data say of one move.

    Attributes:
        move: the move, by position.
        z: standard errors between the data and the moved arrangement; at or above the level: rejected.
        pull: c, how far the residual speaks for the move: 0 for this arrangement, 1 for the moved one.
        pull_z: c in its standard errors.
        change: what the move adds to the mean squared error.
    """

    move: Rearrangement
    z: float
    pull: float
    pull_z: float
    change: float


@dataclass(frozen=True)
class Proof:
    """The outcome for all moves: how many there were, which are not rejected, and the weakest rejection."""

    level: float
    counts: Mapping[str, int]
    rejected_z: Mapping[str, float]
    undecided: tuple[Tested, ...]
    strongest_pull: Tested | None


@dataclass
class _Sums:
    """Per move: <delta, delta>, <e, delta>, <draw, delta> for every simulated error, and the rows they cover."""

    size: Float[np.ndarray, " moves"]
    overlap: Float[np.ndarray, " moves"]
    common: Float[np.ndarray, "draws moves"]
    count: int

    @classmethod
    def of(
        cls,
        delta: Float[np.ndarray, "moves rows outputs"],
        error: Float[np.ndarray, "rows outputs"],
        draws: Float[np.ndarray, "draws rows outputs"],
    ) -> _Sums:
        flat = delta.reshape(len(delta), error.size).astype(np.float64)
        wide = draws.reshape(len(draws), error.size)
        return cls(np.einsum("mr,mr->m", flat, flat), flat @ error.reshape(-1), wide @ flat.T, error.size)

    def plus(self, other: _Sums) -> _Sums:
        return _Sums(
            self.size + other.size, self.overlap + other.overlap, self.common + other.common, self.count + other.count
        )

    def pull(self) -> Float[np.ndarray, " moves"]:
        return np.asarray(self.overlap / self.size.clip(1e-300))

    def standard_error(self, sigma2: float) -> Float[np.ndarray, " moves"]:
        size = self.size.clip(1e-300)
        spread = np.square(self.common / size).mean(0) if len(self.common) else np.zeros_like(size)
        return np.asarray(np.sqrt(sigma2 / size + spread))

    def change(self) -> Float[np.ndarray, " moves"]:
        """What each move adds to the mean squared error."""
        return np.asarray((self.size - 2 * self.overlap) / max(self.count, 1))

    def z(self, sigma2: float) -> Float[np.ndarray, " moves"]:
        """Standard errors from the moved arrangement; 0 where the move changes nothing."""
        return np.where(self.size > 0, (1 - self.pull().clip(0)) / self.standard_error(sigma2), 0.0)


def row_weights(norms: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """By the norm of each row's inputs: 1 for ordinary rows, less beyond ``OUTLYING`` times the median."""
    return np.asarray(1 / np.maximum(norms / max(OUTLYING * float(np.median(norms)), 1e-300), 1.0))


def rejection_level(moves: int, draws: int = 0) -> float:
    """The z at which one true move in ``moves`` tests would be rejected with chance ``WRONGLY`` in all.

    Where part of the standard error is estimated from ``draws`` simulated errors, Student's quantile.
    """
    chance = WRONGLY / max(moves, 1)
    if not draws:
        return -NormalDist().inv_cdf(chance)
    from scipy.special import stdtrit  # loads scipy, which a proof without simulated errors does not need

    return float(-stdtrit(draws, chance))


def first_order_effects(
    stack: Stack,
    x: Float[np.ndarray, "rows width"],
    direction: Float[np.ndarray, "rows outputs"],
    arrangement: Arrangement,
    moves: list[Rearrangement],
) -> Float[np.ndarray, "moves rows"]:
    """Effects of the moves on the answers along one direction per row, to first order, from one trace."""
    trace = stack.trace(x, direction, arrangement)
    first = np.array([m.first for m in moves])
    second = np.array([m.second for m in moves])
    exchange = np.array([m.kind == "exchange" for m in moves])
    effects = np.empty((len(moves), len(x)), x.dtype)
    if (~exchange).any():
        effects[~exchange] = insertion_effects(inversion_effects(trace))[:, first[~exchange], second[~exchange]].T
    if exchange.any():
        i, j = first[exchange], second[exchange]
        outs, wanted = np.array(arrangement.outs), np.zeros((len(arrangement), stack.blocks), bool)
        for k in (i, j):
            wanted[k, outs[i]] = wanted[k, outs[j]] = True
        pairing = pairing_effects(stack, trace, wanted)[:, :, outs]
        effects[exchange] = (pairing[:, i, j] - pairing[:, i, i] + pairing[:, j, i] - pairing[:, j, j]).T
    return effects


class _Tester:
    """The running state of a proof: which moves are still open and what is known of each."""

    def __init__(
        self,
        stack: Stack,
        x: Float[np.ndarray, "rows width"],
        error: Float[np.ndarray, "rows outputs"],
        arrangement: Arrangement,
        floor: Floor,
        level: float,
    ) -> None:
        norms = np.linalg.norm(x.astype(np.float64), axis=1)
        ordinary = np.argsort(np.abs(norms - np.median(norms)), kind="stable")
        self.weight = row_weights(norms)[ordinary, None]
        self.stack, self.x, self.error = stack, x[ordinary], self.weight * error[ordinary]
        self.arrangement, self.floor, self.level = arrangement, floor, level
        self.draws = self.weight * floor.draws[:, ordinary]
        observed = mean_square(self.error)
        common = mean_square(self.draws)
        # a float32 effect is itself rounded, twice
        self.sigma2 = max(observed - common, floor.white) + 2 * floor.rounding**2
        self.tested: dict[Rearrangement, Tested] = {}
        self.seen: dict[Rearrangement, Float[np.ndarray, "rows outputs"]] = {}

    def sums(self, delta: Float[np.ndarray, "moves rows outputs"], rows: slice) -> _Sums:
        return _Sums.of(self.weight[rows] * delta, self.error[rows], self.draws[:, rows])

    def record(self, moves: list[Rearrangement], sums: _Sums, *, least: float = 0.0) -> list[Rearrangement]:
        """Note what the sums say; a mean square effect below ``least`` stays open. Returns the moves still open."""
        z, pull, error = sums.z(self.sigma2), sums.pull(), sums.standard_error(self.sigma2)
        z = np.where(sums.size < least * sums.count, np.minimum(z, 0.999 * self.level), z)
        columns = (z.tolist(), pull.tolist(), (pull / error).tolist(), sums.change().tolist())
        for move, *values in zip(moves, *columns, strict=True):
            self.tested[move] = Tested(move, *values)
        return [m for m in moves if self.tested[m].z < self.level]

    def sweep(self, moves: list[Rearrangement], rows: int) -> list[Rearrangement]:
        """Round 1, on the first rows, in slices that keep the forks in cache; returns the moves still open."""
        parts = [self.x[begin : begin + SWEEP_ROWS] for begin in range(0, rows, SWEEP_ROWS)]
        delta = np.concatenate([move_effects(self.stack, part, self.arrangement, moves) for part in parts], 1)
        self.seen = {move: delta[k] for k, move in enumerate(moves)}
        least = (RESOLVED * self.floor.rounding) ** 2
        return self.record(moves, self.sums(delta, slice(0, rows)), least=least)

    def screen(self, moves: list[Rearrangement], rows: int | None = None) -> list[Rearrangement]:
        """Round 2: first-order effects on the first ``rows`` (all by default), trusted as far as round 1 bears out."""
        if not moves:
            return []
        last = len(self.x) if rows is None else min(rows, len(self.x))
        seen = np.stack([self.seen[move] for move in moves])
        shape, dtype = self.error.shape, self.x.dtype
        one = shape[1] == 1
        direction = np.ones(shape, dtype) if one else np.random.default_rng(1).standard_normal(shape, dtype)
        total: _Sums | None = None
        remainder = np.zeros(len(moves))
        for begin in range(0, last, CHUNK):
            part_rows = slice(begin, min(begin + CHUNK, last))
            delta = first_order_effects(self.stack, self.x[part_rows], direction[part_rows], self.arrangement, moves)
            if begin == 0:
                exact = (seen * direction[: seen.shape[1]]).sum(2)
                missed = np.linalg.norm(exact - delta[:, : seen.shape[1]], axis=1)
                remainder = REMAINDER_SAFETY * missed / np.linalg.norm(exact, axis=1).clip(1e-30)
            scale = np.linalg.norm(direction[part_rows], axis=1)
            along = (self.error[part_rows] * direction[part_rows]).sum(1) / scale
            wide = (self.draws[:, part_rows] * direction[part_rows]).sum(2) / scale
            effect = delta * (self.weight[part_rows, 0] / scale).astype(delta.dtype)
            part = _Sums.of(effect[:, :, None], along[:, None], wide[:, :, None])
            total = part if total is None else total.plus(part)
        assert total is not None  # noqa: S101  (there are rows: a table without any is refused)
        low = (1 - remainder).clip(0)
        worst = low**2 - total.pull().clip(0) - REMAINDER_SAFETY * remainder * total.standard_error(self.sigma2)
        z = worst / (total.standard_error(self.sigma2) * (1 + remainder))
        safe = (z >= self.level) & (total.size > 0)
        self.record(moves, total)
        for k, move in enumerate(moves):
            known = self.tested[move]
            bounded = float(z[k]) if safe[k] else min(known.z, self.level * 0.999)
            self.tested[move] = Tested(move, bounded, known.pull, known.pull_z, known.change)
        return [m for m, ok in zip(moves, safe.tolist(), strict=True) if not ok]

    def effects(self, trials: Sequence[Arrangement], rows: int) -> Iterator[_Sums]:
        """What arrangements change in the answers of the first rows, exactly and in float64."""
        stack, x = self.stack.to(np.float64), self.x[:rows].astype(np.float64)
        own = stack.forward(x, self.arrangement)
        for trial in trials:
            yield self.sums((stack.forward(x, trial) - own)[None], slice(0, rows))

    def exactly(self, moves: list[Rearrangement], rows: int) -> list[Rearrangement]:
        """Round 3, in float64; returns the moves still open."""
        trials = [move.apply(self.arrangement) for move in moves]
        found = zip(moves, self.effects(trials, rows), strict=True) if moves else ()
        return [left for move, sums in found for left in self.record([move], sums)]


def score_exactly(
    stack: Stack,
    x: Float[np.ndarray, "rows width"],
    error: Float[np.ndarray, "rows outputs"],
    arrangement: Arrangement,
    floor: Floor,
    trials: Sequence[Arrangement],
) -> list[tuple[float, float]]:
    """z and change of arrangements that are no single move away, by the rules of ``prove`` and on all rows.

    Args:
        stack, x, error, arrangement, floor: as for ``prove``.
        trials: the arrangements.
    """
    tester = _Tester(stack, x, error, arrangement, floor, 0.0)
    effects = tester.effects(trials, len(x))
    return [(float(sums.z(tester.sigma2)[0]), float(sums.change()[0])) for sums in effects]


def prove(
    stack: Stack,
    x: Float[np.ndarray, "rows width"],
    error: Float[np.ndarray, "rows outputs"],
    arrangement: Arrangement,
    floor: Floor,
    *,
    pulls: bool = False,
) -> Proof:
    """Test every adjacent swap, single insertion and exchange of two out-layers against the data.

    Args:
        stack: the layers, float32.
        x: inputs, float32.
        error: recorded outputs minus the arrangement's answers, the answers computed in float64.
        arrangement: what is to be proved.
        floor: what is known of the disturbances.
        pulls: also report the move that the residual speaks for most, from first-order effects on all rows.
    """
    moves = all_moves(len(arrangement))
    level = rejection_level(len(moves), len(floor.draws))
    tester = _Tester(stack, x, error, arrangement, floor, level)
    strongest = None
    if moves and len(x):
        still = tester.sweep(moves, min(SWEEP_ROWS, len(x)))
        if (pulls or len(still) > MANY) and len(x) > SWEEP_ROWS:
            still = tester.sweep(moves, min(SECOND_SWEEP, len(x)))
        if pulls:
            kept, unsettled = dict(tester.tested), set(still)
            # an exchange costs a hundred times what an insertion does, and is seldom small
            few = [m for m in moves if m.kind == "exchange" and m not in unsettled]
            apart = set(few)
            tester.screen([m for m in moves if m not in apart])
            tester.screen(few, PULL_ROWS)
            if len(x) > PULL_ROWS:
                tester.screen(sorted(few, key=lambda m: -tester.tested[m].pull_z)[:SUSPECTS])
            strongest = max(tester.tested.values(), key=lambda t: t.pull_z)
            tester.tested = {m: kept[m] if kept[m].z >= level else t for m, t in tester.tested.items()}
            still = [m for m in moves if tester.tested[m].z < level]
        else:
            still = tester.exactly(still, min(FEW_ROWS, len(x))) if len(still) <= MANY else still
            still = tester.screen(still) if len(still) > 8 else still
        rows = 512
        while still and rows < len(x):
            still = tester.exactly(still, rows)
            rows *= 4
        tester.exactly(still, len(x))
    undecided = tuple(sorted((t for t in tester.tested.values() if t.z < level), key=lambda t: t.z))
    rejected: dict[str, float] = {}
    for t in tester.tested.values():
        if t.z >= level:
            rejected[t.move.kind] = min(rejected.get(t.move.kind, t.z), t.z)
    return Proof(level, dict(Counter(m.kind for m in moves)), rejected, undecided, strongest)
