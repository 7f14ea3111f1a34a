"""Nets of inverted bottlenecks that the shapes of a pile suggest.

The depthwise convolutions tell the wide parts; a depth-first search walks from the stem to the last convolution through
every convolution of kernel 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product

from reknit.architectures.configs.mbconv import MbconvConfig, MbconvStage
from reknit.architectures.proposals.chains import Edge
from reknit.architectures.proposals.convolutions import convolutions_of
from reknit.architectures.shape_pile import Pile, matrices

MOST_WAYS = 32
"""So many ways through one pile are proposed."""
MOST_STEPS = 5_000
"""Steps of the search for them."""


def propose_mbconv(pile: Pile) -> Iterator[MbconvConfig]:
    """Nets of inverted bottlenecks whose depthwise convolutions look around."""
    own, heads = convolutions_of(pile), matrices(pile)
    if own is None or own.dimensions != 2 or heads.total() != 1:
        return
    pair = next(iter(heads))
    around = Counter({(o, k): n for (o, i, k), n in own.number.items() if i == 1 and k != 1})
    if not around:
        return
    for stem, head in product(sorted(own.number), sorted(set(pair))):
        left = own.number - Counter({stem: 1}) - Counter({(o, 1, k): n for (o, k), n in around.items()})
        if stem[1] == 1 and stem[2] != 1:  # the stem of a grey image looks like a depthwise convolution
            around_left = around - Counter({(stem[0], stem[2]): 1})
            left = own.number - Counter({stem: 1}) - Counter({(o, 1, k): n for (o, k), n in around_left.items()})
        else:
            around_left = around
        if any(k != 1 for _, _, k in left) or not any(o == head for o, _, _ in left):
            continue
        for stages in _inverted(left, around_left, stem[0], head):
            yield MbconvConfig(
                inputs=stem[1],
                stem=stem[0],
                stages=stages,
                head=head,
                outputs=pair[0] + pair[1] - head,
                stem_kernel=stem[2],
            )


def _inverted(
    own: Counter[Edge], around: Counter[tuple[int, int]], start: int, head: int
) -> Iterator[tuple[MbconvStage, ...]]:
    """Ways from the stem to the last convolution that use every convolution of kernel 1."""
    wide_left = Counter[int]()
    for (wide, _), number in around.items():
        wide_left[wide] += number
    left = Counter({(o, i): n for (o, i, _), n in own.items()})
    steps, seen, dead = [MOST_STEPS], set[frozenset[tuple[tuple[int, int, int], int]]](), set[object]()

    def walk(at: int, path: list[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
        if +left == Counter({(head, at): 1}) and not wide_left.total():
            yield list(path)
            return
        state = (at, frozenset((+left).items()), frozenset((+wide_left).items()))
        steps[0] -= 1
        if steps[0] < 0 or state in dead:
            return
        found = False
        for wide in sorted(wide for wide, number in wide_left.items() if number and wide % at == 0):
            outs = sorted(
                (out for (out, i), number in left.items() if i == wide and number), key=lambda o: (o != at, o)
            )
            for out in outs:
                block = Counter({(out, wide): 1}) + Counter({(wide, at): int(wide != at)})
                if not block <= left:
                    continue
                left.subtract(block)
                wide_left[wide] -= 1
                path.append((at, wide, out))
                for way in walk(out, path):
                    found = True
                    yield way
                path.pop()
                wide_left[wide] += 1
                left.update(block)
        if not found and steps[0] > 0:
            dead.add(state)

    for way in walk(start, []):
        kinds = frozenset(Counter(way).items())
        if kinds not in seen:
            seen.add(kinds)
            yield _mbconv_stages(way, around)
        if len(seen) >= MOST_WAYS:
            return


def _mbconv_stages(way: list[tuple[int, int, int]], around: Counter[tuple[int, int]]) -> tuple[MbconvStage, ...]:
    """Blocks with their kernels. Of several kernels at one wide part, those that keep the width go with their stage."""
    left = around.copy()
    chosen: list[int] = [0] * len(way)
    # the last block of each wide part leads on into the next stage: it has that stage's kernel, where there is one
    for number in sorted(range(len(way)), key=lambda n: way[n][0] != way[n][2]):
        options = [kernel for (wide, kernel), many in left.items() if wide == way[number][1] and many]
        onward = [chosen[n] for n in range(number + 1, len(way)) if way[n][0] == way[n][2] == way[number][2]]
        usual = next((kernel for kernel in onward if kernel in options), None)
        chosen[number] = max(options, key=lambda k: left[way[number][1], k]) if usual is None else usual
        left[way[number][1], chosen[number]] -= 1
    stages: list[MbconvStage] = []
    for (at, wide, out), kernel in zip(way, chosen, strict=True):
        last = stages[-1] if stages else None
        expansion = wide // at
        if last is not None and at == out == last.width and (kernel, expansion) == (last.kernel, last.expansion):
            stages[-1] = MbconvStage(last.blocks + 1, out, kernel, last.stride, expansion)
        else:
            stages.append(MbconvStage(1, out, kernel, 1 if at == out or expansion == 1 else 2, expansion))
    return tuple(stages)
