"""The config of a BERT-like encoder."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_divides, check_sizes
from reknit.architectures.configs.slots import Slot, Slots, embedding, linear, norm
from reknit.errors import UsageError


@dataclass(frozen=True)
class BertConfig:
    """A BERT-like encoder: everything but its numbers.

    Attributes:
        layers: number of pairs of attention and feed-forward.
        width: size of the stream.
        heads: attention heads; they divide the width.
        hidden: size inside the feed-forward.
        vocab: number of tokens.
        positions: the longest sequence.
        token_types: kinds of segments; 0 leaves their embedding away.
        activation: a name in ``reknit.network.activations``; of the feed-forward and of the masked-token head.
        eps: what the norms add to the variance.
        pooler: whether there is a linear layer with tanh on the first token.
        mlm_head: whether there is a head that names masked tokens.
        tied: whether that head's matrix is the token embedding itself.
        pooled_heads: name and size of the linear heads on the pooled token, under ``cls``; pretrained BERT has
            ``("seq_relationship", 2)``.
        classes: size of the ``classifier`` on the pooled token; 0 for none.
        position_ids: whether the numbers 0, 1, ... are kept as a tensor, as checkpoints of 2019 to 2022 do.
    """

    layers: int = 12
    width: int = 768
    heads: int = 12
    hidden: int = 3072
    vocab: int = 30522
    positions: int = 512
    token_types: int = 2
    activation: str = "gelu"
    eps: float = 1e-12
    pooler: bool = True
    mlm_head: bool = False
    tied: bool = True
    pooled_heads: tuple[tuple[str, int], ...] = ()
    classes: int = 0
    position_ids: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, "bert", may_be_zero=frozenset({"token_types", "classes"}))
        check_divides("bert", "heads", self.heads, "width", self.width)
        if not self.pooler and (self.pooled_heads or self.classes):
            raise UsageError("there is a head on the pooled token but no pooler", "bert", "Set pooler to true")

        for name, _ in self.pooled_heads:
            if not name.isidentifier() or name == "predictions":
                raise UsageError(f"no head can be called {name!r}", "bert", "Use letters, digits and underscores")

    @property
    def has_heads(self) -> bool:
        """Whether anything stands on top of the encoder; its keys then begin with ``bert.``."""
        return self.mlm_head or bool(self.pooled_heads) or self.classes > 0

    def slots(self) -> Slots:
        """The shapes of its tensors."""
        width, vocab = self.width, self.vocab
        found = embedding("token embedding", vocab, width) + embedding("position embedding", self.positions, width)
        if self.token_types:
            found += embedding("token type embedding", self.token_types, width)
        found += norm("norm of the embeddings", width)
        found += self.layers * (
            4 * linear("attention", width, width)
            + linear("feed-forward in", self.hidden, width)
            + linear("feed-forward out", width, self.hidden)
            + 2 * norm("norm of a layer", width)
        )
        extras = {}
        if self.pooler:
            found += linear("pooler", width, width)
        if self.mlm_head:
            found += linear("masked-token head", width, width) + norm("masked-token head, norm", width)
            bias, decoder = Slot("masked-token head, bias", (vocab,)), Slot("decoder", (vocab, width), "matrix")
            found.append(bias)
            extras["second key of the masked-token head's bias"] = [bias]
            if self.tied:
                extras["second key of the token embedding"] = [decoder]
            else:
                found.append(decoder)
        for name, outputs in self.pooled_heads:
            found += linear(f"head {name}", outputs, width)
        if self.classes:
            found += linear("classifier", self.classes, width)
        if self.position_ids:
            found.append(Slot("numbers of the positions", (1, self.positions), "other"))
        return Slots(found, extras)
