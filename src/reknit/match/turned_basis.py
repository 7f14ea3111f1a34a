"""A change of basis by rotations and permutations, as one value that can be applied to a network.

The network is settled (gains folded, ``skeleton.stream_gauge``), turned and permuted step by step, and given the gains,
shifts and unseen parts of the network whose basis it is brought into. So that one stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from reknit.skeleton.rotation import Rotation
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.stream_gauge import StreamGauge
from reknit.skeleton.symmetry import Permutation, Symmetry

Tensors = Mapping[str, np.ndarray]
Step = Rotation | Symmetry


@dataclass(frozen=True, eq=False)
class TurnedBasis:
    """What brings a network into another one's basis.

    Attributes:
        skeleton: of both.
        gauges: of the streams that are turned.
        steps: rotations and permutations, in this order.
        like: the tensors of the network whose basis it is.
        not_turned: groups of axes that a rotation might have been thought to turn, and why none does.
    """

    skeleton: Skeleton
    gauges: tuple[StreamGauge, ...]
    steps: tuple[Step, ...]
    like: Tensors = field(repr=False)
    not_turned: Mapping[str, str] = field(default_factory=dict)

    @property
    def permutations(self) -> tuple[Permutation, ...]:
        """All permutations taken together."""
        moved = [step for step in self.steps if isinstance(step, Symmetry)]
        return reduce(Symmetry.then, moved, Symmetry(self.skeleton, ())).permutations

    @property
    def turned(self) -> tuple[str, ...]:
        """The names of the groups that are turned."""
        return tuple(dict.fromkeys(step.group for step in self.steps if isinstance(step, Rotation)))

    @property
    def defect(self) -> float:
        """The largest defect of a rotation."""
        return max((step.defect for step in self.steps if isinstance(step, Rotation)), default=0.0)

    @property
    def said(self) -> str:
        """How many groups are turned, and why the largest stream is not, if it is not."""
        names = {group.name: len(group.members) for group in self.skeleton.groups}
        largest = max(names, key=lambda name: names[name])
        rest = f"; {largest} is not: {self.not_turned[largest]}" if largest in self.not_turned else ""
        return f"{len(self.turned)} groups{rest}"

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))

    def apply(self, tensors: Tensors) -> dict[str, np.ndarray]:
        """The network in the other one's basis; numbers of half precision become float32."""
        found = settled(self.gauges, tensors)
        for step in self.steps:
            found = step.apply(found)
        for gauge in self.gauges:
            found = gauge.restore(found, self.like)
        return {key: value.astype(_at_least_single(tensors[key])) for key, value in found.items()}

    def as_json(self) -> dict[str, object]:
        """The part of the object that ``--json`` prints."""
        return {
            "said": self.said,
            "turned": list(self.turned),
            "defect": self.defect,
            "not_turned": dict(self.not_turned),
        }


def settled(gauges: Sequence[StreamGauge], tensors: Tensors) -> dict[str, np.ndarray]:
    """A network with its gains folded, in float64."""
    found = {key: value.astype(np.float64) if value.dtype.kind == "f" else value for key, value in tensors.items()}
    for gauge in gauges:
        found = gauge.settle(found)
    return found


def _at_least_single(tensor: np.ndarray) -> np.dtype[np.generic]:
    return np.dtype(np.float32) if tensor.dtype == np.float16 else tensor.dtype
