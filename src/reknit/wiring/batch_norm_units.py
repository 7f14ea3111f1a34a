"""Chains of residual units with BatchNorm in a traced skeleton: which slots stand where, read off what feeds what.

A unit is what is added to the stream: its last operation is the newest source of some use, and going back from it, one
source at a time, leads to an operation that reads the other sources of that use. Units follow each other where one
reads what the other left. Where a stage begins nothing is added, and the graph alone does not say where the unit
starts: there it is taken to be as long as the units that it feeds.

    use 5 reads uses (0, 4)        unit 1..4: 4 is the newest, 3 <- 2 <- 1 reads (0,), what is left of (0, 4)

No name of a slot is looked at. Left out: units that do not alternate convolutions (or linear layers) with BatchNorms,
grouped convolutions other than channel by channel, activations of which no moments are known.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from reknit.evidence.batch_norm_pieces import Unit
from reknit.skeleton.skeleton import Skeleton, Use

LAYERS = frozenset({"conv1d", "conv2d", "conv3d", "linear"})
NORM = "batch_norm"
FIELDS = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
"""What the vectors of a norm are called in the evidence and by torch."""
UNKNOWN = "unknown"
MOMENTS = {
    "": "identity",
    "relu": "relu",
    "relu6": "relu6",
    "hardswish": "hard-swish",
    "silu": "silu",
    "gelu": "gelu",
    "tanh": "tanh",
}
"""Activations, by torch's name, of which the evidence knows the moments, and what they are called there."""


@dataclass(frozen=True)
class UnitSlots:
    """The operations of one unit, in the order of the forward pass.

    Attributes:
        uses: convolutions and norms in turn.
        shape: how they follow each other.
    """

    uses: tuple[Use, ...]
    shape: Unit

    @property
    def layers(self) -> tuple[Use, ...]:
        """Its convolutions."""
        return tuple(use for use in self.uses if use.operation in LAYERS)

    @property
    def norms(self) -> tuple[Use, ...]:
        """Its norms."""
        return tuple(use for use in self.uses if use.operation == NORM)


@dataclass(frozen=True)
class UnitChain:
    """Units that follow each other on one stream.

    Attributes:
        units: in the order of the forward pass, two at least.
        start: the norm behind which the stream begins, where the convolution comes first; None: several, or unknown.
        start_activation: between that norm and the first unit.
        end: the norm that reads the stream behind all units, where norms come first and there is one.
    """

    units: tuple[UnitSlots, ...]
    start: Use | None
    start_activation: str
    end: Use | None = None

    @property
    def from_input(self) -> bool:
        """Whether the first unit reads the input of the network and leaves nothing of it in the stream."""
        return not self.units[0].uses[0].sources and not self.units[0].shape.adds

    @property
    def eps(self) -> float:
        """What the norms add to a variance."""
        eps = (self.units[0].norms[0].details or {}).get("eps")
        return float(eps) if isinstance(eps, int | float) else 1e-5

    def slot(self, field: str, unit: int, layer: int) -> str | None:
        """The slot of a field of the books: ``kernel``, ``bias``, ``gamma``, ...; None if there is none."""
        if unit == len(self.units):
            return None if self.end is None or field not in FIELDS else self.end.slots.get(FIELDS[field])
        one = self.units[unit]
        if field in FIELDS:
            return one.norms[layer].slots.get(FIELDS[field])
        return one.layers[layer].slots.get("weight" if field == "kernel" else "bias")


def find_chains(skeleton: Skeleton) -> tuple[UnitChain, ...]:
    """All chains of two units or more; no slot is in two of them."""
    added = list(_added(skeleton))
    found = {unit[0].step: unit for unit in added}
    for unit in added:
        for before in _not_added(skeleton, unit):
            found.setdefault(before[0].step, before)
    sums = {unit[0].step for unit in added}
    return tuple(_chains(skeleton, [found[step] for step in sorted(found)], sums))


def _added(skeleton: Skeleton) -> Iterator[tuple[Use, ...]]:
    """The units whose result is added to what they read."""
    seen: set[int] = set()
    for use in skeleton.uses:
        if len(use.sources) < 2 or use.sources[-1] in seen:
            continue
        rest, last = use.sources[:-1], use.sources[-1]
        path = _back(skeleton, last)
        heads = [k for k, each in enumerate(path) if each.sources == rest]
        if heads and _alternates(path[heads[0] :]):
            seen.add(last)
            yield path[heads[0] :]


def _back(skeleton: Skeleton, step: int) -> tuple[Use, ...]:
    """What leads to a use, one source at a time, in the order of the forward pass; it begins where sources meet."""
    path = [skeleton.uses[step]]
    while len(path[0].sources) == 1:
        path.insert(0, skeleton.uses[path[0].sources[0]])
    return tuple(path)


def _alternates(unit: tuple[Use, ...]) -> bool:
    """Whether convolutions and norms stand in turn, each all there, and none is grouped but channel by channel."""
    kinds = [use.operation == NORM for use in unit]
    if len(unit) % 2 or any(a == b for a, b in itertools.pairwise(kinds)):
        return False
    for use in unit:
        if use.operation == NORM:
            if not set(FIELDS.values()) <= use.slots.keys():
                return False
        elif use.operation not in LAYERS or "weight" not in use.slots:
            return False
    return True


def _not_added(skeleton: Skeleton, unit: tuple[Use, ...]) -> Iterator[tuple[Use, ...]]:
    """The units before one that reads a single source: as long as it is, back to where sources meet, or to the input.

    The first may begin with the convolution that reads the input itself.
    """
    size, head = len(unit), unit[0]
    while unit[0].operation != NORM and len(head.sources) == 1:
        path = _back(skeleton, head.sources[0])[-size:]
        if len(path) < size or [u.operation for u in path] != [u.operation for u in unit]:
            return
        if not _alternates(path):
            return
        yield path
        head = path[0]


def _chains(skeleton: Skeleton, units: list[tuple[Use, ...]], sums: set[int]) -> Iterator[UnitChain]:
    """Units in a row: each reads what the one before it left."""
    taken: set[int] = set()
    for first in units:
        if first[0].step in taken:
            continue
        row = [first]
        while True:
            last = row[-1]
            left = {*last[0].sources, last[-1].step} if last[0].step in sums else {last[-1].step}
            behind = [unit for unit in units if set(unit[0].sources) == left and len(unit) == len(first)]
            behind = behind or _at_the_end(skeleton, left, last)
            if not behind or behind[0][0].step in taken:
                break
            row.append(behind[0])
        taken |= {unit[0].step for unit in row}
        chain = _chain(skeleton, row, sums, left)
        if chain is not None and len(row) > 1:
            yield chain


def _at_the_end(skeleton: Skeleton, left: set[int], like: tuple[Use, ...]) -> list[tuple[Use, ...]]:
    """A unit that reads what is left and is not added to it: as long as the one before it."""
    heads = [use for use in skeleton.uses if set(use.sources) == left and use.operation == like[0].operation]
    if len(heads) != 1 or like[0].operation == NORM:
        return []
    path = [heads[0]]
    while len(path) < len(like):
        behind = [use for use in skeleton.uses if use.sources == (path[-1].step,)]
        if len(behind) != 1 or behind[0].operation != like[len(path)].operation:
            return []
        path.append(behind[0])
    return [tuple(path)] if _alternates(tuple(path)) else []


def _chain(skeleton: Skeleton, row: list[tuple[Use, ...]], sums: set[int], left: set[int]) -> UnitChain | None:
    inside = {_activation(use) for unit in row for use in unit[1:] if use.operation in LAYERS}
    stream = {_activation(unit[0]) for unit in row[1:]}
    bent = {_activation(use) for unit in row for use in unit if use.operation == NORM and use.step != unit[0].step}
    if bent != {"identity"} or len(inside) != 1 or len(stream) != 1 or UNKNOWN in inside | stream:
        return None
    if row[0][0].operation == NORM and stream != {"identity"}:
        return None
    slots = [
        UnitSlots(
            unit,
            Unit(
                tuple(skeleton[use.slots["weight"]].shape for use in unit if use.operation in LAYERS),
                unit[0].operation == NORM,
                next(iter(inside)),
                next(iter(stream)),
                unit[0].step in sums,
            ),
        )
        for unit in row
    ]
    if any(not _whole(skeleton, use) for unit in row for use in unit if use.operation in LAYERS):
        return None
    sources = [skeleton.uses[step] for step in row[0][0].sources]
    start = sources[0] if len(sources) == 1 and sources[0].operation == NORM else None
    readers = [use for use in skeleton.uses if use.operation == NORM and set(use.sources) == left and not use.bent]
    whole = [use for use in readers if set(FIELDS.values()) <= use.slots.keys()]
    end = whole[0] if len(whole) == 1 and row[0][0].operation == NORM else None
    return UnitChain(tuple(slots), start, _activation(row[0][0]), end)


def _whole(skeleton: Skeleton, use: Use) -> bool:
    """Whether a convolution mixes all channels, or none."""
    groups = (use.details or {}).get("groups", 1)
    return groups == 1 or skeleton[use.slots["weight"]].shape[1] == 1


def _activation(use: Use) -> str:
    """What lies between a use and its sources; several functions are named together, and so are unknown."""
    return MOMENTS.get(" ".join(use.bent), UNKNOWN)
