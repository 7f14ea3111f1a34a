"""What an average needs to work: running statistics estimated again, and channels without a BatchNorm set right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reknit.match.computing import Computer
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
    channels: bool = True,
) -> dict[str, np.ndarray]:
    """The merged network with its statistics set right on samples, by what its layers have.

    Args:
        computer: runs the module.
        merged: slot -> numbers; not changed.
        parents: the networks it was made from, in one basis.
        shares: of each parent.
        samples: real inputs; targets are not looked at.
        channels: whether channels are set right too, or the statistics of BatchNorms alone.
    """
    if has_statistics(computer):
        merged = estimated_again(computer, merged, samples)
    return repaired(computer, merged, parents, shares, samples) if channels else dict(merged)


def what_is_mended(computer: Computer, *, channels: bool = True) -> str:
    """In words."""
    parts = ["BatchNorm statistics"] if has_statistics(computer) else []
    layers = len(repairable(computer.skeleton)) if channels else 0
    parts += [f"channels of {layers} layers"] if layers else []
    return " and ".join(parts) or "nothing"
