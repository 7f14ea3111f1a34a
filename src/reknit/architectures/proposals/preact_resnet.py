"""Pre-activation conv nets that the shapes of a pile suggest.

A net is a trail through widths: from the stem's to the head's, every block reading what the one before wrote. Blocks
that keep the width can stand anywhere along it; shapes do not tell where, so they follow where it first comes by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product

from reknit.architectures.configs.preact_resnet import PreactResnetConfig
from reknit.architectures.configs.stage import Stage
from reknit.architectures.proposals.chains import Edge, trails
from reknit.architectures.proposals.convolutions import convolutions_of
from reknit.architectures.shape_pile import Pile, matrices, vectors


def propose_preact_resnet(pile: Pile) -> Iterator[PreactResnetConfig]:
    """Pre-activation nets."""
    own, heads = convolutions_of(pile), matrices(pile)
    if own is None or heads.total() > 1:
        return
    for stem in sorted(own.number):
        left = own.number - Counter({stem: 1})
        if heads:
            pair = next(iter(heads))
            ends = {(pair[0], pair[1]), (pair[1], pair[0])}
            rests = [(outputs, width, left) for outputs, width in sorted(ends)]
        else:
            rests = [(o, i, left - Counter({(o, i, k): 1})) for o, i, k in sorted(left) if k == 1]
        for outputs, last, rest in rests:
            known = {"inputs": stem[1], "stem": stem[0], "stem_kernel": stem[2], "outputs": outputs}
            more = {"dimensions": own.dimensions, "per_position": not heads}
            for final_norm, bias in product((True, False), repeat=2):
                free = vectors(pile).total() - 1 - bias * (rest.total() + 1) - 4 * final_norm
                if free < 0 or free % 8:
                    continue
                flags = {"final_norm": final_norm, "bias": bias, **more}
                for stages, skips in _preact_stages(rest, stem[0], last, free // 8):
                    yield PreactResnetConfig(**known, **flags, stages=stages, skips=skips)  # type: ignore[arg-type]


def _preact_stages(own: Counter[Edge], start: int, last: int, blocks: int) -> Iterator[tuple[tuple[Stage, ...], bool]]:
    """Stages of so many blocks that use every convolution, and whether those of kernel 1 are skips."""
    moves: Counter[Edge] = Counter()  # (from, to, kernel)
    for out, width in sorted({(out, width) for out, width, _ in own if out != width}):
        around = {k: n for (o, i, k), n in own.items() if (o, i) == (out, width) and k != 1}
        spare, odd = divmod(own[out, width, 1] - sum(around.values()), 2)
        if odd or spare < 0:  # every move has a shortcut of kernel 1, and those of kernel 1 have two
            return
        moves.update({(width, out, k): n for k, n in around.items()} | {(width, out, 1): spare})
    moves = +moves
    trail = next(trails(moves, start), None)
    if trail is None or (trail[-1][1] if trail else start) != last:
        return
    visited = {start, *(edge[1] for edge in trail)}
    into = Counter((to, kernel) for _, to, kernel in trail)
    kept: Counter[tuple[int, int]] = Counter()  # blocks that keep the width, by (width, kernel)
    for width, kernel in sorted({(o, k) for o, i, k in own if o == i}):
        number, odd = divmod(own[width, width, kernel] - into[width, kernel], 2)
        if width not in visited or own[width, width, kernel] < into[width, kernel] or (kernel != 1 and odd):
            return
        if kernel != 1:
            kept[width, kernel] = number
    missing = blocks - len(trail) - kept.total()
    if missing >= 0 and blocks:
        yield from _with_kernels_of_1(own, into, trail, kept, start, missing)


def _with_kernels_of_1(
    own: Counter[Edge],
    into: Counter[tuple[int, int]],
    trail: list[Edge],
    kept: Counter[tuple[int, int]],
    start: int,
    missing: int,
) -> Iterator[tuple[tuple[Stage, ...], bool]]:
    """Share what is left of kernel 1 out: two to each missing block, the others are skips or, rarely, shortcuts."""
    squares = sorted({o for o, i, k in own if o == i and k == 1})
    spare = {width: own[width, width, 1] - into[width, 1] for width in squares}
    for counts in product(*(range(min(spare[width] // 2, missing) + 1) for width in squares)):
        if sum(counts) != missing:
            continue
        blocks = kept + Counter({(width, 1): number for width, number in zip(squares, counts, strict=True)})
        extra = {width: spare[width] - 2 * number for width, number in zip(squares, counts, strict=True)}
        if not trail and extra.get(start, 0) >= 2 and len(blocks) <= extra[start] - 1 <= blocks.total():
            yield _stages_of_skips(blocks, extra[start] - 1), True
        if all(number <= _blocks_at(blocks, width) for width, number in extra.items()):
            yield _stages_along(trail, blocks, extra, start), False


def _blocks_at(blocks: Counter[tuple[int, int]], width: int) -> int:
    return sum(number for (own, _), number in blocks.items() if own == width)


def _stages_along(
    trail: list[Edge], blocks: Counter[tuple[int, int]], strided: dict[int, int], start: int
) -> tuple[Stage, ...]:
    """Each move opens a stage; blocks that keep the width follow where it is first reached."""
    stages: list[Stage] = []
    left = blocks.copy()

    def stay(width: int) -> None:
        striding = strided.get(width, 0)
        for own, kernel in sorted(key for key, number in left.items() if key[0] == width and number):
            number = left.pop((own, kernel))
            apart = min(striding, number)
            striding -= apart
            if number > apart:
                last = stages[-1] if stages else None
                if last is not None and (last.width, last.kernel) == (own, kernel):
                    stages[-1] = Stage(last.blocks + number - apart, own, kernel, last.stride)
                else:
                    stages.append(Stage(number - apart, own, kernel))
            stages.extend([Stage(1, own, kernel, 2)] * apart)

    stay(start)
    for _, width, kernel in trail:
        stages.append(Stage(1, width, kernel, 2))
        stay(width)
    return tuple(stages)


def _stages_of_skips(blocks: Counter[tuple[int, int]], number: int) -> tuple[Stage, ...]:
    """So many stages, each of one kernel; the kernel with the most blocks a stage gets the next stage."""
    parts = dict.fromkeys(sorted(blocks), 1)
    while sum(parts.values()) < number:
        splittable = [key for key in parts if parts[key] < blocks[key]]
        parts[max(splittable, key=lambda key: blocks[key] / parts[key])] += 1
    stages = []
    for (width, kernel), many in parts.items():
        each, more = divmod(blocks[width, kernel], many)
        stages += [Stage(each + (part < more), width, kernel) for part in range(many)]
    return tuple(stages)
