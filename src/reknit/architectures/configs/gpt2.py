"""The config of a GPT-2-like decoder."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_divides, check_sizes
from reknit.architectures.configs.slots import Slot, Slots, embedding, linear, norm


@dataclass(frozen=True)
class Gpt2Config:
    """A GPT-2-like decoder: everything but its numbers.

    Attributes:
        layers: number of pairs of attention and feed-forward.
        width: size of the stream.
        heads: attention heads; they divide the width.
        hidden: size inside the feed-forward.
        vocab: number of tokens.
        positions: the longest sequence.
        activation: a name in ``reknit.network.activations``.
        eps: what the norms add to the variance.
        fused: whether q, k and v are one matrix, in this order.
        transposed: whether matrices are kept as inputs x outputs (the "Conv1D" of GPT-2) or, as in ``nn.Linear``, as
            outputs x inputs.
        bias: whether linear layers and norms have one.
        lm_head: whether there is a head that names the next token.
        tied: whether that head's matrix is the token embedding itself.
        masks: whether each attention keeps its causal mask as tensors, as checkpoints of 2019 to 2022 do.
    """

    layers: int = 12
    width: int = 768
    heads: int = 12
    hidden: int = 3072
    vocab: int = 50257
    positions: int = 1024
    activation: str = "gelu-tanh"
    eps: float = 1e-5
    fused: bool = True
    transposed: bool = True
    bias: bool = True
    lm_head: bool = True
    tied: bool = True
    masks: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, "gpt2")
        check_divides("gpt2", "heads", self.heads, "width", self.width)

    def slots(self) -> Slots:
        """The shapes of its tensors, matrices as outputs x inputs whatever the layout."""
        width, hidden, bias = self.width, self.hidden, self.bias
        if self.fused:
            attention = linear("query, key and value", 3 * width, width, bias)
        else:
            attention = 3 * linear("query, key and value", width, width, bias)
        if self.masks:
            mask = Slot("causal mask", (1, 1, self.positions, self.positions), "other")
            attention = [*attention, mask, Slot("what masks", (), "other")]
        found = embedding("token embedding", self.vocab, width) + embedding("position embedding", self.positions, width)
        found += self.layers * (
            attention
            + linear("attention out", width, width, bias)
            + linear("feed-forward in", hidden, width, bias)
            + linear("feed-forward out", width, hidden, bias)
            + 2 * norm("norm of a layer", width, bias)
        )
        found += norm("last norm", width, bias)
        head = Slot("head", (self.vocab, width), "table")  # never transposed: it is an embedding's twin
        if self.lm_head and not self.tied:
            found.append(head)
        return Slots(found, {"second key of the token embedding": [head]} if self.lm_head and self.tied else {})
