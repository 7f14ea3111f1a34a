"""The encoder of BERT without what stands on top; its equations are in ``reknit.architectures.bert``."""

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
