"""The plan of a search: which architecture to suppose, where to start, what to try next, and when to stop.

A search is a sequence of attempts. Attempt k depends on nothing but the seed, k and the best arrangement of those
before it, so a checkpoint after each is enough to go on to the same answer. The first takes what the weights propose;
later ones draw new starting orders or let the outputs find pairs and order together. Whatever an attempt finds is
polished, and handed to the other activations and norms that might fit it better.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.assembly.commutator import anneal, descend, settle
from reknit.assembly.hill_climb import delta_norm_order, hill_climb, norm_order
from reknit.assembly.mean_field import mean_field
from reknit.assembly.mend import mend
from reknit.assembly.problem import HELD_ROWS, SCREEN_ROWS, OutOfTime, Problem, Search
from reknit.assembly.screening import NEARLY, REFINING, prospect, reconsider, screen
from reknit.assembly.settings import Setting, suppose
from reknit.assembly.starts import start_order
from reknit.assembly.trace_ratio import trace_ratio
from reknit.assembly.weight_pairing import WeightPairing, pair_by_weights
from reknit.network.stack import Arrangement
from reknit.solvers.assignment import best_matching, doubly_standardised, edge_margins

TRUSTED_COHERENCE = 3.0
"""Coherence of the weights' matching from which later attempts keep its pairs."""
MOST_ATTEMPTS = 18
MOST_WAYS = 1000
"""Arrangements of a pile up to which all are looked at when the attempts have failed."""
RESTARTS, HOPEFUL = 3, 0.1
"""New random orders within the first attempt, while its error is below this share of the outputs' variance."""
NEARLY_PAIRED = 5e-3
"""Share of the variance from which on an order is cooled although its pairs are not trusted."""
RECONSIDER = (2, 5, 8, 11, 14, 17)
"""Before which attempts the settings are looked at again."""
WARM_STEPS = 8
"""Annealing before the first descent: from the puzzle's norm order, 11 steps to the end instead of 11 to 47."""
TRIED_AGAIN = 2.0
"""By how much a setting's error counts as larger for every attempt it has had, when the next is chosen."""
DOUBT, PATIENT = 0.3, 3
"""Share of each pair that is given up before pairs and order are sought again; failures in a row to end that."""


@dataclass(frozen=True)
class Held:
    """The best arrangement so far, with the setting it holds for and its error on the rows searched."""

    mse: float
    setting: Setting
    arrangement: Arrangement


class Plan:
    """The attempts on one problem.

    Args:
        problem: the layers and rows; its activation and norms are those of the first setting.
        choices: settings to try.
        method: ``commutator`` or ``hill-climb``.
        start: where the first attempt starts.
        seed: of everything drawn.
        make_search: builds the ``Search`` of an attempt (deadline, listener) from its problem and seed.
    """

    def __init__(
        self,
        problem: Problem,
        choices: list[Setting],
        method: str,
        start: str,
        seed: int,
        make_search: Callable[[Problem, int], Search],
    ) -> None:
        self.problem, self.choices, self.method, self.start, self.seed = problem, choices, method, start, seed
        self.make_search = make_search
        self.tried: dict[Setting, float] = {}
        self.promise: dict[Setting, float] = {}
        self.times: Counter[Setting] = Counter()
        self.held: Held | None = None
        self.repeats = 0

    def suppose(self, setting: Setting) -> Problem:
        """The problem under another setting."""
        return suppose(self.problem, setting)

    def pair(self) -> WeightPairing:
        """Propose pairs from the weights; the published method uses the trace ratio alone."""
        if self.method == "hill-climb" and not self.problem.pooled:
            scores = trace_ratio(self.problem.stack)
            outs = best_matching(scores)
            margins = tuple(edge_margins(doubly_standardised(scores), outs).tolist())
            pairs = tuple((i, int(j)) for i, j in enumerate(outs))
            self.weights = WeightPairing(pairs, doubly_standardised(scores), margins, 0.0)
        else:
            self.weights = pair_by_weights(self.problem.stack, self.problem.pooled)
        return self.weights

    @property
    def solved(self) -> bool:
        """Whether the best arrangement is as good as the right one would be."""
        return self.held is not None and self.held.mse <= self.problem.solved_below

    def run(self, first: int, finished: Callable[[int], None]) -> int:
        """Run attempts from number ``first`` until one solves it, two agree, or there are no more; returns the next.

        ``finished(k)`` is called after attempt k - 1, when everything that attempt k needs is held.
        """
        attempt = first
        most = 1 if self.method == "hill-climb" else MOST_ATTEMPTS
        while attempt < most and not self.solved and self.repeats < 2:
            self.attempt(attempt)
            attempt += 1
            finished(attempt)
        if not self.solved and self.method != "hill-climb":
            self._exhaust()
        return attempt

    def _exhaust(self) -> None:
        """Look at every arrangement of a pile so small that there are few, under one setting after the other."""
        items, n = len(self.problem.stack.in_weight), self.problem.blocks
        ways = math.factorial(items) if self.problem.pooled else math.factorial(n) ** 2
        if ways > MOST_WAYS:
            return
        orders = list(itertools.permutations(range(items)))
        if self.problem.pooled:
            every = [Arrangement(order[:n], order[n:]) for order in orders]
        else:
            every = [Arrangement(ins, outs) for ins, outs in itertools.product(orders, orders)]
        for setting in sorted(self.choices, key=lambda s: prospect(self, s)):
            search = self.make_search(self.suppose(setting), self.seed)
            for arrangement in every:
                search.check_time()
                error = search.problem.mse(arrangement, SCREEN_ROWS)
                if self.held is None or error < self.held.mse:
                    self.keep(setting, arrangement, search.problem.mse(arrangement, HELD_ROWS))
            if self.solved:
                return

    def attempt(self, number: int) -> None:
        """Run one attempt and keep what it finds if it is better."""
        if number == 0 and len(self.choices) > 1 and not self.trusted:
            return  # neither pairs nor setting are known: nothing to start from before the settings are screened
        if number == 1 and len(self.choices) > 1:
            screen(self)
            if self.solved:
                return
        if number in RECONSIDER and len(self.choices) > 1:
            reconsider(self, number)
            if self.solved:
                return
        setting, before = self._setting(number), self.held
        search = self.make_search(self.suppose(setting), self.seed * 1000 + number)
        try:
            found = self._search(search, number)
        except OutOfTime:
            if search.best is not None:
                self._take(search, setting, search.best[1])
            raise
        self._take(search, setting, found)
        if self.held is not before:
            self.repeats = 0
        elif before is not None and found == before.arrangement and not self._refines(number):
            self.repeats += 1

    @staticmethod
    def _refines(number: int) -> bool:
        """Whether an attempt starts from the best arrangement instead of afresh."""
        return number % 3 == 2

    @property
    def trusted(self) -> bool:
        """Whether the weights alone settle the pairs."""
        obvious = self.problem.blocks == 1 and not self.problem.pooled
        return obvious or self.weights.coherence >= TRUSTED_COHERENCE or self.method == "hill-climb"

    def _setting(self, number: int) -> Setting:
        if not self.promise:
            return self.choices[0]
        if self.held is not None and not self.trusted and self._refines(number):
            return self.held.setting
        setting = min(self.promise, key=lambda s: self.promise[s] * TRIED_AGAIN ** self.times[s])
        self.times[setting] += 1
        return setting

    def _search(self, search: Search, number: int) -> Arrangement:
        if self.method == "hill-climb":
            return self._published(search)
        if number == 0:
            arrangement = start_order(search.problem, self.weights.pairs, self.start, search.generator)
            search.note("start", arrangement, search.problem.mse(arrangement, 256), 256)
            if self.start == "random":
                arrangement = anneal(search, arrangement)
            else:
                arrangement = anneal(search, arrangement, steps=WARM_STEPS)
            if not self.trusted:
                return descend(search, arrangement, iterations=12, patience=4)[1]
            hopeful = HOPEFUL * self.problem.variance
            error, arrangement = settle(search, arrangement, hopeful)
            for _ in range(RESTARTS):  # a wrong basin of the right setting is as near as this; a wrong setting seldom
                if not self.problem.solved_below < error < hopeful:
                    break
                again = start_order(search.problem, self.weights.pairs, "random", search.generator)
                error, found = settle(search, anneal(search, again), hopeful)
                arrangement = found if error < self.problem.solved_below else arrangement
            return arrangement
        pairs = self._settled_pairs(number)
        if pairs:
            # the first time a setting is supposed in earnest, from where it was asked for; then from anywhere
            start = self.start if number < 3 else "random"
            arrangement = start_order(search.problem, pairs, start, search.generator)
            hopeful = (HOPEFUL if self.trusted else NEARLY_PAIRED) * self.problem.variance
            arrangement = settle(search, anneal(search, arrangement), hopeful)[1]
        else:
            return self._jointly(search, number)
        return mend(search, arrangement, rounds=2 if self.trusted else 12)

    def _settled_pairs(self, number: int) -> tuple[tuple[int, int], ...]:
        """Pairs to keep in this attempt: the weights' if they are trusted, or those of an arrangement nearly there."""
        if self.trusted:
            return self.weights.pairs if number % 3 else ()
        if self.held is not None and self.held.mse < NEARLY * self.problem.variance and number % 3 == 0:
            return tuple(zip(self.held.arrangement.ins, self.held.arrangement.outs, strict=True))
        return ()

    def _jointly(self, search: Search, number: int) -> Arrangement:
        """Pairs and order together: afresh, or from the best arrangement for as long as that makes it better."""
        if not self._refines(number) or self.held is None:
            items = len(self.problem.stack.in_weight)
            prior = np.exp((0.5 if number % 2 else 0.25) * self.weights.scores.clip(-6, 6))
            found = mean_field(search, search.generator.permutation(items).tolist(), prior).arrangement
            return descend(search, found, iterations=30)[1]
        best, failures = (self.held.mse, self.held.arrangement), 0
        while best[0] > self.problem.solved_below and failures < PATIENT:
            found = descend(search, self._softened(search, best[1]), iterations=10, patience=2)[1]
            error = search.problem.mse(found, HELD_ROWS)
            failures = 0 if error < 0.95 * best[0] else failures + 1
            best = min(best, (error, found), key=lambda pair: pair[0])
        return mend(search, descend(search, best[1], iterations=30)[1])

    def _softened(self, search: Search, arrangement: Arrangement) -> Arrangement:
        """Doubt an arrangement, evenly in all its pairs, and let the outputs find pairs and order from there."""
        items = len(self.problem.stack.in_weight)
        prior = np.full((items, items), DOUBT / items)
        prior[list(arrangement.ins), list(arrangement.outs)] += 1 - DOUBT
        used = set(arrangement.ins)
        rest = [i for i in search.generator.permutation(items).tolist() if i not in used]
        return mean_field(search, [*arrangement.ins, *rest], prior, steps=REFINING).arrangement

    def _published(self, search: Search) -> Arrangement:
        pairs = self.weights.pairs
        given = Arrangement(tuple(i for i, _ in pairs), tuple(o for _, o in pairs))
        if self.start == "delta-norm":
            order = delta_norm_order(search, given)
        elif self.start == "norm":
            order = norm_order(search.problem.stack, given.outs)
        else:
            return hill_climb(search, start_order(search.problem, pairs, self.start, search.generator))
        return hill_climb(search, given.reordered(order), ranking=self.start == "delta-norm")

    def note(self, setting: Setting, mse: float) -> None:
        """Remember the least error seen under a setting."""
        self.tried[setting] = min(mse, self.tried.get(setting, np.inf))

    def _take(self, search: Search, setting: Setting, arrangement: Arrangement) -> None:
        for candidate in self._candidates(search, arrangement):
            mse = search.problem.mse(candidate, HELD_ROWS)
            self.note(setting, mse)
            for other, error in self._others(candidate, setting, mse):
                self.keep(other, candidate, error)
            self.keep(setting, candidate, mse)

    def _candidates(self, search: Search, arrangement: Arrangement) -> Iterator[Arrangement]:
        yield arrangement
        if search.best is not None and search.best[1] != arrangement:
            yield search.best[1]

    def _others(self, arrangement: Arrangement, setting: Setting, mse: float) -> Iterator[tuple[Setting, float]]:
        """Settings that explain the same arrangement better, on a share of the rows, then on all of them."""
        if mse <= self.problem.solved_below:
            return
        for other in self.choices:
            if other != setting:
                problem = self.suppose(other)
                error = problem.mse(arrangement, SCREEN_ROWS)
                self.note(other, error)
                if error < 0.9 * mse:
                    yield other, problem.mse(arrangement, HELD_ROWS)

    def keep(self, setting: Setting, arrangement: Arrangement, mse: float) -> None:
        """Hold an arrangement if it is better than the one held."""
        if self.held is None or mse < self.held.mse:
            self.held = Held(mse, setting, arrangement)


def in_final_order(
    arrangement: Arrangement, scores: Float[np.ndarray, "items items"]
) -> Float[np.ndarray, "blocks blocks"]:
    """Scores rearranged so that the pairs of an arrangement lie on the diagonal."""
    rows, columns = list(arrangement.ins), list(arrangement.outs)
    return np.asarray(scores[np.ix_(rows, columns)], dtype=np.float64)
