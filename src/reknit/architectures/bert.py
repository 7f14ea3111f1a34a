"""A BERT-like encoder: a transformer whose LayerNorm stands behind each residual sum.

Devlin, Chang, Lee, Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
arXiv 1810.04805, on the encoder of Vaswani et al., arXiv 1706.03762:

    x = norm(token + position + token type)
    x = norm(x + attention(x)),  x = norm(x + out(act(in(x))))          for every layer
    pooled = tanh(dense(x[0]))
    token logits = norm(act(dense(x))) E^T + bias                        E: the token embedding, where tied

The keys of the state dict are those that published checkpoints use, with ``bert.`` in front where heads stand on top.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.heads import merge_heads, split_heads
from reknit.network.residual_mlp import ACTIVATIONS

Tokens = Int[Tensor, "batch length"]
Mask = Bool[Tensor, "batch length"]
Stream = Float[Tensor, "batch length width"]


class Embeddings(nn.Module):
    """The sum of token, position and token-type embedding, normed."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab, config.width)
        self.position_embeddings = nn.Embedding(config.positions, config.width)
        if config.token_types:
            self.token_type_embeddings = nn.Embedding(config.token_types, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, config.eps)
        if config.position_ids:
            self.register_buffer("position_ids", torch.arange(config.positions)[None])
        self.config = config

    def forward(self, tokens: Tokens, token_types: Tokens | None = None) -> Stream:
        """The stream before the first layer; without ``token_types`` every token is of type 0."""
        length = tokens.shape[1]
        if self.config.position_ids:
            positions = self.get_buffer("position_ids")[:, :length]
        else:
            positions = torch.arange(length, device=tokens.device)[None]
        x = self.word_embeddings(tokens) + self.position_embeddings(positions)
        if self.config.token_types:
            x = x + self.token_type_embeddings(torch.zeros_like(tokens) if token_types is None else token_types)
        normed: Tensor = self.LayerNorm(x)
        return normed


class Attention(nn.Module):
    """Attention of every token to every other, before its output layer."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.heads = config.heads

    def forward(self, x: Stream, mask: Mask | None = None) -> Stream:
        """What the heads have read; where the mask is False nothing is read from."""
        query, key, value = (split_heads(layer(x), self.heads) for layer in (self.query, self.key, self.value))
        readable = None if mask is None else mask[:, None, None, :]
        return merge_heads(functional.scaled_dot_product_attention(query, key, value, readable))


class AddAndNorm(nn.Module):
    """``norm(stream + dense(x))``: what follows attention and what follows the activation."""

    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, config.eps)

    def forward(self, x: Float[Tensor, "batch length inputs"], stream: Stream) -> Stream:
        """The new stream."""
        normed: Tensor = self.LayerNorm(stream + self.dense(x))
        return normed


class AttentionBlock(nn.Module):
    """Attention, added to the stream, normed."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.add_module("self", Attention(config))
        self.output = AddAndNorm(config.width, config)

    def forward(self, x: Stream, mask: Mask | None = None) -> Stream:
        """The new stream."""
        new: Tensor = self.output(self.get_submodule("self")(x, mask), x)
        return new


class Dense(nn.Module):
    """``act(dense(x))``."""

    def __init__(self, inputs: int, outputs: int, activation: str) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)
        self.act = ACTIVATIONS[activation]

    def forward(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        """The activations."""
        return self.act(self.dense(x))


class Layer(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = AttentionBlock(config)
        self.intermediate = Dense(config.width, config.hidden, config.activation)
        self.output = AddAndNorm(config.hidden, config)

    def forward(self, x: Stream, mask: Mask | None = None) -> Stream:
        """The new stream."""
        x = self.attention(x, mask)
        new: Tensor = self.output(self.intermediate(x), x)
        return new


class Layers(nn.Module):
    """All layers, one after the other."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def forward(self, x: Stream, mask: Mask | None = None) -> Stream:
        """The stream behind the last layer."""
        for layer in self.layer:
            x = layer(x, mask)
        return x


class BertAnswer(NamedTuple):
    """What a BERT answers; None where this one has no such head.

    Attributes:
        hidden: the stream behind the last layer, where there is no head.
        pooled: the pooled token, where no head reads it.
        tokens: logits over the vocabulary for every token.
        pooled_heads: logits of the heads on the pooled token, in the config's order.
        classes: logits of the classifier.
    """

    hidden: Float[Tensor, "batch length width"] | None = None
    pooled: Float[Tensor, "batch width"] | None = None
    tokens: Float[Tensor, "batch length vocab"] | None = None
    pooled_heads: tuple[Float[Tensor, "batch outputs"], ...] = ()
    classes: Float[Tensor, "batch classes"] | None = None


class BertEncoder(nn.Module):
    """Embeddings, layers and perhaps the pooler: BERT without a head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)
        if config.pooler:
            self.pooler = Dense(config.width, config.width, "tanh")

    def forward(self, tokens: Tokens, token_types: Tokens | None = None, mask: Mask | None = None) -> BertAnswer:
        """The stream behind the last layer, and the pooled first token."""
        hidden = self.encoder(self.embeddings(tokens, token_types), mask)
        return BertAnswer(hidden=hidden, pooled=self.pooler(hidden[:, 0]) if self.config.pooler else None)


class Transform(Dense):
    """``norm(act(dense(x)))``."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config.width, config.width, config.activation)
        self.LayerNorm = nn.LayerNorm(config.width, config.eps)

    def forward(self, x: Stream) -> Stream:
        """What the decoder reads."""
        normed: Tensor = self.LayerNorm(super().forward(x))
        return normed


class TokenHead(nn.Module):
    """Names the masked tokens."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(config.vocab))
        self.transform = Transform(config)
        self.decoder = nn.Linear(config.width, config.vocab)
        self.decoder.bias = self.bias  # checkpoints hold it under one key or both

    def forward(self, x: Stream) -> Float[Tensor, "batch length vocab"]:
        """Logits over the vocabulary."""
        logits: Tensor = self.decoder(self.transform(x))
        return logits


class Heads(nn.Module):
    """The heads that BERT was trained with."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        if config.mlm_head:
            self.predictions = TokenHead(config)
        for name, outputs in config.pooled_heads:
            self.add_module(name, nn.Linear(config.width, outputs))


class BertWithHeads(nn.Module):
    """BERT with at least one head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BertEncoder(config)
        self.cls = Heads(config)
        if config.mlm_head and config.tied:
            self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight
        if config.classes:
            self.classifier = nn.Linear(config.width, config.classes)

    def forward(self, tokens: Tokens, token_types: Tokens | None = None, mask: Mask | None = None) -> BertAnswer:
        """What the heads say, and what no head reads."""
        config = self.config
        hidden, pooled = self.bert(tokens, token_types, mask)[:2]
        return BertAnswer(
            pooled=None if config.pooled_heads or config.classes else pooled,
            tokens=self.cls.predictions(hidden) if config.mlm_head else None,
            pooled_heads=tuple(self.cls.get_submodule(name)(pooled) for name, _ in config.pooled_heads),
            classes=self.classifier(pooled) if config.classes else None,
        )


def bert(config: BertConfig) -> BertEncoder | BertWithHeads:
    """The module of a config, in eval mode; build it under ``torch.device("meta")`` for a skeleton."""
    return (BertWithHeads(config) if config.has_heads else BertEncoder(config)).eval()


def example_inputs(config: BertConfig) -> tuple[Tokens, ...]:
    """Token numbers and, where there are such, token types: what one forward pass takes."""
    tokens = torch.zeros(2, min(8, config.positions), dtype=torch.int64)
    return (tokens, tokens.clone()) if config.token_types else (tokens,)
