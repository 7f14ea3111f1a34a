"""Tensors into the slots around BatchNorms so that inputs cause the running statistics that stand there.

The cost of a placement in nats is that of ``moment_costs`` less the logarithm of what the weights believe. It is
lowered in rounds: from the costs around the present placement every pool is dealt anew by a matching, each slot by
itself, then gains and shifts together with the other one of their norm. A deal is taken whole if the cost of the whole
network falls by it, else its cycles and the best exchanges one by one. Each is tried on the whole network, with its
running statistics dealt anew by what it causes.

Cost: a layer on a part of the rows for every tensor that might stand beside it, and a pass for every deal and move.
Left alone: what is likely by the weights, and running statistics that stand out from all others.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from reknit.solvers.assignment import best_matching
from reknit.wiring.moment_branches import Branch
from reknit.wiring.moment_costs import WHOLE, WORST, Around, MomentCosts, Placement, Row
from reknit.wiring.scale_prior import scale_prior

Move = Mapping[str, tuple[str, str]]
"""Slot -> what it holds, and what it is to hold."""
ROUNDS, TRIED, GAIN = 8, 24, 0.5
"""Rounds at most; moves that are tried in one; nats by which a move has to be better."""
LEAST_BELIEF, LIKELY, CLEAR = 1e-4, 0.9, 6.0
"""The least belief that counts; the belief, and for a running statistic the nats, from which a slot is left alone."""
TOP = 6
"""Gains and shifts of one norm that are tried together."""
SCALE = 3.0
"""What the prior that gains stay near one counts where nothing else is known."""


@dataclass(frozen=True)
class Found:
    """Where a search ended.

    Attributes:
        placement: slot -> tensor.
        cost: in nats, with beliefs.
        before: the cost at the start.
        rows: slot -> what every tensor of its pool would cost there, of slots that norms speak of.
        settled: slots that were left alone, all others staying.
    """

    placement: Mapping[str, str]
    cost: float
    before: float
    rows: Mapping[str, Row]
    settled: frozenset[str]


class MomentSearch:
    """A search for the placement of least cost.

    Args:
        costs: of the network.
        beliefs: slot -> tensor -> chance, by the weights.
        fixed: slots that are never moved.
    """

    def __init__(
        self, costs: MomentCosts, beliefs: Mapping[str, Mapping[str, float]], fixed: frozenset[str] = frozenset()
    ) -> None:
        self.costs = costs
        self.fixed = fixed
        self.beliefs = beliefs
        self.unread = frozenset(slot for pair in _unread(costs) for slot in pair)
        self.priors = {
            slot: np.log(np.maximum([said.get(name, 0.0) for name in costs.column[slot]], LEAST_BELIEF))
            for slot, said in beliefs.items()
            if slot in costs.column
        } | _by_scale(costs, self.unread)

    def run(self, placement: Placement) -> Found:
        """Search from here."""
        before = self.cost(placement)
        held, cost = self._judged(placement)
        around, settled = self._look(held)
        for _ in range(ROUNDS):
            better, lower = self._improved(held, cost, around)
            if lower > cost - GAIN:
                break
            held, cost = better, lower
            around, settled = self._look(held)
        return Found(held, cost, before, around.rows, settled)

    def cost(self, placement: Placement) -> float:
        """Of the whole network, with beliefs."""
        return self._cost(placement, self.costs.statistics(placement, self.costs.pass_(placement, WHOLE)))

    def _cost(self, placement: Placement, statistics: Mapping[str, Row]) -> float:
        column = self.costs.column
        believed = sum(float(row[column[slot][placement[slot]]]) for slot, row in self.priors.items())
        return sum(float(row[column[slot][placement[slot]]]) for slot, row in statistics.items()) - believed

    def _judged(self, placement: Placement) -> tuple[dict[str, str], float]:
        """The cost of a placement, once its running statistics are dealt by what it causes; and that placement."""
        passed = self.costs.pass_(placement, WHOLE)
        rows = self.costs.statistics(placement, passed)
        dealt = self._dealt(placement, rows, {*rows, *self.unread} - self.fixed)
        ways = [(dict(placement), rows), (dealt, self.costs.statistics(dealt, passed))]
        judged = [(self._cost(way, statistics), k) for k, (way, statistics) in enumerate(ways)]
        cost, best = min(judged)
        return ways[best][0], cost

    def _look(self, held: Placement) -> tuple[Around, frozenset[str]]:
        whole = self.costs.pass_(held, WHOLE)
        rows = self.costs.statistics(held, whole)
        settled = set(self.fixed)
        for slot, row in rows.items():
            k = self.costs.column[slot][held[slot]]
            others = np.delete(row, k)
            if others.size and row[k] < others.min() - CLEAR:
                settled.add(slot)
        settled |= {s for s, said in self.beliefs.items() if s not in rows and said.get(held[s], 0.0) >= LIKELY}
        return self.costs.around(held, whole, rows, settled), frozenset(settled)

    def _improved(self, held: dict[str, str], cost: float, around: Around) -> tuple[dict[str, str], float]:
        """A deal of every pool, or as many of its parts as lower the cost."""
        moves: list[Move] = []
        for paired in (False, True):
            rows = self._in_pairs(around) if paired else around.rows
            dealt = self._dealt(held, rows)
            changed = {slot: name for slot, name in dealt.items() if held[slot] != name}
            if changed:
                tried, lower = self._judged(held | changed)
                if lower < cost - GAIN:
                    return tried, lower
            moves += [*self._cycles(held, changed), *self._exchanges(held, rows)]
        for move in moves:
            if time.perf_counter() > self.costs.deadline:
                break
            if any(held[slot] != was for slot, (was, _) in move.items()):
                continue  # another move was made there
            tried, lower = self._judged(held | {slot: name for slot, (_, name) in move.items()})
            if lower < cost - GAIN:
                held, cost = tried, lower
        return held, cost

    def _dealt(self, held: Placement, rows: Mapping[str, Row], loose: Collection[str] | None = None) -> dict[str, str]:
        """Every pool by a matching; slots that nothing speaks of take what is left, or keep their own.

        Args:
            held: what stands in the slots.
            rows: the costs.
            loose: the slots that may change; None: all but the fixed ones.
        """
        found = dict(held)
        for pool in self.costs.pools:
            if len(pool.slots) > 1 and any(slot in rows for slot in pool.slots):
                table = np.stack([self._weighed(slot, held, rows, loose) for slot in pool.slots])
                columns = best_matching(-table)
                found |= {slot: pool.tensors[k] for slot, k in zip(pool.slots, columns.tolist(), strict=True)}
        return found

    def _weighed(
        self, slot: str, held: Placement, rows: Mapping[str, Row], loose: Collection[str] | None = None
    ) -> Row:
        """Costs with beliefs, and a little for what stands there."""
        column = self.costs.column[slot]
        row = rows[slot].copy() if slot in rows else np.zeros(len(column))
        if slot in self.priors:
            row -= self.priors[slot]
        stays = slot in self.fixed if loose is None else slot not in loose
        row[column[held[slot]]] -= 2 * WORST if stays else GAIN
        return row

    def _cycles(self, held: Placement, changed: Mapping[str, str]) -> Iterator[Move]:
        """What a deal changes, in parts that use every tensor once."""
        slot_of = {held[slot]: slot for slot in changed}
        left = set(changed)
        for first in sorted(changed):
            slot, move = first, {}
            while slot in left:
                left.discard(slot)
                move[slot] = (held[slot], changed[slot])
                slot = slot_of[changed[slot]]
            if move:
                yield move

    def _exchanges(self, held: Placement, rows: Mapping[str, Row]) -> list[Move]:
        """Two tensors of a pool, the most promising first."""
        found: list[tuple[float, Move]] = []
        for pool in self.costs.pools:
            slots = [slot for slot in pool.slots if slot in rows]
            if len(slots) < 2:
                continue
            table = np.stack([self._weighed(slot, held, rows) for slot in slots])
            now = table[:, [self.costs.column[slot][held[slot]] for slot in slots]]
            change = now + now.T - now.diagonal()[:, None] - now.diagonal()[None]
            for a, b in zip(*np.nonzero(np.triu(change < GAIN, 1)), strict=True):
                s, t = slots[int(a)], slots[int(b)]
                found.append((float(change[a, b]), {s: (held[s], held[t]), t: (held[t], held[s])}))
        return [move for _, move in sorted(found, key=lambda each: each[0])[:TRIED]]

    def _in_pairs(self, around: Around) -> dict[str, Row]:
        """The costs of gains and shifts if the other one of the norm may change as well."""
        parts = {(each.source, each.part): each for each in self.costs.branches if each.slot in around.rows}
        found = dict(around.rows)
        for (source, part), gain in parts.items():
            shift = parts.get((source, "shift"))
            if part != "gain" or shift is None or time.perf_counter() > self.costs.deadline:
                continue
            gains, shifts = self._best(gain, around), self._best(shift, around)
            table = np.array(
                [[WORST if a == b else self.costs.with_(around, gain, a, b) for b in shifts] for a in gains]
            )
            for each, names, axis in ((gain, gains, 1), (shift, shifts, 0)):
                row = around.rows[each.slot].copy()
                columns = [self.costs.column[each.slot][name] for name in names]
                row[columns] = np.minimum(row[columns], table.min(axis))
                found[each.slot] = row
        return found

    def _best(self, branch: Branch, around: Around) -> list[str]:
        names = list(self.costs.column[branch.slot])
        order = np.argsort(around.rows[branch.slot], kind="stable")[:TOP]
        return list(dict.fromkeys([around.placement[branch.slot], *(names[int(k)] for k in order)]))


def _unread(costs: MomentCosts) -> list[tuple[str, str]]:
    """Gains and shifts of norms behind which no norm measures anything."""
    read = {branch.slot for branch in costs.branches}
    pairs = [(use.slots.get("weight", ""), use.slots.get("bias", "")) for use in costs.norms]
    return [pair for pair in pairs if all(slot in costs.pool_of and slot not in read for slot in pair)]


def _by_scale(costs: MomentCosts, unread: Collection[str]) -> dict[str, Row]:
    """Gains stay near one: all that is known of them."""
    found: dict[str, Row] = {}
    gains = {use.slots.get("weight", "") for use in costs.norms}
    for slot in sorted(unread):
        pool = costs.pool_of[slot]
        prior = scale_prior(pool.slots, gains & set(pool.slots), pool.stacked(costs.tensors).numpy())
        found[slot] = SCALE * prior[pool.slots.index(slot)]
    return found
