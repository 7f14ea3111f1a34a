"""Losses of many networks on the same rows, and what lies between two of them: the barrier, with its interval.

The barrier of a path theta(t), t from 0 to 1, is how much the loss exceeds the straight line between its ends,

    max over t of   L(theta(t)) - (1 - t) L(theta(0)) - t L(theta(1))

(Frankle, Dziugaite, Roy, Carbin 2020, arXiv 1912.05671; Entezari et al. 2022, arXiv 2110.06296). Its interval is a
percentile bootstrap over rows; all networks are judged on the same drawn rows, so what they share cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from reknit.errors import TableError
from reknit.match.class_axis import classes_last
from reknit.match.computing import Computer
from reknit.match.losses import row_losses
from reknit.match.samples import Samples

DRAWS, CONFIDENCE = 1000, 0.95
AT_ONCE = 2**22
"""Numbers of draws that are held at a time."""
BLOCKS = 2**13
"""Of more rows, blocks drawn at random are drawn anew: their sums vary as much, and draws take time by the block."""


@dataclass(frozen=True)
class Interval:
    """A number and a 95 % interval for it.

    Attributes:
        value: as measured.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """The object that ``--json`` prints."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, eq=False)
class Curve:
    """Networks along a path, judged on the same rows.

    Attributes:
        places: t of each.
        loss: of every network and row.
        right: share of right answers; None where targets are numbers.
        groups: of each row, a number that rows of equal inputs share; None: all rows differ.
    """

    places: Float[np.ndarray, " places"]
    loss: Float[np.ndarray, "places rows"]
    right: Float[np.ndarray, "places rows"] | None
    groups: Int[np.ndarray, " rows"] | None = None

    @property
    def losses(self) -> Float[np.ndarray, " places"]:
        """Mean loss at each place."""
        return np.asarray(self.loss.mean(1))

    @property
    def accuracies(self) -> Float[np.ndarray, " places"] | None:
        """Share of right answers at each place."""
        return None if self.right is None else np.asarray(self.right.mean(1))

    def barrier(self, seed: int = 0) -> Interval:
        """The barrier in the loss, with its interval."""
        chord = (1 - self.places)[:, None] * self.loss[:1] + self.places[:, None] * self.loss[-1:]
        return bootstrapped(self.loss - chord, seed, self.groups)

    def as_json(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        accuracy = self.accuracies
        return {
            "t": self.places.tolist(),
            "loss": self.losses.tolist(),
            "accuracy": None if accuracy is None else accuracy.tolist(),
            "barrier": self.barrier().as_json(),
        }


def bootstrapped(
    excess: Float[np.ndarray, "places rows"], seed: int = 0, groups: Int[np.ndarray, " rows"] | None = None
) -> Interval:
    """The largest mean over places, and its percentile interval over drawn rows.

    Args:
        excess: of every place and row.
        seed: of the draws.
        groups: rows of one number are drawn together; None: each by itself.
    """
    if not excess.shape[1]:
        return Interval(float("nan"), float("nan"), float("nan"))
    known = np.arange(excess.shape[1]) if groups is None else np.unique(groups, return_inverse=True)[1]
    rng, different = np.random.default_rng(seed), int(known.max()) + 1
    if different > BLOCKS:
        known = rng.permutation(np.arange(different) % BLOCKS)[known]
    sums, counts = np.stack([np.bincount(known, each) for each in excess]), np.bincount(known)
    size = len(counts)
    means = []
    at_once = max(1, AT_ONCE // size)
    for k in range(0, DRAWS, at_once):
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=min(at_once, DRAWS - k)).astype(np.float64)
        means.append(((sums @ drawn.T) / (drawn @ counts)).max(0))
    low, high = np.quantile(np.concatenate(means), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(excess.mean(1).max()), float(low), float(high))


def judged(
    computer: Computer, networks: Sequence[Mapping[str, np.ndarray]], places: Sequence[float], samples: Samples
) -> Curve:
    """The losses of networks along a path.

    Raises:
        TableError: there are no targets, or they do not fit the answers.
    """
    if samples.targets is None:
        raise TableError("has no array targets", "--data", "Write the right answers beside the inputs")
    loss, right = [], []
    for network in networks:
        answer = classes_last(computer.skeleton, computer.answers(network, samples)[0], samples.targets)
        found = row_losses(answer, samples.targets)
        loss.append(found.loss.double().numpy())
        right.append(None if found.right is None else found.right.double().numpy())
    known = [each for each in right if each is not None]
    at = np.array(places, dtype=np.float64)
    return Curve(at, np.stack(loss), np.stack(known) if known else None, samples.groups)
