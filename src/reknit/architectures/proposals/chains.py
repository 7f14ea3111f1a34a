"""Plain MLPs, plain chains of convolutions and residual MLPs that the shapes of a pile suggest.

A chain is a trail through the sizes that uses every matrix once (Euler), found by depth-first search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product

from reknit.architectures.configs.conv_chain import ConvChainConfig
from reknit.architectures.configs.mlp import MlpConfig
from reknit.architectures.configs.residual_mlp import ResidualMlpConfig
from reknit.architectures.shape_pile import (
    Pile,
    Shape,
    entry,
    kernels,
    matrices,
    partners,
    repeated,
    take,
    vectors,
    widths,
)

MOST_TRAILS = 64
"""So many orders of one chain are proposed; a pile with more leaves the order open anyway."""
MOST_STEPS = 20_000
"""Steps of the search through them."""

Edge = tuple[int, int, int]
"""(size that is read, size that is written, which kernel)."""


class _Steps:
    """Counts down."""

    def __init__(self, number: int) -> None:
        self.left = number

    def spend(self) -> bool:
        self.left -= 1
        return self.left > 0


def trails(edges: Counter[Edge], start: int) -> Iterator[list[Edge]]:
    """Every order that uses all edges once, each reading what the one before wrote; equal ones once.

    >>> next(trails(Counter({(2, 3, 1): 1, (3, 3, 5): 1}), 2))
    [(2, 3, 1), (3, 3, 5)]
    """
    surplus: Counter[int] = Counter({start: -1})  # how often each size is read beyond how often it is written
    for (read, written, _), number in edges.items():
        surplus[read] += number
        surplus[written] -= number
    if sorted(value for value in surplus.values() if value) in ([], [-1]):  # Euler: only the end is written once more
        yield from _trails(edges.copy(), start, [], _Steps(MOST_STEPS))


def _trails(edges: Counter[Edge], at: int, path: list[Edge], steps: _Steps) -> Iterator[list[Edge]]:
    if not edges.total():
        yield list(path)
        return
    for edge in sorted(edge for edge, number in edges.items() if number and edge[0] == at):
        if not steps.spend():
            return
        edges[edge] -= 1
        path.append(edge)
        yield from _trails(edges, edge[1], path, steps)
        path.pop()
        edges[edge] += 1


def _first(found: Iterator[list[Edge]]) -> Iterator[list[Edge]]:
    for _, trail in zip(range(MOST_TRAILS), found, strict=False):
        yield trail


def propose_mlp(pile: Pile) -> Iterator[MlpConfig]:
    """Plain MLPs: their matrices are edges between sizes, whose direction the biases or the trail give."""
    own, lengths = matrices(pile), vectors(pile)
    layers, number = own.total(), lengths.total()
    if kernels(pile) or not layers:
        return
    for batch_norm, bias in product((False, True), repeat=2):
        if number != layers * bias + 4 * (layers - 1) * batch_norm or (batch_norm and layers == 1):
            continue
        seen: set[tuple[int, ...]] = set()
        for sizes in _undirected(own, lengths if bias else None):
            if sizes not in seen and len(seen) < MOST_TRAILS:
                seen.add(sizes)
                yield MlpConfig(sizes, batch_norm, bias)


def _undirected(own: Counter[tuple[int, int]], written: Counter[int] | None) -> Iterator[tuple[int, ...]]:
    """The sizes along every trail through matrices that may be passed either way."""
    steps = _Steps(MOST_STEPS)
    left, path = own.copy(), [0]

    def walk() -> Iterator[tuple[int, ...]]:
        if not left.total():
            yield tuple(path)
            return
        ways = {(pair, pair[0] + pair[1] - path[-1]) for pair, number in left.items() if number and path[-1] in pair}
        for pair, size in sorted(ways, key=lambda way: way[1]):
            if not steps.spend():
                return
            if written is not None and not written[size]:
                continue
            left[pair] -= 1
            path.append(size)
            yield from walk()
            path.pop()
            left[pair] += 1

    degrees: Counter[int] = Counter()
    for pair, number in own.items():
        degrees.update({pair[0]: number})
        degrees.update({pair[1]: number})
    odd = [size for size, number in degrees.items() if number % 2]
    if len(odd) <= 2:  # Euler: a trail begins and ends where it passes an odd number of times
        for start in sorted(odd or degrees):
            path[0] = start
            yield from walk()


def propose_conv_chain(pile: Pile) -> Iterator[ConvChainConfig]:
    """Plain chains of convolutions, with or without a linear head."""
    own, heads, lengths = kernels(pile), matrices(pile), vectors(pile)
    axes = {len(shape) for shape in own}
    square = all(len(set(shape[2:])) == 1 and shape[2] % 2 for shape in own)
    if len(axes) != 1 or not axes <= {3, 4} or not square or heads.total() > 1:
        return
    edges = Counter({(shape[1], shape[0], shape[2]): number for shape, number in own.items()})
    convolutions, has_head = edges.total(), bool(heads)
    followed = convolutions if has_head else convolutions - 1
    for batch_norm, bias in product((False, True), repeat=2):
        if lengths.total() != convolutions * bias + 4 * followed * batch_norm + has_head or (
            batch_norm and not followed
        ):
            continue
        for start in sorted({edge[0] for edge in edges}):
            for trail in _first(trails(edges, start)):
                last = trail[-1][1]
                pair = next(iter(heads), (0, 0))
                if has_head and last not in pair:
                    continue
                yield ConvChainConfig(
                    channels=(start, *(edge[1] for edge in trail)),
                    kernels=tuple(edge[2] for edge in trail),
                    outputs=pair[0] + pair[1] - last if has_head else 0,
                    dimensions=axes.copy().pop() - 2,
                    batch_norm=batch_norm,
                    bias=bias,
                )


def propose_residual_mlp(pile: Pile) -> Iterator[ResidualMlpConfig]:
    """Residual MLPs with or without a stem."""
    if kernels(pile):
        return
    norms = {"none": 0, "rms": 1, "layer": 2, "batch": 4}
    sizes = sorted({size for pair in matrices(pile) for size in pair})
    candidates = sorted(set(sizes) & set(widths(pile, 1))) or sizes
    for width, bias, (norm, each), (final_norm, last) in product(
        candidates, (True, False), norms.items(), norms.items()
    ):
        for hidden in partners(pile, width):
            layer: Counter[Shape] = Counter({entry((hidden, width)): 2})
            layer.update({(width,): each + bias})
            layer.update({(hidden,): int(bias)})
            for blocks, left in repeated(pile, +layer):
                rest = take(left, {(width,): last})
                if rest is not None and matrices(rest).total() <= 2:
                    for inputs, outputs in _ends(rest, width, bias):
                        yield ResidualMlpConfig(
                            blocks, width, hidden, outputs, inputs, norm=norm, final_norm=final_norm, bias=bias
                        )


def _ends(rest: Pile, width: int, bias: bool) -> set[tuple[int, int]]:
    """(inputs of the stem or 0, outputs of the head) out of what the blocks left."""
    pairs = list(matrices(rest).elements())
    if any(width not in pair for pair in pairs):
        return set()
    sizes = [pair[0] + pair[1] - width for pair in pairs]
    if len(sizes) == 1:
        ways = {(0, sizes[0])}
    else:
        ways = {(sizes[0], sizes[1]), (sizes[1], sizes[0])} if len(sizes) == 2 else set()
    fitting = set()
    for inputs, outputs in ways:
        wanted = Counter([outputs, width] if inputs else [outputs])
        if vectors(rest) == (wanted if bias else Counter()):
            fitting.add((inputs, outputs))
    return fitting
