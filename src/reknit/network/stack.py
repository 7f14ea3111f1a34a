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

import torch
from jaxtyping import Float
from torch import Tensor

from reknit.network.activations import Activation
from reknit.network.norms import NORMS, Norm


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
    ``after[k]`` is that gradient behind block k; ``hidden[k]`` are the activations inside block k, ``slope[k]`` the
    derivative of the activation there, ``seen[k]`` what the block reads (the stream after its norm).
    """

    answer: Float[Tensor, " rows"]
    added: Float[Tensor, "blocks rows width"]
    pulled: Float[Tensor, "blocks rows width"]
    after: Float[Tensor, "blocks rows width"]
    hidden: Float[Tensor, "blocks rows hidden"]


@dataclass(frozen=True)
class Stack:
    """All layers of one residual MLP, stacked, and the functions between them."""

    in_weight: Float[Tensor, "blocks hidden width"]
    in_bias: Float[Tensor, "blocks hidden"]
    out_weight: Float[Tensor, "blocks width hidden"]
    out_bias: Float[Tensor, "blocks width"]
    head_weight: Float[Tensor, "outputs width"]
    head_bias: Float[Tensor, " outputs"]
    activation: Activation
    norm: Norm
    final_norm: Norm
    norm_eps: float | None = None

    @property
    def blocks(self) -> int:
        """Number of blocks, n."""
        return self.in_weight.shape[0]

    @property
    def hidden(self) -> int:
        """Size inside a block, h."""
        return self.in_weight.shape[1]

    @property
    def width(self) -> int:
        """Size of the stream, d."""
        return self.in_weight.shape[2]

    @property
    def outputs(self) -> int:
        """Size of the answer, o."""
        return self.head_weight.shape[0]

    def to(self, dtype: torch.dtype) -> Stack:
        """The same network in another precision."""
        names = ("in_weight", "in_bias", "out_weight", "out_bias", "head_weight", "head_bias")
        return replace(self, **{name: getattr(self, name).to(dtype) for name in names})

    def _eps(self, norm: Norm) -> float:
        return norm.eps if self.norm_eps is None else self.norm_eps

    def read(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """What a block sees of the stream."""
        return self.norm.value(x, self._eps(self.norm))

    def branch(self, x: Float[Tensor, "rows width"], inner: int, outer: int) -> Float[Tensor, "rows width"]:
        """What the block made of in-layer ``inner`` and out-layer ``outer`` adds to the stream x."""
        hidden = self.activation.value(torch.addmm(self.in_bias[inner], self.read(x), self.in_weight[inner].T))
        return torch.addmm(self.out_bias[outer], hidden, self.out_weight[outer].T)

    def answer(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows outputs"]:
        """The head's answer to the stream behind the last block."""
        seen = self.final_norm.value(x, self._eps(self.final_norm))
        return torch.addmm(self.head_bias, seen, self.head_weight.T)

    def forward(
        self, x: Float[Tensor, "rows width"], arrangement: Arrangement, chunk: int = 1024
    ) -> Float[Tensor, "rows outputs"]:
        """The answers of an arrangement; rows go through in chunks that stay in cache."""
        answers = []
        for part in torch.split(x, chunk):
            stream = part.clone()
            hidden = part.new_empty(len(part), self.hidden)
            for inner, outer in zip(arrangement.ins, arrangement.outs, strict=True):
                torch.addmm(self.in_bias[inner], self.read(stream), self.in_weight[inner].T, out=hidden)
                stream += self.out_bias[outer]
                stream.addmm_(self.activation.into(hidden, hidden), self.out_weight[outer].T)
            answers.append(self.answer(stream))
        return torch.cat(answers)

    def trace(
        self, x: Float[Tensor, "rows width"], direction: Float[Tensor, "rows outputs"], arrangement: Arrangement
    ) -> Trace:
        """Forward and backward through an arrangement, for the answer along one direction per row."""
        n, rows = len(arrangement), x.shape[0]
        streams = x.new_empty(n + 1, rows, self.width)
        before, hidden = x.new_empty(n, rows, self.hidden), x.new_empty(n, rows, self.hidden)
        added, pulled, after = (x.new_empty(n, rows, self.width) for _ in range(3))
        streams[0] = x
        for k, (inner, outer) in enumerate(zip(arrangement.ins, arrangement.outs, strict=True)):
            torch.addmm(self.in_bias[inner], self.read(streams[k]), self.in_weight[inner].T, out=before[k])
            self.activation.into(before[k], hidden[k])
            torch.addmm(self.out_bias[outer], hidden[k], self.out_weight[outer].T, out=added[k])
            torch.add(streams[k], added[k], out=streams[k + 1])
        answer = (self.answer(streams[n]) * direction).sum(1)
        after[n - 1] = self.final_norm.pullback(streams[n], self._eps(self.final_norm), direction @ self.head_weight)
        inside = x.new_empty(rows, self.hidden)
        for k in range(n - 1, -1, -1):
            inner, outer = arrangement.ins[k], arrangement.outs[k]
            torch.mm(after[k], self.out_weight[outer], out=inside)
            reached = self.activation.pull(inside, before[k], hidden[k])
            if self.norm.value is NORMS["none"].value:
                torch.mm(reached, self.in_weight[inner], out=pulled[k])
            else:
                pulled[k] = self.norm.pullback(streams[k], self._eps(self.norm), reached @ self.in_weight[inner])
            if k:
                torch.add(after[k], pulled[k], out=after[k - 1])
        return Trace(answer, added, pulled, after, hidden)
