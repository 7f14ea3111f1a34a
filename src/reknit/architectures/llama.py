"""A Llama-like decoder: RMSNorm before each branch, rotary positions, grouped-query attention, a gated feed-forward.

Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", arXiv 2302.13971, with the rotary positions of
Su et al., arXiv 2104.09864, and the grouped queries of Ainslie et al., arXiv 2305.13245:

    x = token
    x = x + o(attention(rotate(q(n)), rotate(k(n)), v(n))),  n = norm(x)
    x = x + down(act(gate(n)) * up(n)),                      n = norm(x)     for every layer
    logits = head(norm(x))

Position p turns the pair (i, i + s/2) of a head of size s by the angle p theta^(-2i/s): the order of units in which
Hugging Face keeps q and k. The keys of the state dict are those of published checkpoints; Mistral and Qwen 2 and 3 fit.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.heads import merge_heads, split_heads
from reknit.network.residual_mlp import ACTIVATIONS

Tokens = Int[Tensor, "batch length"]
Stream = Float[Tensor, "batch length width"]
Heads = Float[Tensor, "batch heads length size"]
Angles = Float[Tensor, "length size"]


def frequencies(config: LlamaConfig) -> Float[Tensor, " pairs"]:
    """The angle by which one position turns each pair of a head."""
    size = config.size_of_head
    return config.rope_theta ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)


def rotate(x: Heads, angles: Angles) -> Heads:
    """Turn the pairs (i, i + size/2) of every head."""
    first, second = x.chunk(2, -1)
    return x * angles.cos().to(x.dtype) + torch.cat((-second, first), -1) * angles.sin().to(x.dtype)


def repeat_heads(x: Heads, times: int) -> Heads:
    """Each head ``times`` times in a row: the group of queries that ask it."""
    if times == 1:
        return x
    return x[:, :, None].expand(-1, -1, times, -1, -1).flatten(1, 2)


class Attention(nn.Module):
    """Attention of every token to itself and those before it; several queries share a key and a value."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        size = config.size_of_head
        self.q_proj = nn.Linear(config.width, config.heads * size, bias=config.qkv_bias)
        self.k_proj = nn.Linear(config.width, config.kv_heads * size, bias=config.qkv_bias)
        self.v_proj = nn.Linear(config.width, config.kv_heads * size, bias=config.qkv_bias)
        self.o_proj = nn.Linear(config.heads * size, config.width, bias=config.out_bias)
        if config.qk_norm:
            self.q_norm = nn.RMSNorm(size, config.eps)
            self.k_norm = nn.RMSNorm(size, config.eps)
        if config.frequencies:
            self.rotary_emb = Rotary(config)
        self.config = config

    def forward(self, x: Stream, angles: Angles) -> Stream:
        """What is added to the stream."""
        config = self.config
        query = split_heads(self.q_proj(x), config.heads)
        key = split_heads(self.k_proj(x), config.kv_heads)
        value = split_heads(self.v_proj(x), config.kv_heads)
        if config.qk_norm:
            query, key = self.q_norm(query), self.k_norm(key)
        shared = config.heads // config.kv_heads
        key, value = repeat_heads(rotate(key, angles), shared), repeat_heads(value, shared)
        read = functional.scaled_dot_product_attention(rotate(query, angles), key, value, is_causal=True)
        added: Tensor = self.o_proj(merge_heads(read))
        return added


class Rotary(nn.Module):
    """Where older checkpoints keep the frequencies; they follow from the config, so nothing reads them."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.register_buffer("inv_freq", frequencies(config))


class GatedFeedForward(nn.Module):
    """``down(act(gate(x)) * up(x))``."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=config.mlp_bias)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=config.mlp_bias)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=config.mlp_bias)
        self.act = ACTIVATIONS[config.activation]

    def forward(self, x: Stream) -> Stream:
        """What is added to the stream."""
        added: Tensor = self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))
        return added


class Layer(nn.Module):
    """Attention, then feed-forward, each read through a norm and added to the stream."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = GatedFeedForward(config)
        self.input_layernorm = nn.RMSNorm(config.width, config.eps)
        self.post_attention_layernorm = nn.RMSNorm(config.width, config.eps)

    def forward(self, x: Stream, angles: Angles) -> Stream:
        """The new stream."""
        x = x + self.self_attn(self.input_layernorm(x), angles)
        new: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return new


class LlamaDecoder(nn.Module):
    """Embedding, layers and the last norm: Llama without its head."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.eps)

    def forward(self, tokens: Tokens) -> Stream:
        """The normed stream behind the last layer."""
        positions = torch.arange(tokens.shape[1], device=tokens.device, dtype=torch.float32)
        angles = torch.outer(positions, frequencies(self.config).to(tokens.device)).repeat(1, 2)
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, angles)
        normed: Tensor = self.norm(x)
        return normed


class LlamaWithHead(nn.Module):
    """Llama with the head that names the next token."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = LlamaDecoder(config)
        self.lm_head = nn.Linear(config.width, config.vocab, bias=False)
        if config.tied:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch length vocab"]:
        """Logits of the token that follows each."""
        logits: Tensor = self.lm_head(self.model(tokens))
        return logits


def llama(config: LlamaConfig) -> LlamaDecoder | LlamaWithHead:
    """The module of a config, in eval mode; build it under ``torch.device("meta")`` for a skeleton."""
    return (LlamaWithHead if config.lm_head else LlamaDecoder)(config).eval()


def example_inputs(_config: LlamaConfig) -> tuple[Tokens]:
    """Token numbers: what one forward pass takes."""
    return (torch.zeros(2, 8, dtype=torch.int64),)
