"""The shapes of a pile as a multiset, whichever way round its matrices are kept.

A matrix counts by its two sizes in rising order; vectors, kernels and scalars by their shapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

Shape = tuple[int, ...]
Pile = Counter[Shape]


def entry(shape: Shape) -> Shape:
    """What a shape counts as."""
    return tuple(sorted(shape)) if len(shape) == 2 else shape


def pile_of(shapes: Iterable[Shape]) -> Pile:
    """The multiset of some shapes.

    >>> pile_of([(3, 2), (2, 3), (3,)])
    Counter({(2, 3): 2, (3,): 1})
    """
    return Counter(map(entry, shapes))


def take(pile: Pile, wanted: Mapping[Shape, int]) -> Pile | None:
    """What is left when all that is wanted is taken out; None if it is not all there.

    >>> take(Counter({(3,): 2}), {(3,): 1}), take(Counter({(3,): 2}), {(4,): 1})
    (Counter({(3,): 1}), None)
    """
    left = pile.copy()
    for shape, number in wanted.items():
        if left[shape] < number:
            return None
        left[shape] -= number
    return +left


def vectors(pile: Pile) -> Counter[int]:
    """Length -> how many vectors have it."""
    return Counter({shape[0]: number for shape, number in pile.items() if len(shape) == 1})


def matrices(pile: Pile) -> Counter[tuple[int, int]]:
    """Both sizes -> how many matrices have them."""
    return Counter({(shape[0], shape[1]): number for shape, number in pile.items() if len(shape) == 2})


def kernels(pile: Pile) -> Pile:
    """The kernels of convolutions: everything with three axes or more."""
    return Counter({shape: number for shape, number in pile.items() if len(shape) > 2})


def partners(pile: Pile, width: int) -> list[int]:
    """The other sizes of the matrices that have this one, rising."""
    return sorted({shape[1] if shape[0] == width else shape[0] for shape in matrices(pile) if width in shape})


def widths(pile: Pile, least: int) -> list[int]:
    """Lengths that at least so many vectors have, the most frequent first."""
    found = sorted(vectors(pile).items(), key=lambda item: (-item[1], item[0]))
    return [length for length, number in found if number >= least]


def repeated(pile: Pile, layer: Mapping[Shape, int]) -> Iterator[tuple[int, Pile]]:
    """Number of layers -> what is left behind them: 1, 2, ... as long as the pile has another."""
    left: Pile | None = pile
    number = 0
    while left is not None:
        left = take(left, layer)
        number += 1
        if left is not None:
            yield number, left
