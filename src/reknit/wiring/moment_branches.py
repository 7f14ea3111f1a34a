"""From a slot to the next BatchNorm: what a different tensor there would make of its mean and variance.

    norm j --gain, shift--> f --> layer c --kernel, bias--> sum --> norm k

A branch is recomputed alone, from what one forward pass left (``batch_moments.watch``): the layer on a sum in which one
summand is exchanged, and the norm on a sum in which the layer's answer is. Whether the network is such a sum there is
not taken from the skeleton on trust: it is computed from the summands and compared, and a branch that does not
reproduce what was seen is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from reknit.skeleton.skeleton import Skeleton, Use
from reknit.wiring.batch_moments import Passed, moments
from reknit.wiring.batch_norm_units import LAYERS, NORM

Part = Literal["kernel", "bias", "gain", "shift"]
BENDS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu6": functional.relu6,
    "hardtanh": functional.relu6,
    "hardswish": functional.hardswish,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
"""Functions of single entries by torch's names; what they do here is compared with what was seen."""
AGREES = 1e-3
"""Largest difference, in units of the largest number, between what was computed again and what was seen."""


@dataclass(frozen=True)
class Branch:
    """A slot and the norm that it reaches first.

    Attributes:
        slot: the key.
        part: what it is.
        source: step of the norm whose gain or shift it is; None for kernels and biases.
        layer: step of the layer.
        norm: step of the norm that is measured.
    """

    slot: str
    part: Part
    source: int | None
    layer: int
    norm: int


def find_branches(skeleton: Skeleton) -> tuple[Branch, ...]:
    """Kernels, biases, gains and shifts behind which a norm measures, in the order of the forward pass."""
    return tuple(_branches(skeleton))


def _branches(skeleton: Skeleton) -> Iterator[Branch]:
    norms = [use for use in skeleton.uses if use.operation == NORM]
    layers = [use for use in skeleton.uses if use.operation in LAYERS]
    behind = {layer.step: next((n.step for n in norms if layer.step in n.sources), None) for layer in layers}
    for use in skeleton.uses:
        if use.operation in LAYERS:
            layer, source, parts = use, None, {"weight": "kernel", "bias": "bias"}
        elif use.operation == NORM:
            reader = next((each for each in layers if use.step in each.sources), None)
            if reader is None:
                continue
            layer, source, parts = reader, use.step, {"weight": "gain", "bias": "shift"}
        else:
            continue
        norm = behind[layer.step]
        for argument, part in parts.items():
            if norm is not None and argument in use.slots:
                yield Branch(use.slots[argument], part, source, layer.step, norm)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Read:
    """What an operation reads: the sum of what its sources gave, bent as a whole or in one summand, and padded.

    Attributes:
        parts: step of a source -> what it gave.
        bend: a function of single entries.
        bent: the source that goes through it alone; None: the sum does.
        padding: zeros around, as ``torch.nn.functional.pad`` has them.
    """

    parts: Mapping[int, Tensor]
    bend: Callable[[Tensor], Tensor]
    bent: int | None
    padding: tuple[int, ...]

    def with_(self, other: Mapping[int, Tensor]) -> Tensor:
        """It, with other summands from some sources."""
        parts = {**self.parts, **other}
        total = sum((self.bend(x) if step == self.bent else x for step, x in parts.items()), torch.zeros(()))
        total = self.bend(total) if self.bent is None else total
        return functional.pad(total, self.padding) if any(self.padding) else total


class Branches:
    """The branches of one forward pass.

    Args:
        skeleton: what is filled.
        passed: the pass, with everything kept.
        values: what stood in the slots.
    """

    def __init__(self, skeleton: Skeleton, passed: Passed, values: Mapping[str, Tensor]) -> None:
        self.uses = {use.step: use for use in skeleton.uses}
        self.passed = passed
        self.values = values
        self._reads: dict[int, Read | None] = {}

    def understood(self, branch: Branch) -> bool:
        """Whether what was seen is computed again from its summands."""
        norm = self.uses[branch.norm]
        if branch.norm not in self.passed.norms or branch.layer not in self.passed.layers:
            return False
        if norm.bent or self._read(norm, self.passed.norms[branch.norm].x) is None:
            return False
        if branch.source is None:
            return True
        return self._read(self.uses[branch.layer], self.passed.layers[branch.layer].x) is not None

    def moments_with(self, branch: Branch, tensor: Tensor, shift: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and variance at the norm, if this tensor stood in the slot; beside a gain a shift may change, too."""
        layer, norm = self.passed.layers[branch.layer], self.passed.norms[branch.norm]
        assert norm.x is not None  # noqa: S101  the pass keeps everything
        if branch.part == "bias":
            return norm.mean + tensor - self.values[branch.slot], norm.variance
        if branch.part == "kernel":
            return moments(norm.x + (layer.run(layer.x, tensor) - layer.y))
        x = self._read_with(branch, tensor, shift)
        weight = self.values[self.uses[branch.layer].slots["weight"]]
        return moments(norm.x + (layer.run(x, weight) - layer.y))

    def _read_with(self, branch: Branch, tensor: Tensor, shift: Tensor | None) -> Tensor:
        """What the layer would read."""
        read = self._reads[branch.layer]
        source = self.uses[branch.source if branch.source is not None else branch.layer]
        norm = self.passed.norms[source.step]
        assert read is not None and norm.x is not None and norm.y is not None  # noqa: S101, PT018
        shape = (1, -1, *[1] * (norm.x.ndim - 2))
        if branch.part == "shift":
            return read.with_({source.step: norm.y + (tensor - self.values[branch.slot]).view(shape)})
        scaled = (norm.x - norm.mean.view(shape)) * (norm.variance + norm.eps).rsqrt().view(shape)
        y = norm.y + scaled * (tensor - self.values[branch.slot]).view(shape)
        if shift is not None:
            y = y + (shift - self.values[source.slots["bias"]]).view(shape)
        return read.with_({source.step: y})

    def _read(self, use: Use, seen: Tensor | None) -> Read | None:
        """How a use reads its sources; None where that is not understood. Kept, as several branches ask."""
        if use.step not in self._reads:
            ways = self._ways(use, seen)
            self._reads[use.step] = next(
                (way for way in ways if seen is not None and _agree(way.with_({}), seen)), None
            )
        return self._reads[use.step]

    def _ways(self, use: Use, seen: Tensor | None) -> Iterator[Read]:
        given = {step: self._gave(step) for step in use.sources}
        parts = {step: part for step, part in given.items() if part is not None}
        bend = _bend(use)
        if seen is None or bend is None or not parts or len(parts) < len(given):
            return
        shape = next(iter(parts.values())).shape
        missing = [wide - narrow for wide, narrow in zip(seen.shape, shape, strict=False)]
        if any(part.shape != shape for part in parts.values()) or seen.ndim != len(shape) or min(missing) < 0:
            return
        padding = tuple(side for more in reversed(missing) for side in (more // 2, more - more // 2))
        for bent in (None, *parts):
            yield Read(parts, bend, bent, padding)

    def _gave(self, step: int) -> Tensor | None:
        if step in self.passed.norms:
            return self.passed.norms[step].y
        return self.passed.layers[step].y if step in self.passed.layers else None


def _agree(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and float((one - other).abs().max()) <= AGREES * float(other.abs().max())


def _bend(use: Use) -> Callable[[Tensor], Tensor] | None:
    if not use.bent:
        return lambda x: x
    return BENDS.get(use.bent[0]) if len(use.bent) == 1 else None
