"""Every single insertion and every exchange of two out-layers, scored exactly on a few rows in one sweep.

The moves share their work: up to its first changed position a moved arrangement is the arrangement itself, so all n^2
of them travel through the network together as forks of one stream and split off where they first differ. All
insertions and exchanges of n blocks cost about ``5/6 n^3`` block applications a row (``n`` a row for one forward pass),
in large products instead of n^2 small ones: 4 rows of the 48-block puzzle cost less than one pass over its 10,000.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from reknit.assembly.result import MoveKind
from reknit.network.stack import Arrangement, Stack
from reknit.solvers.ordering import moved


@dataclass(frozen=True, order=True)
class Rearrangement:
    """A move by position: an insertion takes the block at ``first`` to stand at ``second``; a swap is the insertion one
    place on; an exchange gives the blocks at both positions each other's out-layer."""

    kind: MoveKind
    first: int
    second: int

    def apply(self, arrangement: Arrangement) -> Arrangement:
        """The arrangement after the move."""
        if self.kind == "exchange":
            outs = list(arrangement.outs)
            outs[self.first], outs[self.second] = outs[self.second], outs[self.first]
            return Arrangement(arrangement.ins, tuple(outs))
        return arrangement.reordered(moved(range(len(arrangement)), self.first, self.second))


def all_moves(blocks: int) -> list[Rearrangement]:
    """Every adjacent swap, every other insertion and every exchange of two out-layers, each once."""
    return list(_orders(blocks)) + [
        Rearrangement("exchange", i, j) for i in range(blocks) for j in range(i + 1, blocks)
    ]


def _orders(blocks: int) -> Iterator[Rearrangement]:
    for i in range(blocks):
        for q in range(blocks):
            if q == i + 1:
                yield Rearrangement("swap", i, q)
            elif q not in (i, i - 1):
                yield Rearrangement("insertion", i, q)


class _Forks:
    """Streams that have left the common path, one per pair of positions; ``live`` marks those that exist."""

    def __init__(self, stack: Stack, n: int, rows: int) -> None:
        self.stack = stack
        self.streams = np.zeros((n, n, rows, stack.width), stack.in_weight.dtype)
        self.live = np.zeros((n, n), dtype=bool)

    def start(self, where: tuple[Any, Any], streams: Float[np.ndarray, "forks rows width"]) -> None:
        self.streams[where] = streams
        self.live[where] = True

    def advance(self, inner: int, outer: int, chosen: Bool[np.ndarray, "blocks blocks"]) -> None:
        """Run one block on the chosen live forks."""
        where = chosen & self.live
        if where.any():
            flat = self.streams[where].reshape(-1, self.stack.width)
            flat += self.stack.branch(flat, inner, outer)
            self.streams[where] = flat.reshape(-1, *self.streams.shape[2:])

    def answers(self) -> Float[np.ndarray, "blocks blocks rows outputs"]:
        n, _, rows, width = self.streams.shape
        return self.stack.answer(self.streams.reshape(-1, width)).reshape(n, n, rows, -1)


def _branches(
    stack: Stack,
    streams: Float[np.ndarray, "forks rows width"],
    inners: Int[np.ndarray, " forks"],
    outers: Int[np.ndarray, " forks"],
) -> Float[np.ndarray, "forks rows width"]:
    """What different blocks add, each to its own stream."""
    hidden = np.matmul(stack.read(streams), stack.in_columns[inners])
    hidden += stack.in_bias[inners][:, None]
    added: Float[np.ndarray, "forks rows width"] = np.matmul(
        stack.activation.into(hidden, hidden), stack.out_columns[outers]
    )
    added += stack.out_bias[outers][:, None]
    return added


def insertion_answers(
    stack: Stack, x: Float[np.ndarray, "rows width"], arrangement: Arrangement
) -> Float[np.ndarray, "blocks blocks rows outputs"]:
    """The answers with the block at position i taken to stand at q: [i, q]; on the diagonal, the arrangement's own."""
    n, rows = len(arrangement), x.shape[0]
    ins, outs = np.array(arrangement.ins), np.array(arrangement.outs)
    forks = _Forks(stack, n, rows)
    skipped = np.zeros(
        (n, rows, stack.width), x.dtype
    )  # the stream without block i, for the blocks that will come later
    index, base = np.arange(n), x
    for p in range(n):
        inner, outer = arrangement.ins[p], arrangement.outs[p]
        if p + 1 < n:  # blocks from further on, put in before this one
            early = np.broadcast_to(base, (n - p - 1, *base.shape))
            forks.start((slice(p + 1, n), p), early + _branches(stack, early, ins[p + 1 :], outs[p + 1 :]))
        forks.advance(inner, outer, np.broadcast_to((index != p)[:, None], (n, n)))
        if p > 0:
            flat = skipped[:p].reshape(p * rows, -1)
            skipped[:p] = (flat + stack.branch(flat, inner, outer)).reshape(p, rows, -1)
            late = skipped[:p] + _branches(stack, skipped[:p], ins[:p], outs[:p])
            forks.start((slice(0, p), p), late)
        skipped[p] = base
        base = base + stack.branch(base, inner, outer)
    forks.start((index, index), np.broadcast_to(base, (n, *base.shape)))
    return forks.answers()


def exchange_answers(
    stack: Stack, x: Float[np.ndarray, "rows width"], arrangement: Arrangement
) -> Float[np.ndarray, "blocks blocks rows outputs"]:
    """The answers with the out-layers of positions i < j exchanged: [i, j]; elsewhere, the arrangement's own."""
    n, rows = len(arrangement), x.shape[0]
    ins, outs = np.array(arrangement.ins), np.array(arrangement.outs)
    forks, base = _Forks(stack, n, rows), x
    for p in range(n):
        inner, outer = arrangement.ins[p], arrangement.outs[p]
        forks.advance(inner, outer, np.broadcast_to(np.arange(n) != p, (n, n)))
        if p > 0:  # the second half of the exchanges that end here
            here = forks.streams[:p, p]
            forks.streams[:p, p] = here + _branches(stack, here, np.repeat(ins[p], p), outs[:p])
        if p + 1 < n:
            first = np.broadcast_to(base, (n - p - 1, *base.shape))
            forks.start(
                (p, slice(p + 1, n)), first + _branches(stack, first, np.repeat(ins[p], n - p - 1), outs[p + 1 :])
            )
        base = base + stack.branch(base, inner, outer)
    forks.streams[~forks.live] = base
    return forks.answers()


def move_effects(
    stack: Stack, x: Float[np.ndarray, "rows width"], arrangement: Arrangement, moves: list[Rearrangement]
) -> Float[np.ndarray, "moves rows outputs"]:
    """By how much each move changes the answers, exactly; one sweep for all insertions, one for all exchanges."""
    own = stack.forward(x, arrangement)
    answers = {}
    if any(m.kind != "exchange" for m in moves):
        answers["order"] = insertion_answers(stack, x, arrangement)
    if any(m.kind == "exchange" for m in moves):
        answers["pairs"] = exchange_answers(stack, x, arrangement)
    first = np.array([m.first for m in moves])
    second = np.array([m.second for m in moves])
    exchange = np.array([m.kind == "exchange" for m in moves])
    effects = np.empty((len(moves), *own.shape), own.dtype)
    for key, chosen in (("order", ~exchange), ("pairs", exchange)):
        if key in answers:
            effects[chosen] = answers[key][first[chosen], second[chosen]] - own
    return effects
