"""Recorded inputs without outputs: what they cause inside the network is held against the statistics that it keeps.

A BatchNorm keeps mean and variance of what reached it in training, and inputs like those of the training cause nearly
the same (``moment_search``). That changes the placement by the weights only where

- the skeleton has BatchNorms whose statistics are kept; a transformer has none, and what the Grams of its readers say
  of the covariance of the stream was weaker than the weights alone (docs/wiring.md);
- a placement is found whose variances are those that the inputs cause, within ``DISAGREE``: with inputs of another kind
  (all zeros, noise) there was none, and they are left out;
- the cost that the inputs and the beliefs have together falls.

Nothing becomes certain by it: how far statistics of other inputs may lie from those of the training is not known.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from reknit.evidence.activation_moments import variance_errors
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.written_out_norms import STATISTICS
from reknit.wiring.moment_costs import WHOLE, MomentCosts
from reknit.wiring.moment_search import Found, MomentSearch
from reknit.wiring.pools import Pool
from reknit.wiring.recording import single
from reknit.wiring.weights_placement import WeightsPlacement

DISAGREE = 0.06
"""Median over the norms of the squared difference of log variances from which inputs are left out: variances off by a
factor of 1.28. With the kinds of inputs of the training it was .005, .005, .03 and .05 on four nets; with noise on two
of them .07 to .11, and .07 did no harm, but .095 did."""
DOUBT, MOST = 36.0, 0.97
"""Nats in which the doubt in a slot falls by e, and the most that is believed: channels are not independent, and of two
gammas of EfficientNet-Lite0 the wrong one was preferred by 34 nats."""


@dataclass(frozen=True)
class InputPlacement:
    """What recorded inputs add to the placement by the weights.

    Attributes:
        weights: the placement, with them or, where they were left out, without.
        used: whether they were used.
        remark: in half a sentence, what came of them.
    """

    weights: WeightsPlacement
    used: bool
    remark: str


def place_by_inputs(
    module: nn.Module,
    skeleton: Skeleton,
    pools: Sequence[Pool],
    tensors: Mapping[str, Tensor],
    weights: WeightsPlacement,
    inputs: Sequence[Any],
    *,
    budget: float | None = None,
) -> InputPlacement:
    """Improve a placement by what inputs cause.

    Args:
        module: in eval mode, on the meta device or not.
        skeleton: of the module.
        pools: slots of one shape and the tensors for them; slots without a pool have no effect.
        tensors: by name.
        weights: the placement by the weights.
        inputs: positional arguments of the module; the first axis of every tensor runs over the rows.
        budget: seconds, about; None: no limit.
    """
    deadline = float("inf") if budget is None else time.perf_counter() + budget
    numbers = {name: single(tensor) for name, tensor in tensors.items()}
    costs = MomentCosts(module, skeleton, pools, numbers, tuple(map(single, inputs)), deadline)
    if not costs.norms or any(use.slots[name] not in costs.pool_of for use in costs.norms for name in STATISTICS):
        return InputPlacement(weights, False, "there is no BatchNorm whose statistics they could be held against")
    found = MomentSearch(costs, weights.beliefs, weights.certain).run(weights.placement)
    off = disagreement(costs, found.placement)
    if not off <= DISAGREE:
        times = f"by a factor of {np.exp(np.sqrt(off)):.2g}" if np.isfinite(off) else "by more than any factor"
        return InputPlacement(
            weights, False, f"in no placement are the variances that they cause those kept, but off {times}"
        )
    changed = sum(weights.placement[slot] != name for slot, name in found.placement.items())
    return InputPlacement(_believed(costs, weights, found), True, f"they moved {changed} tensors")


def disagreement(costs: MomentCosts, placement: Mapping[str, str]) -> float:
    """How far the variances that inputs cause are from those in the slots: the median over the norms, squared logs."""
    passed = costs.pass_(placement, WHOLE)
    errors = []
    for use in costs.norms:
        if use.step in passed.norms:
            norm, held = passed.norms[use.step], costs.tensors[placement[use.slots["running_var"]]]
            kept = held.double().numpy()[None]
            errors.append(float(variance_errors(norm.variance.double().numpy(), kept, norm.eps)[0]))
    return float(np.median(errors)) if errors else float("inf")


def _believed(costs: MomentCosts, weights: WeightsPlacement, found: Found) -> WeightsPlacement:
    """The placement with margins in nats and beliefs, where the inputs say anything; nothing more is certain."""
    placement, margins = dict(found.placement), dict(weights.margins)
    beliefs = dict(weights.beliefs)
    moved = {slot for slot, name in placement.items() if weights.placement[slot] != name}
    for slot in moved:
        margins[slot] = 0.0
    for slot, row in found.rows.items():
        k = costs.column[slot][placement[slot]]
        others = np.delete(row, k)
        if not others.size or not np.isfinite(row[k]):
            continue
        margins[slot] = float(others.min() - row[k])
        beliefs[slot] = _belief(placement[slot], tuple(costs.column[slot]), margins[slot])
    kept = {slot for slot in weights.likely if slot not in moved}
    return replace(
        weights,
        placement=placement,
        margins=margins,
        beliefs=beliefs,
        certain=frozenset(slot for slot in weights.certain if slot not in moved),
        likely=frozenset(kept),
    )


def _belief(placed: str, names: Sequence[str], margin: float) -> dict[str, float]:
    """The one that was placed, or else any of the others."""
    half = 0.5 * float(np.exp(-abs(margin) / DOUBT))
    trust = min(MOST, 1 - half if margin > 0 else half)
    others = [name for name in names if name != placed]
    return {placed: trust, **dict.fromkeys(others, (1 - trust) / max(len(others), 1))}
