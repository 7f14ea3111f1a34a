"""A GPT-2-like decoder: a transformer whose LayerNorm stands before each branch, with learned positions.

Radford, Wu, Child, Luan, Amodei, Sutskever, "Language Models are Unsupervised Multitask Learners" (2019):

    x = token + position
    x = x + proj(attention(norm(x))),  x = x + proj(act(fc(norm(x))))       for every layer
    logits = norm(x) E^T                                                    E: the token embedding, where tied

The keys of the state dict are those that published checkpoints use. Where q, k and v are separate they are called
``q_proj``, ``k_proj`` and ``v_proj``, as in later models.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.heads import merge_heads, split_heads
from reknit.network.residual_mlp import ACTIVATIONS

Tokens = Int[Tensor, "batch length"]
Stream = Float[Tensor, "batch length width"]


class TransposedLinear(nn.Module):
    """A linear layer whose matrix is kept as inputs x outputs; OpenAI called it a convolution of kernel size 1."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        """``x W + b``."""
        return functional.linear(x, self.weight.T, self.bias)


def linear(config: Gpt2Config, inputs: int, outputs: int) -> nn.Module:
    """A linear layer in the config's layout."""
    return (TransposedLinear if config.transposed else nn.Linear)(inputs, outputs, bias=config.bias)


class Attention(nn.Module):
    """Attention of every token to itself and those before it."""

    def __init__(self, config: Gpt2Config) -> None:
        super().__init__()
        width = config.width
        if config.fused:
            self.c_attn = linear(config, width, 3 * width)
        else:
            self.q_proj, self.k_proj, self.v_proj = (linear(config, width, width) for _ in range(3))
        self.c_proj = linear(config, width, width)
        if config.masks:
            self.register_buffer(
                "bias", torch.ones(config.positions, config.positions, dtype=torch.bool).tril()[None, None]
            )
            self.register_buffer("masked_bias", torch.tensor(-1e4))
        self.config = config

    def forward(self, x: Stream) -> Stream:
        """What is added to the stream."""
        if self.config.fused:
            parts = self.c_attn(x).split(self.config.width, -1)
        else:
            parts = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        query, key, value = (split_heads(part, self.config.heads) for part in parts)
        read = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        added: Tensor = self.c_proj(merge_heads(read))
        return added


class FeedForward(nn.Module):
    """``proj(act(fc(x)))``."""

    def __init__(self, config: Gpt2Config) -> None:
        super().__init__()
        self.c_fc = linear(config, config.width, config.hidden)
        self.c_proj = linear(config, config.hidden, config.width)
        self.act = ACTIVATIONS[config.activation]

    def forward(self, x: Stream) -> Stream:
        """What is added to the stream."""
        added: Tensor = self.c_proj(self.act(self.c_fc(x)))
        return added


class Layer(nn.Module):
    """Attention, then feed-forward, each read through a norm and added to the stream."""

    def __init__(self, config: Gpt2Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, config.eps, bias=config.bias)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width, config.eps, bias=config.bias)
        self.mlp = FeedForward(config)

    def forward(self, x: Stream) -> Stream:
        """The new stream."""
        x = x + self.attn(self.ln_1(x))
        new: Tensor = x + self.mlp(self.ln_2(x))
        return new


class Gpt2Decoder(nn.Module):
    """Embeddings, layers and the last norm: GPT-2 without its head."""

    def __init__(self, config: Gpt2Config) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab, config.width)
        self.wpe = nn.Embedding(config.positions, config.width)
        self.h = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width, config.eps, bias=config.bias)

    def forward(self, tokens: Tokens) -> Stream:
        """The normed stream behind the last layer."""
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for layer in self.h:
            x = layer(x)
        normed: Tensor = self.ln_f(x)
        return normed


class Gpt2WithHead(nn.Module):
    """GPT-2 with the head that names the next token."""

    def __init__(self, config: Gpt2Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Gpt2Decoder(config)
        self.lm_head = nn.Linear(config.width, config.vocab, bias=False)
        if config.tied:
            self.lm_head.weight = self.transformer.wte.weight

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch length vocab"]:
        """Logits of the token that follows each."""
        logits: Tensor = self.lm_head(self.transformer(tokens))
        return logits


def gpt2(config: Gpt2Config) -> Gpt2Decoder | Gpt2WithHead:
    """The module of a config, in eval mode; build it under ``torch.device("meta")`` for a skeleton."""
    return (Gpt2WithHead if config.lm_head else Gpt2Decoder)(config).eval()


def example_inputs(config: Gpt2Config) -> tuple[Tokens]:
    """Token numbers: what one forward pass takes."""
    return (torch.zeros(2, min(8, config.positions), dtype=torch.int64),)
