"""The config of a Llama-like decoder."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_divides, check_sizes
from reknit.architectures.configs.slots import Slot, Slots, embedding, linear, norm
from reknit.errors import UsageError


@dataclass(frozen=True)
class LlamaConfig:
    """A Llama-like decoder: everything but its numbers.

    Attributes:
        layers: number of pairs of attention and feed-forward.
        width: size of the stream.
        heads: attention heads that ask.
        kv_heads: attention heads that are asked; they divide ``heads``.
        head_size: size of one head, an even number; 0 for width / heads.
        hidden: size inside the feed-forward.
        vocab: number of tokens.
        activation: of the gate, a name in ``reknit.network.activations``.
        eps: what the norms add to the mean square.
        rope_theta: the base of the rotary frequencies.
        qkv_bias: whether q, k and v have a bias.
        out_bias: whether the output layer of attention has one.
        mlp_bias: whether the three layers of the feed-forward have one.
        qk_norm: whether q and k of a head are normed, as in Qwen 3.
        lm_head: whether there is a head that names the next token.
        tied: whether that head's matrix is the token embedding itself.
        frequencies: whether each attention keeps the rotary frequencies as a tensor, as checkpoints of 2023 do.
    """

    layers: int = 32
    width: int = 4096
    heads: int = 32
    kv_heads: int = 32
    head_size: int = 0
    hidden: int = 11008
    vocab: int = 32000
    activation: str = "silu"
    eps: float = 1e-5
    rope_theta: float = 10000.0
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    lm_head: bool = True
    tied: bool = False
    frequencies: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, "llama", may_be_zero=frozenset({"head_size"}))
        check_divides("llama", "kv_heads", self.kv_heads, "heads", self.heads)
        if not self.head_size:
            check_divides("llama", "heads", self.heads, "width", self.width)
        if self.size_of_head % 2:
            remedy = "Rotary positions turn pairs: choose an even size"
            raise UsageError(f"the size of a head is {self.size_of_head}", "llama", remedy)

    @property
    def size_of_head(self) -> int:
        """Size of one head, whether given or width / heads."""
        return self.head_size or self.width // self.heads

    def slots(self) -> Slots:
        """The shapes of its tensors."""
        width, size = self.width, self.size_of_head
        asking, asked = self.heads * size, self.kv_heads * size
        layer = linear("query", asking, width, self.qkv_bias) + 2 * linear("key and value", asked, width, self.qkv_bias)
        layer += linear("attention out", width, asking, self.out_bias)
        layer += 2 * linear("gate and feed-forward in", self.hidden, width, self.mlp_bias)
        layer += linear("feed-forward out", width, self.hidden, self.mlp_bias)
        layer += 2 * norm("norm of a layer", width, bias=False)
        if self.qk_norm:
            layer += 2 * norm("norm of query and key", size, bias=False)
        if self.frequencies:
            layer.append(Slot("rotary frequencies", (size // 2,)))
        found = embedding("token embedding", self.vocab, width) + self.layers * layer + norm("last norm", width, False)
        head = Slot("head", (self.vocab, width), "table")  # an embedding's twin
        if self.lm_head and not self.tied:
            found.append(head)
        return Slots(found, {"second key of the token embedding": [head]} if self.lm_head and self.tied else {})
