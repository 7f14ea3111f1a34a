"""Llama against transformers' own with the same weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.networks import assert_every_tensor_matters, assert_exports, filled, others_slow
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.llama import example_inputs, llama
from reknit.errors import UsageError

SMALL = {"layers": 2, "width": 16, "heads": 4, "kv_heads": 2, "hidden": 12, "vocab": 11}
CONFIGS = [
    LlamaConfig(**SMALL),
    LlamaConfig(**SMALL | {"kv_heads": 4}, tied=True, qkv_bias=True, activation="gelu-tanh"),
    LlamaConfig(**SMALL | {"kv_heads": 1}, head_size=6, lm_head=False),
    LlamaConfig(**SMALL, qk_norm=True, qkv_bias=True, out_bias=True, mlp_bias=True, frequencies=True),
]


def common(config):
    """What transformers calls the sizes of a config."""
    return {
        "vocab_size": config.vocab,
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.size_of_head,
        "hidden_act": {"gelu-tanh": "gelu_pytorch_tanh"}.get(config.activation, config.activation),
        "rms_norm_eps": config.eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tied,
    }


def compare(config, theirs, seed):
    """Their RMSNorm computes in float32 whatever it is given, so this is as exact as float32."""
    ours = filled(llama, config, seed, torch.float32)
    theirs.eval().load_state_dict(ours.state_dict())
    tokens = torch.randint(config.vocab, (2, 7), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@settings(max_examples=8)
@given(
    st.sampled_from([1, 2, 4]), st.sampled_from([0, 6]), st.booleans(), st.sampled_from([1e4, 5e5]), st.integers(0, 999)
)
def test_is_that_of_transformers(kv_heads, head_size, tied, theta, seed):
    import transformers

    sizes = SMALL | {"kv_heads": kv_heads, "head_size": head_size}
    config = LlamaConfig(**sizes, tied=tied, rope_theta=theta)
    compare(config, transformers.LlamaForCausalLM(transformers.LlamaConfig(**common(config))), seed)


@pytest.mark.slow
def test_biases_are_those_of_transformers():
    import transformers

    config = LlamaConfig(**SMALL, qkv_bias=True, out_bias=True, mlp_bias=True, activation="gelu-tanh")
    settings_ = transformers.LlamaConfig(**common(config), attention_bias=True, mlp_bias=True)
    compare(config, transformers.LlamaForCausalLM(settings_), 0)


@pytest.mark.slow
def test_mistral_and_qwen_fit():
    import transformers

    plain = LlamaConfig(**SMALL)
    compare(plain, transformers.MistralForCausalLM(transformers.MistralConfig(**common(plain), sliding_window=None)), 0)
    biased = LlamaConfig(**SMALL, qkv_bias=True)
    compare(biased, transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**common(biased))), 1)
    normed = LlamaConfig(**SMALL, qk_norm=True, head_size=6)
    compare(normed, transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**common(normed))), 2)


@pytest.mark.parametrize("config", others_slow(CONFIGS))
def test_exports_on_the_meta_device(config):
    assert_exports(llama, config, example_inputs)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_tensor_matters(config):
    tokens = torch.arange(14).reshape(2, 7) % config.vocab
    assert_every_tensor_matters(llama, config, (tokens,), ("inv_freq",))  # it follows from the config


def test_tokens_do_not_see_what_follows():
    model = filled(llama, CONFIGS[0])
    tokens = torch.arange(7)[None]
    changed = tokens.clone()
    changed[0, 4] = 9
    torch.testing.assert_close(model(tokens)[:, :4], model(changed)[:, :4])
    assert not torch.allclose(model(tokens)[:, 4:], model(changed)[:, 4:])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"kv_heads": 3}, "llama: heads is 4, which kv_heads 3 does not divide. Choose another kv_heads."),
        ({"head_size": 3}, "llama: the size of a head is 3. Rotary positions turn pairs: choose an even size."),
        ({"heads": 6}, "llama: width is 16, which heads 6 does not divide. Choose another heads."),
    ],
)
def test_config_refuses(wrong, sentence):
    with pytest.raises(UsageError) as caught:
        LlamaConfig(**SMALL | wrong)
    assert str(caught.value) == sentence
