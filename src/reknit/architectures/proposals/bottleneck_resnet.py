"""Bottleneck conv nets that the shapes of a pile suggest.

The middle convolutions look around and tell the narrow widths; their order is a trail from the stem to the head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product

from reknit.architectures.configs.bottleneck_resnet import BottleneckResnetConfig
from reknit.architectures.configs.stage import Stage
from reknit.architectures.proposals.chains import Edge
from reknit.architectures.proposals.convolutions import convolutions_of
from reknit.architectures.shape_pile import Pile, matrices, vectors

MOST_STEPS = 5_000
"""Steps of the search for an order."""


def propose_bottleneck_resnet(pile: Pile) -> Iterator[BottleneckResnetConfig]:
    """Bottleneck nets whose middle convolutions look around and whose wide part is wider than the narrow one."""
    own, heads = convolutions_of(pile), matrices(pile)
    if own is None or heads.total() != 1:
        return
    pair = next(iter(heads))
    for stem, expansion in product(sorted(own.number), range(2, 9)):
        left = own.number - Counter({stem: 1})
        middles = Counter({(o, k): n for (o, i, k), n in left.items() if o == i and k != 1})
        if not middles or any(o != i for o, i, k in left if k != 1):
            continue
        if not all(left[expansion * width, width, 1] for width, _ in middles):
            continue
        bias = vectors(pile).total() > 4 * own.number.total() + 1
        for stages, last in _bottlenecks(left, middles, stem[0], expansion):
            if last in pair:
                yield BottleneckResnetConfig(
                    inputs=stem[1],
                    stem=stem[0],
                    stages=stages,
                    outputs=pair[0] + pair[1] - last,
                    dimensions=own.dimensions,
                    stem_kernel=stem[2],
                    expansion=expansion,
                    bias=bias,
                )


def _bottlenecks(
    own: Counter[Edge], middles: Counter[tuple[int, int]], start: int, expansion: int
) -> Iterator[tuple[tuple[Stage, ...], int]]:
    """Orders of the narrow widths, and the width behind the last."""
    number = Counter[int]()
    for (width, _), many in middles.items():
        number[width] += many
    steps = [MOST_STEPS]

    def walk(path: list[int], left: Counter[Edge]) -> Iterator[list[int]]:
        at = expansion * path[-1] if path else start
        visited = set(path) | ({start // expansion} if start % expansion == 0 else set())
        if set(number) <= visited:
            yield path
        for width in sorted(number):
            steps[0] -= 1
            if steps[0] < 0:
                return
            move = Counter({(width, at, 1): 1}) + Counter({(expansion * width, at, 1): 1})
            if expansion * width != at and path.count(width) < number[width] and move <= left:
                yield from walk([*path, width], left - move)

    for path in walk([], own):
        stages = _bottleneck_stages(path, own, middles, start, expansion)
        if stages is not None:
            yield stages, expansion * path[-1] if path else start


def _bottleneck_stages(
    path: list[int], own: Counter[Edge], middles: Counter[tuple[int, int]], start: int, expansion: int
) -> tuple[Stage, ...] | None:
    """Each step of the path opens a stage; the other blocks follow; what is left over must be downsampling."""
    left = middles.copy()
    opened: list[list[Stage]] = []
    used: Counter[Edge] = Counter()
    at = start
    for width in path:
        kernel = min(k for (w, k), n in left.items() if w == width and n)
        left[width, kernel] -= 1
        used.update([(width, at, 1), (expansion * width, width, 1), (expansion * width, at, 1)])
        opened.append([Stage(1, width, kernel, 2 if opened else 1)])
        at = expansion * width
    if start % expansion == 0 and start // expansion not in path:
        opened.insert(0, [])
        path = [start // expansion, *path]
    for (width, kernel), number in sorted((+left).items()):
        if width not in path:
            return None
        group = opened[path.index(width)]
        used.update({(width, expansion * width, 1): number})
        used.update({(expansion * width, width, 1): number})
        if group and group[-1].kernel == kernel:
            group[-1] = Stage(group[-1].blocks + number, width, kernel, group[-1].stride)
        else:
            group.append(Stage(number, width, kernel))
    rest = own - used - Counter({(w, w, k): n for (w, k), n in middles.items()})
    return _with_strides([stage for group in opened for stage in group], rest, start, expansion)


def _with_strides(stages: list[Stage], rest: Counter[Edge], start: int, expansion: int) -> tuple[Stage, ...] | None:
    """Blocks that keep the width but downsample stride; each opens a stage of its own."""
    found: list[Stage] = []
    at = start
    for stage in stages:
        wide = expansion * stage.width
        keeps = stage.blocks - (at != wide)
        striding = min(rest[wide, wide, 1], keeps)
        rest = rest - Counter({(wide, wide, 1): striding})
        if stage.blocks > striding:
            found.append(Stage(stage.blocks - striding, stage.width, stage.kernel, stage.stride))
        found += [Stage(1, stage.width, stage.kernel, 2)] * striding
        at = wide
    return tuple(found) if not rest else None
