"""Neighbours of a placement: exchanges and moves, to better the books of a chain and to say how sure they are.

The neighbours are: two seats of a pool with their tensors exchanged, or a seat and a spare tensor; a bundle of seats
exchanged between two units; the units in another order (two exchanged, one moved elsewhere, a run turned over).
``improve`` takes better neighbours until there is none. ``margins`` says of every seat by how much the best neighbour
in which it holds something else is worse.

No optimum is promised, a neighbour is one step away: the start has to be good (``batch_norm_deal``).
Cost: pools of p seats have p^2 / 2 exchanges, a chain of n units about 2 n^2 orders; each costs the entries it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from reknit.evidence.batch_norm_books import FIELDS, Placement

Score = Callable[[Placement], float]


class Place(NamedTuple):
    """Where one tensor stands: a field of the placement, the unit, the layer."""

    field: str
    unit: int
    layer: int


Seat = tuple[Place, ...]


@dataclass(frozen=True)
class Neighbourhood:
    """What may be exchanged and moved.

    Attributes:
        pools: seats whose tensors may be exchanged; a seat's places are filled together, with one number: the four
            vectors of a norm that came as one piece, or one vector alone.
        spares: for every pool, numbers of the tensors of that kind that stand nowhere.
        bundles: sets of equally long lists of places that may be exchanged with each other, place by place: a
            convolution with the norm behind it. Unlike seats they may overlap.
        kinds: what shape each unit has; units are only moved to where one of the same kind stood.
    """

    pools: tuple[tuple[Seat, ...], ...]
    spares: tuple[tuple[int, ...], ...]
    bundles: tuple[tuple[Seat, ...], ...]
    kinds: tuple[int, ...]


class Margins(NamedTuple):
    """How much worse, in nats, the best neighbour is in which something else stands there; infinite without any.

    Attributes:
        seats: for every place that lies in a pool.
        order: for every place in the chain, the best order in which another unit stands there.
    """

    seats: dict[Place, float]
    order: Float[np.ndarray, " units"]

    def least(self) -> float:
        """The least of all."""
        return min((*self.seats.values(), *self.order.tolist()), default=np.inf)


def improve(placement: Placement, score: Score, hood: Neighbourhood, sweeps: int = 20) -> Placement:
    """The placement after taking every neighbour that scores lower, until a sweep finds none."""
    best = score(placement)
    for _ in range(sweeps):
        before = best
        for change in _changes(hood, placement):
            draft = change(placement)
            if draft is placement:
                continue
            value = score(draft)
            if value < best - 1e-9 * max(abs(best), 1.0):
                placement, best = draft, value
        if best == before:
            break
    return placement


def margins(placement: Placement, score: Score, hood: Neighbourhood, *, doubled: bool = False) -> Margins:
    """By how much every neighbour is worse; negative where one is better.

    Args:
        placement: at the end of a search.
        score: in nats.
        hood: its neighbours.
        doubled: whether a seat is also tried with what another seat holds, which stays there. Stricter: where nothing
            speaks for a tensor but that all others have places, the margin is then about 0.
    """
    value = score(placement)
    seats = {place: np.inf for pool in hood.pools for seat in pool for place in seat}
    order = np.full(len(hood.kinds), np.inf)
    for draft in (change(placement) for change in _exchanges(hood, placement)):
        if draft is placement:
            continue
        loss = score(draft) - value
        for name in FIELDS:
            for unit, layer in np.argwhere(getattr(draft, name) != getattr(placement, name)):
                place = Place(name, int(unit), int(layer))
                seats[place] = min(seats.get(place, np.inf), loss)
    for seat, draft in _doubled(hood, placement) if doubled else ():
        loss = score(draft) - value
        for place in seat:
            seats[place] = min(seats[place], loss)
    for units in _orders(hood.kinds):
        loss = score(placement.rows(units)) - value
        for k, unit in enumerate(units):
            if unit != k:
                order[k] = min(order[k], loss)
    return Margins(seats, order)


Change = Callable[[Placement], Placement]


def _changes(hood: Neighbourhood, placement: Placement) -> Iterator[Change]:
    yield from _exchanges(hood, placement)
    for units in _orders(hood.kinds):
        yield partial(Placement.rows, order=units)


def _exchanges(hood: Neighbourhood, placement: Placement) -> Iterator[Change]:
    pairs = [pair for cells in (*hood.pools, *hood.bundles) for pair in combinations(cells, 2)]
    for cell, other in sorted(pairs, key=lambda pair: abs(pair[0][0].unit - pair[1][0].unit)):  # near ones first
        yield partial(_traded, cell=cell, other=other)
    for pool, spare in zip(hood.pools, hood.spares, strict=True):
        if spare:
            items = (*spare, *(_held(placement, seat) for seat in pool))
            for seat in pool:
                for item in items:
                    yield partial(_replaced, seat=seat, item=item, pool=pool)


def _doubled(hood: Neighbourhood, placement: Placement) -> Iterator[tuple[Seat, Placement]]:
    """A seat that holds what another seat holds too, for every two seats whose units are not next to each other.

    No answer, but a doubt: where a tensor would do better than the one that stands there, if it stood nowhere else, a
    chain of exchanges may be missing. Near ones are left out, for twins beside each other agree too well.
    """
    for pool in hood.pools:
        for seat in pool:
            for other in pool:
                if abs(seat[0].unit - other[0].unit) > 1:
                    yield seat, _filled(placement, seat, _held(placement, other))


def _held(placement: Placement, seat: Seat) -> int:
    place = seat[0]
    return int(getattr(placement, place.field)[place.unit, place.layer])


def _traded(placement: Placement, cell: Seat, other: Seat) -> Placement:
    """What stands at the places of two seats or bundles exchanged, place by place."""
    draft = placement.copy()
    for one, two in zip(cell, other, strict=True):
        getattr(draft, one.field)[one.unit, one.layer] = getattr(placement, two.field)[two.unit, two.layer]
        getattr(draft, two.field)[two.unit, two.layer] = getattr(placement, one.field)[one.unit, one.layer]
    return draft


def _replaced(placement: Placement, seat: Seat, item: int, pool: tuple[Seat, ...]) -> Placement:
    """A tensor that stands nowhere takes a seat; one that stands somewhere by now leaves all as it is."""
    if any(_held(placement, other) == item for other in pool):
        return placement
    return _filled(placement, seat, item)


def _filled(placement: Placement, seat: Seat, item: int) -> Placement:
    draft = placement.copy()
    for place in seat:
        getattr(draft, place.field)[place.unit, place.layer] = item
    return draft


def _orders(kinds: Sequence[int]) -> Iterator[list[int]]:
    """Orders one step from the present one, in which every place keeps its kind of unit."""
    n = len(kinds)
    seen = {tuple(range(n))}
    for i in range(n):
        for j in range(i + 1, n):
            run = list(range(i, j + 1))
            moved = [run[k:] + run[:k] for k in _turns(len(run))]  # a run exchanged with the one behind it
            for middle in ([j, *run[1:-1], i], run[::-1], *moved):
                units = [*range(i), *middle, *range(j + 1, n)]
                if tuple(units) not in seen and all(kinds[a] == kinds[b] for a, b in enumerate(units)):
                    seen.add(tuple(units))
                    yield units


def _turns(length: int) -> list[int]:
    """All of them for short runs; of long ones, the moves of one unit and the exchange of the halves."""
    return list(range(1, length)) if length <= 20 else [1, length // 2, length - 1]
