"""Which rows of a table to work on: three ways to choose a given number of them, behind one call.

``uniform``   Every row is as likely as every other, drawn without replacement.
``leverage``  Shimizu, Cheng, Musco, Weare, "Improved active learning via dependent leverage score sampling" (2023),
              arXiv:2310.04966: a row is drawn with a probability proportional to its leverage score, capped at one, and
              the draws depend on each other so that rows close together exclude one another. The draw is the pivotal
              method of Deville, Tille, "Unequal probability sampling without replacement through a splitting method"
              (1998), doi:10.1093/biomet/85.1.89, played as a tournament on a tree of nearness: the size is exact and
              the probabilities are kept.
``whitened``  After CRDS-W of Shu et al., "On representation redundancy in large-scale instruction tuning data
              selection" (2026), arXiv:2602.13773: principal components divided by their deviations, rows scaled to
              length one, and those rows taken that are the most similar (cosine) to a set of targets.

| paper                     | here                          |
|---------------------------|-------------------------------|
| tau_i (leverage score)    | ``leverage_scores``           |
| p_i = min(1, c tau_i)     | ``inclusion_probabilities``   |
| pivotal step, binary tree | ``_Tournament``               |
| whitening, then L2 norm   | ``whitened``, ``_most_alike`` |

Where we depart. The tree splits at the median of the orthonormal coordinate that spreads widest (the paper: along the
first principal component of every node, one decomposition each), down to ``LEAF`` rows. CRDS-W is given examples of a
target task and lets each in turn take its most similar row; here no task is given, the whole table is the task, and
under that rule every target would take itself. So the targets are a uniform draw of the table and the rule is the
greatest total similarity of the targets to their best chosen row (facility location; greedy, lazily evaluated:
Minoux 1978, doi:10.1007/BFb0006528; within 1 - 1/e of the best).
Cost, for R rows of d features: leverage ``4 R d^2`` flops and R steps of the tournament; whitened
``R T d`` flops and R T numbers for T targets. Known flaws: leverage of features knows nothing of a function that is not
linear in them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from reknit.errors import UsageError

LEAF = 8
"""Rows of a leaf of the tree of nearness: inside it, rows meet in the order of the table."""
NEGLIGIBLE = 1e-9
"""Singular values below this share of the largest are rounding; probabilities this close to 0 or 1 are settled."""
TARGETS, CANDIDATES = 1000, 20_000
"""Rows that stand for the table, and rows that are looked at, of ``whitened``; more than that are drawn uniformly."""


@dataclass(frozen=True)
class Selection:
    """Rows that were chosen.

    Attributes:
        rows: their indices, every one once. Uniform and leverage: in random order; whitened: in that of the choice. A
            part from the beginning is a choice by the same rule, or nearly.
        weights: how many rows of the table each stands for. Uniform and leverage: one over the probability of being
            chosen, so that weighted sums over the chosen rows are unbiased for sums over the table. Whitened: the share
            of the targets that are most similar to it, times the rows of the table; zero is possible.
    """

    rows: Int[np.ndarray, " count"]
    weights: Float[np.ndarray, " count"]


def select_rows(
    features: Float[np.ndarray, "rows width"], count: int, choice: str, generator: np.random.Generator
) -> Selection:
    """Choose ``count`` rows of the features; all of them, in order, where there are no more.

    Args:
        features: what is known of every row, finite; append a column of ones where a constant belongs to the model.
        count: how many rows are wanted, not negative.
        choice: ``uniform``, ``leverage`` or ``whitened``.
        generator: of everything that is drawn.

    Raises:
        UsageError: there is no such choice.

    >>> features = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 5.0]])
    >>> 3 in select_rows(features, 2, "leverage", np.random.default_rng(0)).rows
    True
    """
    if choice not in CHOICES:
        raise UsageError(f"there is no choice {choice!r} of rows", "--choose", f"Choose one of {', '.join(CHOICES)}")
    if count >= len(features):
        return Selection(np.arange(len(features)), np.ones(len(features)))
    if count <= 0:
        return Selection(np.arange(0), np.ones(0))
    return CHOICES[choice](np.asarray(features, dtype=np.float64), count, generator)


def _uniform(features: Float[np.ndarray, "rows width"], count: int, generator: np.random.Generator) -> Selection:
    rows = generator.choice(len(features), count, replace=False)
    return Selection(rows, np.full(count, len(features) / count))


def leverage_scores(features: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, " rows"]:
    """How much each row alone can move its own fit: the diagonal of the projection onto the columns' span.

    In [0, 1]; they sum to the rank; an invertible change of the columns leaves them as they are.
    """
    return np.asarray(np.square(_orthonormal(features)).sum(1))


def _orthonormal(features: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows rank"]:
    """Orthonormal columns with the span of the features, widest first; columns are brought to one length before."""
    lengths = np.linalg.norm(features, axis=0)
    left, values, _ = np.linalg.svd(features[:, lengths > 0] / lengths[lengths > 0], full_matrices=False)
    return np.asarray(left[:, values > NEGLIGIBLE * values.max(initial=0.0)])


def inclusion_probabilities(scores: Float[np.ndarray, " rows"], count: int) -> Float[np.ndarray, " rows"]:
    """``min(1, c score)`` with c such that they sum to ``count``; scores not negative, at most as many wanted as rows.

    Where fewer rows than are wanted have a score, all of those are certain and the others share what is left.
    """
    scored = scores > 0
    if scored.sum() <= count:
        rest = (count - scored.sum()) / max(len(scores) - scored.sum(), 1)
        return np.where(scored, 1.0, rest)
    falling = np.sort(scores)[::-1]
    below = np.cumsum(falling[::-1])[::-1]  # the sum of the scores from the k-th largest on
    # with the k largest certain, c = (count - k) / below[k]; the first k for which no other exceeds one
    capped = np.arange(count)
    certain = int(np.argmax((count - capped) * falling[:count] <= below[:count]))
    return np.asarray(np.minimum(1.0, scores * ((count - certain) / below[certain])))


def _leverage(features: Float[np.ndarray, "rows width"], count: int, generator: np.random.Generator) -> Selection:
    coordinates = _orthonormal(features)
    chances = inclusion_probabilities(np.square(coordinates).sum(1), count)
    tournament = _Tournament(coordinates, chances.copy(), generator)
    survivor = tournament.play(np.arange(len(chances)))
    if round(float(tournament.chances[survivor])) == 1:  # all is settled but for rounding: the sum is whole
        tournament.chosen.append(survivor)
    rows = generator.permutation(tournament.chosen)
    return Selection(rows, 1.0 / chances[rows])


class _Tournament:
    """Pivotal steps between rows that are near each other, then between the survivors of larger and larger regions."""

    def __init__(
        self,
        coordinates: Float[np.ndarray, "rows rank"],
        chances: Float[np.ndarray, " rows"],
        generator: np.random.Generator,
    ) -> None:
        self.coordinates, self.chances, self.generator = coordinates, chances, generator
        self.chosen: list[int] = []

    def play(self, rows: Int[np.ndarray, " some"]) -> int:
        """Settle all of these rows but one, which is returned; depth of the recursion log2 of their number."""
        here = self.coordinates[rows]
        if len(rows) <= LEAF or not here.shape[1]:
            survivor = int(rows[0])
            for row in rows[1:].tolist():
                survivor = self._step(survivor, row)
            return survivor
        widest = int(np.argmax(np.ptp(here, axis=0)))
        middle = len(rows) // 2
        halves = np.argpartition(here[:, widest], middle)
        return self._step(self.play(rows[np.sort(halves[:middle])]), self.play(rows[np.sort(halves[middle:])]))

    def _step(self, a: int, b: int) -> int:
        """One of the two is settled, chosen or not, the other carries what is left; expectations stay as they were."""
        for row, other in ((a, b), (b, a)):
            if self.chances[row] <= NEGLIGIBLE:
                return other
            if self.chances[row] >= 1 - NEGLIGIBLE:
                self.chosen.append(row)
                return other
        p, q = float(self.chances[a]), float(self.chances[b])
        draw = float(self.generator.random())
        if p + q <= 1:
            winner = a if draw * (p + q) < p else b
            self.chances[winner] = p + q
            return winner
        winner, loser = (a, b) if draw * (2 - p - q) < 1 - q else (b, a)
        self.chosen.append(winner)
        self.chances[loser] = p + q - 1
        return loser


def whitened(features: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows rank"]:
    """The rows in coordinates that are uncorrelated and of variance one; directions without variance are left out."""
    centred = features - features.mean(0)
    return np.asarray(_orthonormal(centred) * np.sqrt(len(features)))


def _most_alike(features: Float[np.ndarray, "rows width"], count: int, generator: np.random.Generator) -> Selection:
    total = len(features)
    looked = np.arange(total)
    if total > max(CANDIDATES, count):
        looked = np.sort(generator.choice(total, max(CANDIDATES, count), replace=False))
    points = whitened(features)
    points = points / np.linalg.norm(points, axis=1, keepdims=True).clip(1e-300)
    targets = generator.choice(total, min(TARGETS, total), replace=False)
    similarity = (points[looked] @ points[targets].T).astype(np.float32)
    picked = _facility_location(similarity + 1.0, count)
    served = np.bincount(similarity[picked].argmax(0), minlength=count)
    return Selection(looked[picked], served * (total / len(targets)))


def _facility_location(worth: Float[np.ndarray, "rows targets"], count: int) -> Int[np.ndarray, " count"]:
    """Greedily the rows that raise ``sum over targets of max over chosen rows of worth`` most; worth not negative.

    A gain only falls as others are chosen, so an old gain bounds the new one and most are never computed again.
    """
    best = np.zeros(worth.shape[1], worth.dtype)
    queue = [(-float(gain), row) for row, gain in enumerate(worth.sum(1, dtype=np.float64))]
    heapq.heapify(queue)
    chosen: list[int] = []
    while len(chosen) < count:
        row = heapq.heappop(queue)[1]
        gain = float(np.maximum(worth[row] - best, 0).sum(dtype=np.float64))
        if queue and (-gain, row) > queue[0]:
            heapq.heappush(queue, (-gain, row))
            continue
        chosen.append(row)
        best = np.maximum(best, worth[row])
    return np.array(chosen)


CHOICES: dict[str, Callable[[Float[np.ndarray, "rows width"], int, np.random.Generator], Selection]] = {
    "uniform": _uniform,
    "leverage": _leverage,
    "whitened": _most_alike,
}
