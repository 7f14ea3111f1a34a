"""Tensors into the slots around BatchNorms so that inputs cause the running statistics that stand there.

The cost of a placement, in nats: over all norms, how far mean and variance of what reaches it are from the vectors in its
slots (``evidence.activation_moments``), less the logarithm of what the weights believe (``weights_placement``). It is
lowered in rounds:

1. one pass; for every slot what every tensor of its shape would cost there, all others staying: of running statistics read
   off the pass, of kernels, biases, gains and shifts by the branch to the next norm (``moment_branches``). A branch is
   compared with the running statistics that fit it best, whichever stand there: those may be wrong, too;
2. a matching in every pool, whole if the cost of the whole network falls by it, else its cycles and the best exchanges one
   by one, each tried on the whole network;
3. gain and shift of one norm at once, where neither alone finds its place while the other is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from reknit.evidence.activation_moments import MEAN_FLOOR, VARIANCE_FLOOR, mean_errors, nats, variance_errors
from reknit.skeleton.skeleton import Skeleton, Use
from reknit.solvers.assignment import best_matching
from reknit.wiring.batch_moments import Passed, watch
from reknit.wiring.batch_norm_units import NORM
from reknit.wiring.moment_branches import Branch, Branches, find_branches, numbers_of
from reknit.wiring.pools import Pool
from reknit.wiring.written_out_norms import STATISTICS

Row = Float[np.ndarray, " pool"]
Placement = Mapping[str, str]
Drift = tuple[Float[np.ndarray, " channels"], Float[np.ndarray, " channels"]]
Move = Mapping[str, tuple[str, str]]
"""Slot -> what it holds, and what it is to hold."""
WHOLE, PART = 2**25, 2**20
"""Numbers in front of all norms: in a pass that is judged, and in one from which branches are recomputed."""
ROUNDS, TRIED, GAIN = 8, 24, 0.5
"""Rounds at most; moves that are tried in one; nats by which a move has to be better."""
LEAST_BELIEF = 1e-4
WORST = 1e3
LIKELY, CLEAR = 0.99, 6.0
"""Belief by the weights, and nats by which a running statistic stands out, from which a slot is left alone."""
TOP = 6
"""Gains and shifts of one norm that are tried in pairs."""


def _before(norms: Sequence[Use]) -> dict[int, int]:
    """The norm before each on its stream: the last one that reads a part of what it reads."""
    found = {}
    for k, use in enumerate(norms):
        for other in norms[:k]:
            if other.sources and set(other.sources) < set(use.sources):
                found[use.step] = other.step
    return found


@dataclass
class MomentSearch:
    """One search.

    Attributes:
        module: in eval mode, on the meta device or not.
        skeleton: of the module.
        pools: slots of one shape and the tensors for them.
        tensors: by name, in float32.
        inputs: positional arguments of the module; the first axis runs over the rows.
        beliefs: slot -> tensor -> chance, by the weights.
        deadline: of ``time.perf_counter``.
    """

    module: nn.Module
    skeleton: Skeleton
    pools: Sequence[Pool]
    tensors: Mapping[str, Tensor]
    inputs: tuple[Any, ...]
    beliefs: Mapping[str, Mapping[str, float]]
    deadline: float = float("inf")
    tried: int = 0
    _stacked: dict[str, Float[np.ndarray, "pool numbers"]] = field(default_factory=dict)
    _costs: dict[tuple[object, ...], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own = {k: v.detach().float() for k, v in self.module.state_dict().items() if not v.is_meta}
        self.pool_of = {slot: pool for pool in self.pools for slot in pool.slots}
        self.norms = [
            use
            for use in self.skeleton.uses
            if use.operation == NORM and {"running_mean", "running_var"} <= use.slots.keys()
        ]
        self.before = _before(self.norms)
        self.branches = [each for each in find_branches(self.skeleton) if self._open(each.slot)]

    def _open(self, slot: str) -> bool:
        return len(self.pool_of[slot].slots) > 1 if slot in self.pool_of else False

    def run(self, placement: Placement) -> tuple[dict[str, str], dict[str, Row]]:
        """The best placement that is found, and the costs of all tensors around it, by slot."""
        held = dict(placement)
        cost = self.cost(held)
        for _ in range(ROUNDS):
            rows = self.rows(held)
            better, lower = self._improved(held, cost, rows)
            if lower > cost - GAIN:
                break
            held, cost = better, lower
            if time.perf_counter() > self.deadline:
                break
        return held, self.rows(held)

    def cost(self, placement: Placement) -> float:
        """Of the whole network."""
        self.tried += 1
        passed = self._pass(placement, WHOLE)
        drifts = self._drifts(placement, passed)
        total = 0.0
        for use in self.norms:
            for argument, row in self._statistics(use.step, passed, drifts).items():
                slot = use.slots[argument]
                total += float(row[self._column(slot, placement[slot])])
        return total - sum(float(self._belief(slot)[self._column(slot, placement[slot])]) for slot in self.beliefs)

    def rows(self, placement: Placement) -> dict[str, Row]:
        """Slot -> what every tensor of its pool would cost there; without slots that no norm speaks of."""
        whole, part = self._pass(placement, WHOLE), self._pass(placement, PART, keep=True)
        values = self._values(placement)
        branches = Branches(self.skeleton, part, values)
        self._drift = drifts = self._drifts(placement, whole)
        found: dict[str, Row] = {}
        for use in self.norms:
            found |= {use.slots[name]: row for name, row in self._statistics(use.step, whole, drifts).items()}
        settled = self._settled(placement, found)
        for branch in self.branches:
            if time.perf_counter() > self.deadline:
                break
            if branch.slot in settled or not branches.understood(branch):
                continue
            free = [name for name in self.pool_of[branch.slot].tensors if name not in settled.values()]
            row = np.full(len(self.pool_of[branch.slot].tensors), WORST)
            for name in free:
                key = (branch.slot, name, *self._context(branch, placement))
                if key not in self._costs:
                    self._costs[key] = self._cost_with(branch, branches, whole, self.tensors[name])
                row[self._column(branch.slot, name)] = self._costs[key]
            found[branch.slot] = row
        self._now_context = {b.layer: tuple(placement[s] for s in self.skeleton.uses[b.layer].slots.values()) for b in self.branches}
        self._now = branches, whole, settled
        return found

    def _settled(self, placement: Placement, rows: Mapping[str, Row]) -> dict[str, str]:
        """Slots that are not dealt anew: likely by the weights, and running statistics that stand out."""
        likely = {s: placement[s] for s, said in self.beliefs.items() if said.get(placement[s], 0.0) >= LIKELY}
        found = {}
        for slot, row in rows.items():
            column = self._column(slot, placement[slot])
            others = np.delete(row, column)
            if others.size and row[column] < others.min() - CLEAR:
                found[slot] = placement[slot]
        return {**{slot: name for slot, name in likely.items() if slot not in rows}, **found}

    def _cost_with(self, branch: Branch, branches: Branches, whole: Passed, tensor: Tensor, shift: Tensor | None = None) -> float:
        """At the norm behind a branch, against the statistics that fit best there."""
        if branch.part == "gain" and float((tensor < 0).float().mean()) > 0.1:  # noqa: PLR2004  see may_scale
            return WORST
        mean, variance = branches.moments_with(branch, tensor, shift)
        norm, before = whole.norms[branch.norm], branches.passed.norms[branch.norm]
        mean = norm.mean + mean - before.mean  # a part of the rows tells of differences
        variance = norm.variance * (variance + 1e-12) / (before.variance + 1e-12)
        return sum(float(row.min()) for row in self._against(branch.norm, mean, variance, norm.eps, self._drift).values())

    def _context(self, branch: Branch, placement: Placement) -> tuple[str, ...]:
        """What else the costs of a branch depend on most: the other tensors on it."""
        steps = {branch.source, branch.layer} - {None}
        slots = {slot for step in steps if step is not None for slot in self.skeleton.uses[step].slots.values()}
        return tuple(placement.get(slot, "") for slot in sorted(slots - {branch.slot}))

    def _drifts(self, placement: Placement, passed: Passed) -> dict[int, Drift]:
        """How far the statistics measured at each norm are from those in its slots."""
        found = {}
        for use in self.norms:
            if use.step in passed.norms:
                norm = passed.norms[use.step]
                held = (self.tensors[placement[use.slots[name]]].double().numpy() for name in STATISTICS)
                mean, variance = held
                logs = np.log((norm.variance.double().numpy() + norm.eps) / np.maximum(variance + norm.eps, norm.eps))
                found[use.step] = norm.mean.double().numpy() - mean, logs
        return found

    def _statistics(self, step: int, passed: Passed, drifts: Mapping[int, Drift]) -> dict[str, Row]:
        norm = passed.norms.get(step)
        return {} if norm is None else self._against(step, norm.mean, norm.variance, norm.eps, drifts)

    def _against(
        self, step: int, mean: Tensor, variance: Tensor, eps: float, drifts: Mapping[int, Drift]
    ) -> dict[str, Row]:
        """Argument of the norm -> what every tensor of its pool would cost there.

        On a stream a norm sees what the one before it saw and a summand more. What was off before is off again, so a
        vector may fit either what was measured, or that less what was off at the norm before.
        """
        slots = self.skeleton.uses[step].slots
        m, v = mean.double().numpy(), variance.double().numpy()
        means = mean_errors(m, v, self._vectors(slots["running_mean"]))
        variances = variance_errors(v, self._vectors(slots["running_var"]), eps)
        if self.before.get(step) in drifts:
            mean_off, logs_off = drifts[self.before[step]]
            shifted = np.maximum((v + eps) * np.exp(-logs_off) - eps, 0.0)
            means = np.minimum(means, mean_errors(m - mean_off, v, self._vectors(slots["running_mean"])))
            variances = np.minimum(variances, variance_errors(shifted, self._vectors(slots["running_var"]), eps))
        return {
            "running_mean": nats(means, len(m), MEAN_FLOOR),
            "running_var": np.where(np.isfinite(variances), nats(variances, len(m), VARIANCE_FLOOR), WORST),
        }

    def _vectors(self, slot: str) -> Float[np.ndarray, "pool numbers"]:
        pool = self.pool_of[slot]
        if pool.slots[0] not in self._stacked:
            self._stacked[pool.slots[0]] = pool.stacked(self.tensors).double().numpy()
        return self._stacked[pool.slots[0]]

    def _column(self, slot: str, name: str) -> int:
        return self.pool_of[slot].tensors.index(name)

    def _belief(self, slot: str) -> Row:
        said, names = self.beliefs[slot], self.pool_of[slot].tensors
        return np.log(np.maximum([said.get(name, 0.0) for name in names], LEAST_BELIEF))

    def _values(self, placement: Placement) -> dict[str, Tensor]:
        empty = {s.key: torch.zeros(s.shape) for s in self.skeleton.slots if s.key not in placement}
        return {**empty, **self.own, **{slot: self.tensors[name] for slot, name in placement.items()}}

    def _pass(self, placement: Placement, most: int, *, keep: bool = False) -> Passed:
        """One pass over as many rows as have about so many numbers in front of all norms."""
        rows = len(self.inputs[0])
        if not hasattr(self, "_each"):
            one = watch(self.module, self.skeleton, self._values(placement), self._some(1))
            self._each = max(numbers_of(one), 1)
        count = max(1, min(rows, most // self._each))
        return watch(self.module, self.skeleton, self._values(placement), self._some(count), keep=keep)

    def _some(self, rows: int) -> tuple[Any, ...]:
        return tuple(x[:rows] if isinstance(x, Tensor) else x for x in self.inputs)

    def _improved(
        self, held: dict[str, str], cost: float, rows: Mapping[str, Row]
    ) -> tuple[dict[str, str], float]:
        """The matching of every pool, or as many of its parts as lower the cost."""
        moves: list[Move] = []
        for deal in (rows, self._in_pairs(held, rows)):
            matched = self._matched(held, deal)
            whole = {slot: name for slot, name in matched.items() if held[slot] != name}
            if not whole:
                continue
            lower = self.cost(held | whole)
            if lower < cost - GAIN:
                return held | whole, lower
            moves += self._cycles(held, whole)
            moves += self._exchanges(held, deal)
        for move in moves:
            if time.perf_counter() > self.deadline:
                break
            if any(held[slot] != was for slot, (was, _) in move.items()):
                continue  # another move was made there
            tried = held | {slot: name for slot, (_, name) in move.items()}
            lower = self.cost(tried)
            if lower < cost - GAIN:
                held, cost = tried, lower
        return held, cost

    def _matched(self, held: Placement, rows: Mapping[str, Row]) -> dict[str, str]:
        """Every pool dealt anew by the costs; slots that nothing speaks of take what is left, or keep their own."""
        found = dict(held)
        for pool in self.pools:
            if len(pool.slots) > 1 and any(slot in rows for slot in pool.slots):
                table = np.stack([self._weighed(slot, held, rows) for slot in pool.slots])
                columns = best_matching(-table)
                found |= {slot: pool.tensors[k] for slot, k in zip(pool.slots, columns.tolist(), strict=True)}
        return found

    def _weighed(self, slot: str, held: Placement, rows: Mapping[str, Row]) -> Row:
        """Costs with beliefs, and a little for what stands there."""
        row = rows[slot].copy() if slot in rows else np.zeros(len(self.pool_of[slot].tensors))
        if slot in self.beliefs:
            row -= self._belief(slot)
        row[self._column(slot, held[slot])] -= GAIN
        return row

    def _cycles(self, held: Placement, new: Mapping[str, str]) -> Iterator[Move]:
        """What a matching changes, in parts that use every tensor once."""
        slot_of = {name: slot for slot, name in held.items() if slot in new}
        left = set(new)
        for first in sorted(left):
            slot, move = first, {}
            while slot in left:
                left.discard(slot)
                move[slot] = (held[slot], new[slot])
                slot = slot_of[new[slot]]
            if len(move) > 1:
                yield move

    def _exchanges(self, held: Placement, rows: Mapping[str, Row]) -> list[Move]:
        """Two tensors of a pool, the most promising first."""
        found: list[tuple[float, Move]] = []
        for pool in self.pools:
            slots = [slot for slot in pool.slots if slot in rows]
            if len(slots) > 1:
                table = np.stack([self._weighed(slot, held, rows) for slot in slots])
                columns = [self._column(slot, held[slot]) for slot in slots]
                now = table[:, columns]
                change = now + now.T - now.diagonal()[:, None] - now.diagonal()[None]
                for a, b in zip(*np.nonzero(np.triu(change < GAIN, 1)), strict=True):
                    s, t = slots[int(a)], slots[int(b)]
                    found.append((float(change[a, b]), {s: (held[s], held[t]), t: (held[t], held[s])}))
        return [move for _, move in sorted(found, key=lambda each: each[0])[:TRIED]]

    def _in_pairs(self, held: Placement, rows: Mapping[str, Row]) -> dict[str, Row]:
        """The costs of gains and shifts if the other one of the norm may change as well."""
        branches, whole, settled = self._now
        parts = {(each.source, each.part): each for each in self.branches if each.slot in rows}
        found = dict(rows)
        for (source, part), gain in parts.items():
            shift = parts.get((source, "shift"))
            if part != "gain" or shift is None or time.perf_counter() > self.deadline:
                continue
            gains, shifts = (self._best(each.slot, held, rows) for each in (gain, shift))
            table = np.array([[self._pair(gain, shift, a, b, branches, whole) for b in shifts] for a in gains])
            for each, names, axis in ((gain, gains, 1), (shift, shifts, 0)):
                row = rows[each.slot].copy()
                columns = [self._column(each.slot, name) for name in names]
                row[columns] = np.minimum(row[columns], table.min(axis))
                found[each.slot] = row
        return found

    def _best(self, slot: str, held: Placement, rows: Mapping[str, Row]) -> list[str]:
        names = self.pool_of[slot].tensors
        return list(dict.fromkeys([held[slot], *(names[int(k)] for k in np.argsort(rows[slot])[:TOP])]))

    def _pair(self, gain: Branch, shift: Branch, one: str, other: str, branches: Branches, whole: Passed) -> float:
        key = (gain.slot, one, other, self._now_context[gain.layer])
        if one == other:
            return WORST
        if key not in self._costs:
            tensors = self.tensors[one], self.tensors[other]
            self._costs[key] = self._cost_with(gain, branches, whole, *tensors)
        return self._costs[key]
