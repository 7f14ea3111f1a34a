"""What an average needs to work: statistics of BatchNorms set right by one of the rules, and channels without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reknit.match.averages import shares_of
from reknit.match.computing import Computer
from reknit.match.mend_rules import USUAL, Rule
from reknit.match.parents_moments import as_parents_have, summands
from reknit.match.repair import repairable, repaired
from reknit.match.samples import Samples
from reknit.match.statistics import estimated_again, has_statistics


def mended(
    computer: Computer,
    merged: Mapping[str, np.ndarray],
    parents: Sequence[Mapping[str, np.ndarray]],
    shares: Sequence[float],
    samples: Samples,
    *,
    by_slot: Mapping[str, Sequence[float]] | None = None,
    rule: Rule = USUAL,
) -> dict[str, np.ndarray]:
    """The merged network with its statistics set right on samples, by what its layers have.

    Args:
        computer: runs the module.
        merged: slot -> numbers; not changed.
        parents: the networks it was made from, in one basis.
        shares: of each parent.
        samples: real inputs; targets are not looked at.
        by_slot: pattern of slots -> other shares, as it was merged with. A BatchNorm goes by those of its own slots;
            channels that go through an activation without one are left alone.
        rule: for the statistics of BatchNorms.
    """
    if has_statistics(computer):
        if rule == "batch":
            merged = estimated_again(computer, merged, samples)
        else:
            of_slot = shares_of(list(merged), len(parents), shares, by_slot)
            merged = as_parents_have(computer, merged, parents, lambda slot: of_slot.get(slot, shares), samples)
    return dict(merged) if by_slot else repaired(computer, merged, parents, shares, samples)


def what_is_mended(computer: Computer, *, channels: bool = True, rule: Rule = USUAL) -> str:
    """In words."""
    layers = repairable(computer.skeleton) if channels else ()
    weights, parts = {use.slots["weight"] for use in layers}, []
    if has_statistics(computer):
        parts.append("BatchNorm statistics" + (" (of the batch)" if rule == "batch" else " (as behind the parents')"))
        weights |= set(summands(computer.skeleton) if rule == "parents" else ())
    parts += [f"channels of {len(weights)} layers"] if weights else []
    return " and ".join(parts) or "nothing"
