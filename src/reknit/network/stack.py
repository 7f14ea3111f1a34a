"""A residual MLP as stacked arrays: many arrangements of the same layers, evaluated and traced fast.

The weights are kept once, in the order of the pile; an arrangement is two index vectors (which in-layer and which
out-layer stand at position k). Passes run forward and backward by hand, because what the search needs of a backward
pass is not the gradient of the weights but what each block adds to the gradient of the stream.

Cost of a forward pass: 4 n R d h multiply-adds counted as two flops each; a trace (forward and backward): three times
that, and n R (2 d + h) numbers of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike

from reknit.network.activations import Activation
from reknit.network.norms import Norm

CHUNK = 512
"""Rows that go through the blocks together, so that a chunk's stream and hidden units stay in cache."""


@dataclass(frozen=True)
class Arrangement:
    """Which layers stand where: at position k the in-layer ``ins[k]`` feeds the out-layer ``outs[k]``."""

    ins: tuple[int, ...]
    outs: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ins)

    def reordered(self, positions: Sequence[int]) -> Arrangement:
        """The same pairs in another order: position k gets the block now at ``positions[k]``."""
        return Arrangement(tuple(self.ins[p] for p in positions), tuple(self.outs[p] for p in positions))


@dataclass(frozen=True)
class Trace:
    """One forward and one backward pass through an arrangement.

    ``answer`` is v.f(x) for the direction v of each row. ``added[k]`` is r_k, what block k adds to the stream;
    ``pulled[k]`` is u_k, what block k adds, on the way back, to the gradient of the answer with respect to the stream;
    ``after[k]`` is that gradient behind block k; ``hidden[k]`` are the activations inside block k, ``before[k]`` what
    they are the activations of; ``streams[k]`` is the stream before block k, the last one that behind them all.
    """

    answer: Float[np.ndarray, " rows"]
    added: Float[np.ndarray, "blocks rows width"]
    pulled: Float[np.ndarray, "blocks rows width"]
    after: Float[np.ndarray, "blocks rows width"]
    hidden: Float[np.ndarray, "blocks rows hidden"]
    before: Float[np.ndarray, "blocks rows hidden"]
    streams: Float[np.ndarray, "blocks+1 rows width"]

    @classmethod
    def empty(cls, blocks: int, rows: int, width: int, hidden: int, dtype: DTypeLike) -> Trace:
        """Memory for a trace."""
        added, pulled, after = np.empty((3, blocks, rows, width), dtype)
        inside, before = np.empty((2, blocks, rows, hidden), dtype)
        streams = np.empty((blocks + 1, rows, width), dtype)
        return cls(np.empty(rows, dtype), added, pulled, after, inside, before, streams)


@dataclass(frozen=True)
class Stack:
    """All layers of one residual MLP, stacked, and the functions between them."""

    in_weight: Float[np.ndarray, "blocks hidden width"]
    in_bias: Float[np.ndarray, "blocks hidden"]
    out_weight: Float[np.ndarray, "blocks width hidden"]
    out_bias: Float[np.ndarray, "blocks width"]
    head_weight: Float[np.ndarray, "outputs width"]
    head_bias: Float[np.ndarray, " outputs"]
    activation: Activation
    norm: Norm
    final_norm: Norm
    norm_eps: float | None = None

    @property
    def blocks(self) -> int:
        """Number of blocks, n."""
        return len(self.in_weight)

    @property
    def hidden(self) -> int:
        """Size inside a block, h."""
        return int(self.in_weight.shape[1])

    @property
    def width(self) -> int:
        """Size of the stream, d."""
        return int(self.in_weight.shape[2])

    @property
    def outputs(self) -> int:
        """Size of the answer, o."""
        return len(self.head_weight)

    def to(self, dtype: DTypeLike) -> Stack:
        """The same network in another precision."""
        names = ("in_weight", "in_bias", "out_weight", "out_bias", "head_weight", "head_bias")
        return replace(self, **{name: getattr(self, name).astype(dtype) for name in names})

    @cached_property
    def in_columns(self) -> Float[np.ndarray, "blocks width hidden"]:
        """The in-weights laid out as a product with rows of the stream reads them: a third faster on small layers."""
        return np.ascontiguousarray(self.in_weight.transpose(0, 2, 1))

    @cached_property
    def out_columns(self) -> Float[np.ndarray, "blocks hidden width"]:
        """The out-weights in the same layout."""
        return np.ascontiguousarray(self.out_weight.transpose(0, 2, 1))

    def _eps(self, norm: Norm) -> float:
        return norm.eps if self.norm_eps is None else self.norm_eps

    def read(self, x: Float[np.ndarray, "*rows width"]) -> Float[np.ndarray, "*rows width"]:
        """What a block sees of the stream."""
        return self.norm.value(x, self._eps(self.norm))

    def branch(self, x: Float[np.ndarray, "rows width"], inner: int, outer: int) -> Float[np.ndarray, "rows width"]:
        """What the block made of in-layer ``inner`` and out-layer ``outer`` adds to the stream x."""
        added = np.empty_like(x)
        for begin in range(0, len(x), CHUNK):
            part = x[begin : begin + CHUNK]
            hidden = self.read(part) @ self.in_columns[inner]
            hidden += self.in_bias[inner]
            np.matmul(self.activation.into(hidden, hidden), self.out_columns[outer], out=added[begin : begin + CHUNK])
        added += self.out_bias[outer]
        return added

    def answer(self, x: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows outputs"]:
        """The head's answer to the stream behind the last block."""
        seen = self.final_norm.value(x, self._eps(self.final_norm))
        return np.asarray(seen @ self.head_weight.T + self.head_bias)

    def forward(
        self, x: Float[np.ndarray, "rows width"], arrangement: Arrangement, chunk: int = CHUNK
    ) -> Float[np.ndarray, "rows outputs"]:
        """The answers of an arrangement; rows go through in chunks that stay in cache."""
        answers = np.empty((len(x), self.outputs), x.dtype)
        for begin in range(0, len(x), chunk):
            stream = x[begin : begin + chunk].copy()
            hidden, added = np.empty((len(stream), self.hidden), x.dtype), np.empty_like(stream)
            for inner, outer in zip(arrangement.ins, arrangement.outs, strict=True):
                np.matmul(self.read(stream), self.in_columns[inner], out=hidden)
                hidden += self.in_bias[inner]
                np.matmul(self.activation.into(hidden, hidden), self.out_columns[outer], out=added)
                added += self.out_bias[outer]
                stream += added
            answers[begin : begin + chunk] = self.answer(stream)
        return answers

    def trace(
        self,
        x: Float[np.ndarray, "rows width"],
        direction: Float[np.ndarray, "rows outputs"],
        arrangement: Arrangement,
        spent: Trace | None = None,
    ) -> Trace:
        """Forward and backward through an arrangement, for the answer along one direction per row.

        Args:
            x: the rows.
            direction: v, of each row.
            arrangement: which layers stand where.
            spent: an earlier trace that is not needed any more; its memory is used again where it fits.
        """
        n, rows = len(arrangement), x.shape[0]
        if spent is None or spent.before.shape != (n, rows, self.hidden) or spent.before.dtype != x.dtype:
            spent = Trace.empty(n, rows, self.width, self.hidden, x.dtype)
        added, pulled, after = spent.added, spent.pulled, spent.after
        hidden, before, streams = spent.hidden, spent.before, spent.streams
        streams[0] = x
        for k, (inner, outer) in enumerate(zip(arrangement.ins, arrangement.outs, strict=True)):
            np.matmul(self.read(streams[k]), self.in_columns[inner], out=before[k])
            before[k] += self.in_bias[inner]
            np.matmul(self.activation.into(before[k], hidden[k]), self.out_columns[outer], out=added[k])
            added[k] += self.out_bias[outer]
            np.add(streams[k], added[k], out=streams[k + 1])
        answer = (self.answer(streams[n]) * direction).sum(1)
        after[n - 1] = self.final_norm.pullback(streams[n], self._eps(self.final_norm), direction @ self.head_weight)
        inside = np.empty((rows, self.hidden), x.dtype)
        for k in range(n - 1, -1, -1):
            inner, outer = arrangement.ins[k], arrangement.outs[k]
            np.matmul(after[k], self.out_weight[outer], out=inside)
            np.matmul(self.activation.pull(inside, before[k], hidden[k]), self.in_weight[inner], out=pulled[k])
            if self.norm.name != "none":
                pulled[k] = self.norm.pullback(streams[k], self._eps(self.norm), pulled[k])
            if k:
                np.add(after[k], pulled[k], out=after[k - 1])
        return Trace(answer, added, pulled, after, hidden, before, streams)
