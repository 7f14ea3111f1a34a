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

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reknit.architectures.bert_encoder import BertAnswer, BertEncoder, Dense, Mask, Stream, Tokens
from reknit.architectures.configs.bert import BertConfig


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
