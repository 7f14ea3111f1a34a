"""Quadratic assignment in pools: place items so that pairs of places get pairs of items that fit each other.

Places and items come in pools of equal counts (one pool per shape of tensor). A placement pi gives every place an item
of its pool, one to one. The objective is

    E(pi) = sum over terms of  sum_{s in rows, t in columns} W[s, t] M[pi(s), pi(t)]   +   sum_s U[s, pi(s)]

``anneal`` lowers a temperature on soft placements: P[s, .] is proportional to exp(gain / T), made doubly stochastic,
where ``gain`` is dE/dP at the present P. ``climb`` then takes the best exchange of two items, or the best of the moves
of whole ``Ladder`` rungs, until none is left that gains.

Source: the mean-field equations are those of Gold and Rangarajan, "A graduated assignment algorithm for graph matching"
(1996), doi:10.1109/34.491619. Departures: several pools, several terms, moves of rungs. No optimum is promised: several
starts are compared, and ``margins`` says by how much the best neighbouring placement loses.
Cost: a gain is a product of S x S and S x N matrices per term, for S places.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from reknit.solvers.assignment import best_matching

Placement = Int[np.ndarray, " places"]

RUNS = 16  # rungs up to which every two neighbouring runs are exchanged: their number grows with the third power
CHUNK = 4_000_000  # pairs that are scored at once: some 100 MB


@dataclass(frozen=True)
class Term:
    """One kind of relation between places, and how well items fit into it.

    Attributes:
        rows: the places s, all of one pool.
        columns: the places t, all of one pool.
        weights: W, how much each pair (s, t) counts; usually sparse.
        scores: M, how well item a at s and item b at t fit: items of the rows' pool x items of the columns' pool.
    """

    rows: Int[np.ndarray, " rows"]
    columns: Int[np.ndarray, " columns"]
    weights: Float[np.ndarray, "rows columns"]
    scores: Float[np.ndarray, "left right"]


@dataclass(frozen=True)
class Ladder:
    """Places that repeat: rung i is taken as a whole, so that rungs can be exchanged, moved and turned over.

    Attributes:
        places: rungs x places of one rung; every column lies in one pool.
    """

    places: Int[np.ndarray, "rungs width"]


class _Pairs(NamedTuple):
    rows: Int[np.ndarray, " pairs"]
    columns: Int[np.ndarray, " pairs"]
    origin: Int[np.ndarray, " pairs"]
    stride: Int[np.ndarray, " pairs"]
    weights: Float[np.ndarray, " pairs"]
    scores: Float[np.ndarray, " scores"]


@dataclass(frozen=True)
class Problem:
    """What is to be placed, and what counts.

    Attributes:
        pool: the pool of each place; pools are numbered from 0. Item k belongs to the pool of place k.
        terms: relations between places.
        unary: U, what each place gives each item; zero where they are in different pools. None: nothing.
        ladders: rungs that may be moved as a whole.
    """

    pool: Int[np.ndarray, " places"]
    terms: tuple[Term, ...]
    unary: Float[np.ndarray, "places places"] | None = None
    ladders: tuple[Ladder, ...] = ()

    def __len__(self) -> int:
        """How many places there are."""
        return len(self.pool)

    @cached_property
    def members(self) -> tuple[Int[np.ndarray, " members"], ...]:
        """The places, and items, of each pool."""
        return tuple(np.flatnonzero(self.pool == k) for k in range(int(self.pool.max(initial=-1)) + 1))

    @cached_property
    def spots(self) -> Int[np.ndarray, " places"]:
        """The number of each item within its pool."""
        spots = np.empty(len(self), dtype=np.int64)
        for members in self.members:
            spots[members] = np.arange(len(members))
        return spots

    def value(self, placement: Placement) -> float:
        """E of a placement."""
        return float(self.values(placement[None])[0])

    def values(self, placements: Int[np.ndarray, "drafts places"]) -> Float[np.ndarray, " drafts"]:
        """E of many placements at once."""
        pairs = self._pairs
        pair_scores = pairs.scores
        values = np.zeros(len(placements))
        if self.unary is not None:
            values += self.unary[np.arange(len(self)), placements].sum(1)
        step = max(1, CHUNK // max(len(pairs.weights), 1))
        for k in range(0, len(placements), step):
            spots = self.spots[placements[k : k + step]].astype(np.int32)
            where = spots[:, pairs.rows]
            where *= pairs.stride
            where += spots[:, pairs.columns]
            where += pairs.origin
            taken = pair_scores.take(where)
            values[k : k + step] += taken @ pairs.weights
        return values

    @cached_property
    def _pairs(self) -> _Pairs:
        """Every pair of places with a weight, over all terms, and where its scores lie in one flat array."""
        parts: list[tuple[Int[np.ndarray, " pairs"], ...]] = []
        weights, scores, origin = [], [], 0
        for term in self.terms:
            s, t = np.nonzero(term.weights)
            stride = term.scores.shape[1]
            parts.append((term.rows[s], term.columns[t], np.full(len(s), origin), np.full(len(s), stride)))
            weights.append(term.weights[s, t])
            scores.append(term.scores.ravel())
            origin += term.scores.size
        if not parts:
            none = np.empty(0, dtype=np.int64)
            return _Pairs(none, none, none, none, np.empty(0), np.empty(0))
        joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
        rows, columns, origins, strides = joined
        small = [column.astype(np.int32) for column in (rows, columns, origins, strides)]
        return _Pairs(small[0], small[1], small[2], small[3], np.concatenate(weights), np.concatenate(scores))

    def gain(self, soft: Float[np.ndarray, "places places"]) -> Float[np.ndarray, "places places"]:
        """dE/dP at a soft placement: what each place would gain from each item while all else stays."""
        gain = np.zeros_like(soft) if self.unary is None else self.unary.copy()
        for term in self.terms:
            left, right = self._pools(term)
            gain[np.ix_(term.rows, left)] += term.weights @ (soft[np.ix_(term.columns, right)] @ term.scores.T)
            gain[np.ix_(term.columns, right)] += term.weights.T @ (soft[np.ix_(term.rows, left)] @ term.scores)
        return gain

    def _pools(self, term: Term) -> tuple[Int[np.ndarray, " left"], Int[np.ndarray, " right"]]:
        return self.members[self.pool[term.rows[0]]], self.members[self.pool[term.columns[0]]]


@dataclass(frozen=True)
class Solution:
    """A placement that no single move improves.

    Attributes:
        placement: the item at each place.
        value: E there.
        starts: E at the end of every climb, best first; where many agree there is probably nothing better.
        ends: the placements the climbs ended at, in the same order.
    """

    placement: Placement
    value: float
    starts: tuple[float, ...]
    ends: tuple[Placement, ...]


def solve(problem: Problem, *, starts: int = 8, seed: int = 0) -> Solution:
    """Annealing and climbs from kicked copies of the best placement so far, and from random soft placements in turn.

    Args:
        problem: at least one place.
        starts: how many climbs.
        seed: of the soft placements and the kicks.
    """
    ends = [climb(problem, anneal(problem, np.random.default_rng([seed, 0])))]
    values = [problem.value(ends[0])]
    for k in range(1, starts):
        rng = np.random.default_rng([seed, k])
        best = ends[int(np.argmax(values))]
        ends.append(climb(problem, anneal(problem, rng) if k % 4 == 0 else _kicked(problem, best, rng)))
        values.append(problem.value(ends[-1]))
    order = np.argsort(-np.array(values), kind="stable")
    ends = [ends[k] for k in order]
    return Solution(ends[0], values[order[0]], tuple(values[k] for k in order), tuple(ends))


def _kicked(problem: Problem, placement: Placement, rng: np.random.Generator, kicks: int = 4) -> Placement:
    """The rungs of the widest, of any, or of each ladder shuffled, or a few moves drawn at random.

    Where parts of blocks are right but the parts stand in wrong orders, each in one of its own, only shuffling each
    ladder leads away: twelve blocks stayed in such a place through all other kicks.
    """
    kind = rng.integers(4)
    if problem.ladders and kind < 3:
        widest = max(problem.ladders, key=lambda ladder: ladder.places.shape[1])
        chosen = (widest,), (problem.ladders[rng.integers(len(problem.ladders))],), problem.ladders
        for ladder in chosen[kind]:
            places = ladder.places
            draft = placement.copy()
            draft[places.ravel()] = placement[places[rng.permutation(len(places))].ravel()]
            placement = draft
        return placement
    moves = [np.arange(len(placement)), *neighbours(problem, np.arange(len(placement)))]
    for k in rng.integers(len(moves), size=kicks):
        placement = placement[moves[k]]
    return placement


def anneal(problem: Problem, rng: np.random.Generator, *, rounds: int = 120, cooling: float = 0.95) -> Placement:
    """Graduated assignment from a random soft placement; the end is rounded by a matching in each pool."""
    size = len(problem)
    soft = np.zeros((size, size))
    for members in problem.members:
        soft[np.ix_(members, members)] = _doubly_stochastic(0.3 * rng.standard_normal((len(members), len(members))))
    gain = problem.gain(soft)
    spread = max(float(gain[np.ix_(members, members)].std()) for members in problem.members)
    temperature = 3.0 * max(spread, 1e-12)
    for _ in range(rounds):
        for _ in range(2):
            gain = problem.gain(soft)
            aim = np.zeros_like(soft)
            for members in problem.members:
                aim[np.ix_(members, members)] = _doubly_stochastic(gain[np.ix_(members, members)] / temperature)
            soft = 0.5 * (soft + aim)
        temperature *= cooling
    placement = np.arange(size)
    for members in problem.members:
        placement[members] = members[best_matching(soft[np.ix_(members, members)])]
    return placement


def climb(problem: Problem, placement: Placement) -> Placement:
    """The best of all exchanges of two items and moves of rungs, again and again until nothing gains.

    Exchanges are screened by the gain of each place on its own; the promising ones are scored exactly.
    """
    while True:
        exchanges = _exchanged(placement, _promising(problem, placement))
        drafts = np.concatenate([placement[None], exchanges, *_rung_moves(problem, placement)])
        values = problem.values(drafts)
        best = int(values.argmax())
        if values[best] <= values[0] + 1e-9 * max(abs(values[0]), 1.0):
            return placement
        placement = drafts[best]


def margins(
    problem: Problem,
    placement: Placement,
    rivals: Sequence[Placement] = (),
    same: Int[np.ndarray, " items"] | None = None,
) -> Float[np.ndarray, " places"]:
    """By how much E falls, at each place, in the best rival placement that has another item there.

    Rivals are all placements one move away, and those given: other ends of climbs may come closer than any neighbour.
    Infinite where a pool holds one item; negative where a rival is better. Items with one number in ``same`` count as
    one and the same; None: all differ.
    """
    drafts = np.concatenate([neighbours(problem, placement), *(rival[None] for rival in rivals)])
    losses = problem.value(placement) - problem.values(drafts)
    label = np.arange(len(problem)) if same is None else same
    other = label[drafts] != label[placement]
    return np.asarray(np.where(other, losses[:, None], np.inf).min(0, initial=np.inf), dtype=np.float64)


def neighbours(problem: Problem, placement: Placement) -> Int[np.ndarray, "drafts places"]:
    """Every placement one move away: all exchanges of two items of a pool, all moves of rungs."""
    return np.concatenate([_exchanged(placement, _all_exchanges(problem)), *_rung_moves(problem, placement)])


def _exchanged(placement: Placement, exchanges: Sequence[tuple[int, int]]) -> Int[np.ndarray, "drafts places"]:
    drafts = np.repeat(placement[None], len(exchanges), axis=0)
    for draft, (s, t) in zip(drafts, exchanges, strict=True):
        draft[[s, t]] = draft[[t, s]]
    return drafts


def _rung_moves(problem: Problem, placement: Placement) -> Iterator[Int[np.ndarray, "drafts places"]]:
    for ladder in problem.ladders:
        orders = list(_rung_orders(len(ladder.places)))
        drafts = np.repeat(placement[None], len(orders), axis=0)
        for draft, order in zip(drafts, orders, strict=True):
            draft[ladder.places.ravel()] = placement[ladder.places[order].ravel()]
        yield drafts


def _promising(problem: Problem, placement: Placement, count: int = 100) -> list[tuple[int, int]]:
    """The exchanges that would gain most if the two places did not bear on each other."""
    size = len(problem)
    gain = problem.gain(np.eye(size)[placement])
    own = gain[np.arange(size), placement]
    other = gain[:, placement]  # place s with the item that is now at t
    change = other + other.T - own[:, None] - own[None, :]
    change[problem.pool[:, None] != problem.pool[None, :]] = -np.inf
    change[np.tril_indices(size)] = -np.inf
    order = np.argsort(-change, axis=None, kind="stable")[:count]
    return [(int(k) // size, int(k) % size) for k in order if np.isfinite(change.flat[k])]


def _all_exchanges(problem: Problem) -> list[tuple[int, int]]:
    return [(int(s), int(t)) for members in problem.members for s, t in itertools.combinations(members, 2)]


def _rung_orders(rungs: int) -> Iterator[list[int]]:
    """Every exchange of two rungs, every run turned over, every two neighbouring runs exchanged.

    The last move takes a run of rungs elsewhere; of more than ``RUNS`` rungs, only one of the two runs being a single
    rung, or both together being all of them.
    """
    base = list(range(rungs))
    seen: set[tuple[int, ...]] = {tuple(base)}
    for i, j in itertools.combinations(range(rungs + 1), 2):
        exchanged = base.copy()
        exchanged[i], exchanged[j - 1] = j - 1, i
        ends = [k for k in range(j + 1, rungs + 1) if rungs <= RUNS or 1 in (j - i, k - j) or (i, k) == (0, rungs)]
        moved = [[*base[:i], *base[j:k], *base[i:j], *base[k:]] for k in ends]
        for order in (exchanged, [*base[:i], *reversed(base[i:j]), *base[j:]], *moved):
            if tuple(order) not in seen:
                seen.add(tuple(order))
                yield order


def _doubly_stochastic(logits: Float[np.ndarray, "n n"], rounds: int = 15) -> Float[np.ndarray, "n n"]:
    """Rows and columns of exp(logits) scaled to sum to one, in exponents that do not overflow."""
    plan = np.exp(logits - logits.max(1, keepdims=True))
    tiny = np.finfo(np.float64).tiny
    for _ in range(rounds):
        plan /= plan.sum(1, keepdims=True) + tiny
        plan /= plan.sum(0, keepdims=True) + tiny
    scaled: Float[np.ndarray, "n n"] = plan / (plan.sum(1, keepdims=True) + tiny)
    return scaled
