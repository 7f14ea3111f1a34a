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

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from reknit.solvers.assignment import best_matching

Placement = Int[np.ndarray, " places"]


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
        spots = self.spots[placement]
        total = 0.0
        for term in self.terms:
            total += float((term.weights * term.scores[np.ix_(spots[term.rows], spots[term.columns])]).sum())
        if self.unary is not None:
            total += float(self.unary[np.arange(len(self)), placement].sum())
        return total

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
        starts: E at the end of every start, best first; where many agree there is probably nothing better.
    """

    placement: Placement
    value: float
    starts: tuple[float, ...]


def solve(problem: Problem, *, starts: int = 8, seed: int = 0) -> Solution:
    """The best placement of several annealings, each followed by a climb.

    Args:
        problem: at least one place.
        starts: how many annealings from random soft placements.
        seed: of the soft placements they start from.
    """
    found: list[tuple[float, Placement]] = []
    for k in range(starts):
        placement = climb(problem, anneal(problem, np.random.default_rng([seed, k])))
        found.append((problem.value(placement), placement))
    found.sort(key=lambda entry: -entry[0])
    return Solution(found[0][1], found[0][0], tuple(value for value, _ in found))


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
    """Best improvement over exchanges of two items and moves of rungs, until nothing gains.

    Exchanges are screened by the gain of each place on its own; the promising ones are scored exactly.
    """
    value = problem.value(placement)
    floor = 1e-9 * max(abs(value), 1.0)
    while True:
        best = value + floor
        chosen = None
        for draft in _neighbours(problem, placement):
            score = problem.value(draft)
            if score > best:
                best, chosen = score, draft
        if chosen is None:
            return placement
        placement, value = chosen, best


def margins(problem: Problem, placement: Placement) -> Float[np.ndarray, " places"]:
    """By how much E falls, at each place, in the best neighbouring placement that has another item there.

    Neighbours are all exchanges of two items and all moves of rungs. Infinite where a pool holds one item.
    """
    value = problem.value(placement)
    losses = np.full(len(problem), np.inf)
    for draft in _neighbours(problem, placement, screened=False):
        changed = draft != placement
        losses[changed] = np.minimum(losses[changed], value - problem.value(draft))
    return losses


def _neighbours(problem: Problem, placement: Placement, *, screened: bool = True) -> Iterator[Placement]:
    exchanges = _promising(problem, placement) if screened else _all_exchanges(problem)
    for s, t in exchanges:
        draft = placement.copy()
        draft[[s, t]] = draft[[t, s]]
        yield draft
    for ladder in problem.ladders:
        for order in _rung_orders(len(ladder.places)):
            draft = placement.copy()
            draft[ladder.places.ravel()] = placement[ladder.places[order].ravel()]
            yield draft


def _promising(problem: Problem, placement: Placement, count: int = 40) -> list[tuple[int, int]]:
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


def _all_exchanges(problem: Problem) -> Iterator[tuple[int, int]]:
    for members in problem.members:
        for i, s in enumerate(members):
            for t in members[i + 1 :]:
                yield int(s), int(t)


def _rung_orders(rungs: int) -> Iterator[list[int]]:
    """Every exchange of two rungs, every move of a run of rungs, every turned-over run."""
    base = list(range(rungs))
    seen: set[tuple[int, ...]] = {tuple(base)}
    for i in range(rungs):
        for j in range(i + 1, rungs):
            exchanged = base.copy()
            exchanged[i], exchanged[j] = j, i
            turned = [*base[:i], *reversed(base[i : j + 1]), *base[j + 1 :]]
            later = [*base[:i], *base[i + 1 : j + 1], i, *base[j + 1 :]]
            sooner = [*base[:i], j, *base[i:j], *base[j + 1 :]]
            for order in (exchanged, turned, later, sooner):
                if tuple(order) not in seen:
                    seen.add(tuple(order))
                    yield order
    for shift in range(1, rungs):
        order = [*base[shift:], *base[:shift]]
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
