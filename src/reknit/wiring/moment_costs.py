"""What tensors cost in the slots around BatchNorms: how far the running statistics are from those that inputs cause.

Of running means and variances every tensor is compared with what one pass measured (``batch_moments``); of kernels,
biases, gains and shifts the branch to the next norm is computed again with every tensor (``moment_branches``) and
compared with the running statistics that fit best there, whichever stand there: those may be wrong, too.

On a stream a norm sees what the norm before it saw, and a summand more. What was off before is off again, so a vector
may fit either what was measured, or that less what is off at the norm before.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from reknit.evidence.activation_moments import MEAN_FLOOR, VARIANCE_FLOOR, mean_errors, nats, variance_errors
from reknit.evidence.batch_norm_vectors import may_scale
from reknit.skeleton.skeleton import Skeleton, Use
from reknit.skeleton.written_out_norms import STATISTICS
from reknit.wiring.batch_moments import Passed, cut, numbers_of, watch
from reknit.wiring.batch_norm_units import NORM
from reknit.wiring.moment_branches import Branch, Branches, find_branches
from reknit.wiring.pools import Pool

Row = Float[np.ndarray, " pool"]
Vector = Float[np.ndarray, " channels"]
Placement = Mapping[str, str]
WHOLE, PART = 2**28, 2**21
"""Numbers in front of all norms: in a pass that is judged, and in one from which branches are recomputed."""
LONG = 2
"""How much longer than wanted a row is before only its middle is taken."""
WORST = 1e3


class Off(NamedTuple):
    """How far what was measured at a norm is from what stands in its slots.

    Attributes:
        mean: measured less stored.
        log_variance: the same of the logarithms.
    """

    mean: Vector
    log_variance: Vector


@dataclass(frozen=True)
class Around:
    """The costs around one placement.

    Attributes:
        rows: slot -> what every tensor of its pool would cost there, in nats; not of slots that no norm speaks of.
        branches: of the pass over a part of the rows.
        whole: the pass over all of them.
        off: step of a norm -> how far its statistics are off.
        placement: what stands in the slots.
    """

    rows: Mapping[str, Row]
    branches: Branches
    whole: Passed
    off: Mapping[int, Off]
    placement: Placement


class MomentCosts:
    """The costs of one network.

    Args:
        module: in eval mode, on the meta device or not.
        skeleton: of the module.
        pools: slots of one shape and the tensors for them.
        tensors: by name, in float32.
        inputs: positional arguments of the module; the first axis runs over the rows.
        deadline: of ``time.perf_counter``; behind it, branches are no longer computed.
    """

    def __init__(
        self,
        module: nn.Module,
        skeleton: Skeleton,
        pools: Sequence[Pool],
        tensors: Mapping[str, Tensor],
        inputs: tuple[Any, ...],
        deadline: float = float("inf"),
    ) -> None:
        self.module, self.skeleton, self.pools = module, skeleton, pools
        self.tensors, self.inputs, self.deadline = tensors, inputs, deadline
        self.pool_of = {slot: pool for pool in pools for slot in pool.slots}
        self.column = {slot: {name: k for k, name in enumerate(pool.tensors)} for slot, pool in self.pool_of.items()}
        self.norms = [use for use in skeleton.uses if use.operation == NORM and set(STATISTICS) <= use.slots.keys()]
        self.before = _before(self.norms)
        self.branches = [
            each
            for each in find_branches(skeleton)
            if each.slot in self.pool_of and len(self.pool_of[each.slot].slots) > 1
        ]
        self._own = {k: v.detach().float() for k, v in module.state_dict().items() if not v.is_meta}
        self._stacked: dict[str, Float[np.ndarray, "pool numbers"]] = {}
        self._costs: dict[tuple[str, ...], float] = {}
        self._each = 0

    def of(self, placement: Placement) -> float:
        """What all running statistics cost, in nats."""
        rows = self.statistics(placement, self.pass_(placement, WHOLE))
        return sum(float(row[self.column[slot][placement[slot]]]) for slot, row in rows.items())

    def statistics(self, placement: Placement, passed: Passed) -> dict[str, Row]:
        """Slot of a running mean or variance -> what every tensor would cost there."""
        off = self._off(placement, passed)
        found: dict[str, Row] = {}
        for use in self.norms:
            if use.step in passed.norms:
                norm = passed.norms[use.step]
                costs = self._against(use, norm.mean, norm.variance, norm.eps, off)
                found |= {use.slots[name]: row for name, row in costs.items()}
        return found

    def around(self, placement: Placement, whole: Passed, rows: Mapping[str, Row], settled: Collection[str]) -> Around:
        """The costs of kernels, biases, gains and shifts as well.

        Args:
            placement: what stands in the slots.
            whole: a pass with it.
            rows: those of ``statistics``.
            settled: slots that are left alone; what they hold is tried nowhere else.
        """
        part = self.pass_(placement, PART, keep=True)
        branches = Branches(self.skeleton, part, self.values(placement))
        around = Around({}, branches, whole, self._off(placement, whole), placement)
        found = dict(rows)
        taken = {placement[slot] for slot in settled}
        for branch in self.branches:
            if time.perf_counter() > self.deadline:
                break
            if branch.slot in settled or not branches.understood(branch):
                continue
            row = np.full(len(self.pool_of[branch.slot].tensors), WORST)
            for name, k in self.column[branch.slot].items():
                if name not in taken:
                    row[k] = self.with_(around, branch, name)
            found[branch.slot] = row
        return Around(found, branches, whole, around.off, placement)

    def with_(self, around: Around, branch: Branch, name: str, shift: str | None = None) -> float:
        """What a tensor in the slot of a branch would cost at the norm behind it; beside a gain, with another shift."""
        key = (branch.slot, name, shift or "", *self._beside(branch, around.placement))
        if key not in self._costs:
            self._costs[key] = self._computed(around, branch, name, shift)
        return self._costs[key]

    def _computed(self, around: Around, branch: Branch, name: str, shift: str | None) -> float:
        tensor = self.tensors[name]
        if branch.part == "gain" and not may_scale(tensor.numpy()):
            return WORST
        mean, variance = around.branches.moments_with(branch, tensor, None if shift is None else self.tensors[shift])
        norm, part = around.whole.norms[branch.norm], around.branches.passed.norms[branch.norm]
        mean = norm.mean + mean - part.mean  # a part of the rows tells of differences
        variance = norm.variance * (variance + 1e-12) / (part.variance + 1e-12)
        use = self.skeleton.uses[branch.norm]
        return sum(float(row.min()) for row in self._against(use, mean, variance, norm.eps, around.off).values())

    def _beside(self, branch: Branch, placement: Placement) -> tuple[str, ...]:
        """The other tensors on a branch: what its costs depend on most."""
        steps = [branch.layer, *([] if branch.source is None else [branch.source])]
        slots = {slot for step in steps for slot in self.skeleton.uses[step].slots.values()} - {branch.slot}
        return tuple(placement.get(slot, "") for slot in sorted(slots))

    def _off(self, placement: Placement, passed: Passed) -> dict[int, Off]:
        found = {}
        for use in self.norms:
            if use.step in passed.norms:
                norm = passed.norms[use.step]
                mean, variance = (self.tensors[placement[use.slots[name]]].double().numpy() for name in STATISTICS)
                measured = norm.variance.double().numpy() + norm.eps
                logs = np.log(measured / np.maximum(variance + norm.eps, norm.eps))
                found[use.step] = Off(norm.mean.double().numpy() - mean, logs)
        return found

    def _against(self, use: Use, mean: Tensor, variance: Tensor, eps: float, off: Mapping[int, Off]) -> dict[str, Row]:
        """Argument of a norm -> what every tensor of its pool would cost there."""
        m, v = mean.double().numpy(), variance.double().numpy()
        means, variances = (self._vectors(use.slots[name]) for name in STATISTICS)
        mean_error, variance_error = mean_errors(m, v, means), variance_errors(v, variances, eps)
        if self.before.get(use.step) in off:
            before = off[self.before[use.step]]
            shifted = np.maximum((v + eps) * np.exp(-before.log_variance) - eps, 0.0)
            mean_error = np.minimum(mean_error, mean_errors(m - before.mean, v, means))
            variance_error = np.minimum(variance_error, variance_errors(shifted, variances, eps))
        possible = np.isfinite(variance_error)
        return {
            "running_mean": nats(mean_error, len(m), MEAN_FLOOR),
            "running_var": np.where(possible, nats(variance_error, len(m), VARIANCE_FLOOR), WORST),
        }

    def _vectors(self, slot: str) -> Float[np.ndarray, "pool numbers"]:
        pool = self.pool_of[slot]
        if pool.slots[0] not in self._stacked:
            self._stacked[pool.slots[0]] = pool.stacked(self.tensors).double().numpy()
        return self._stacked[pool.slots[0]]

    def values(self, placement: Placement) -> dict[str, Tensor]:
        """Slot -> numbers; zeros in slots without effect that have none."""
        empty = {s.key: torch.zeros(s.shape) for s in self.skeleton.slots if s.key not in placement}
        return {**empty, **self._own, **{slot: self.tensors[name] for slot, name in placement.items()}}

    def pass_(self, placement: Placement, most: int, *, keep: bool = False) -> Passed:
        """One pass over as many rows as have about so many numbers in front of all norms; of long rows a part."""
        values = self.values(placement)
        if not self._each:
            one = watch(self.module, self.skeleton, values, self._some(1))
            self._each = max(numbers_of(one), 1)
        inputs = self._some(max(1, min(len(self.inputs[0]), most // self._each)))
        if keep and self._each > LONG * most:
            try:
                return watch(self.module, self.skeleton, values, cut(inputs, most / self._each), keep=True)
            except (RuntimeError, IndexError):  # it takes rows of one length alone
                pass
        return watch(self.module, self.skeleton, values, inputs, keep=keep)

    def _some(self, rows: int) -> tuple[Any, ...]:
        return tuple(x[:rows] if isinstance(x, Tensor) else x for x in self.inputs)


def _before(norms: Sequence[Use]) -> dict[int, int]:
    """The norm before each on its stream: the last one that reads a part of what it reads."""
    found = {}
    for k, use in enumerate(norms):
        for other in norms[:k]:
            if other.sources and set(other.sources) < set(use.sources):
                found[use.step] = other.step
    return found
