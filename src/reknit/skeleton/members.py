"""Where the units of a class lie on the axes of the slots."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from reknit.skeleton.units import Units


@dataclass(frozen=True)
class Place:
    """A leaf class on an axis: positions ``start + sum_i(k_i * stride_i) + u * inner + j`` for unit u.

    Attributes:
        leaf: the class.
        start: first position.
        levels: (count, stride) of the repetitions, the outermost first.
        inner: neighbouring positions of one unit.
    """

    leaf: int
    start: int
    levels: tuple[tuple[int, int], ...]
    inner: int


def places(units: Units, node: int) -> Iterator[Place]:
    """All leaf classes of more than one unit on an axis, in the order of their first positions."""
    yield from _walk(units, node, 0, (), 1)


def _walk(units: Units, node: int, start: int, levels: tuple[tuple[int, int], ...], inner: int) -> Iterator[Place]:
    kind = units.kind(node)
    if kind == "leaf":
        if units.size(node) > 1:
            yield Place(units.find(node), start, levels, inner)
    elif kind == "sum":
        for term in units.terms(node):
            yield from _walk(units, term, start, levels, inner)
            start += units.size(term) * inner
    else:
        factors = units.factors(node)
        sizes = [units.size(factor) for factor in factors]
        for k, factor in enumerate(factors):
            stride = inner * math.prod(sizes[k + 1 :])
            yield from _walk(units, factor, start, levels, stride)
            levels = (*levels, (sizes[k], stride))


def repetitions(place: Place, size: int) -> Iterator[tuple[int, int, int]]:
    """The place as (start, outer, gap): one, if its repetitions are evenly spaced, as for all usual networks."""
    merged: list[tuple[int, int]] = []
    for count, stride in place.levels:
        if merged and merged[-1][1] == count * stride:
            merged[-1] = (merged[-1][0] * count, stride)
        else:
            merged.append((count, stride))
    *others, (outer, stride) = merged or [(1, size * place.inner)]
    for steps in itertools.product(*(range(count) for count, _ in others)):
        start = place.start + sum(step * each for step, (_, each) in zip(steps, others, strict=True))
        yield start, outer, stride - size * place.inner
