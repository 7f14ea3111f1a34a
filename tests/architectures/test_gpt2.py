"""GPT-2 against transformers' own with the same weights, in every layout."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.networks import assert_every_tensor_matters, assert_exports, build, filled, others_slow
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.gpt2 import example_inputs, gpt2
from reknit.architectures.load import hold
from reknit.errors import UsageError

SMALL = {"layers": 2, "width": 8, "heads": 2, "hidden": 12, "vocab": 11, "positions": 7}
CONFIGS = [
    Gpt2Config(**SMALL),
    Gpt2Config(**SMALL, fused=False, transposed=False, tied=False, activation="relu"),
    Gpt2Config(**SMALL, fused=False, lm_head=False),
    Gpt2Config(**SMALL, transposed=False, bias=False),
    Gpt2Config(**SMALL, masks=True),
]


def in_their_layout(config, state):
    """The same weights as transformers keeps them: fused and transposed."""
    theirs = dict(state)
    for layer in {key.rpartition(".attn.q_proj.")[0] for key in state} - {""}:
        for name in ("weight", "bias"):
            parts = [theirs.pop(f"{layer}.attn.{part}_proj.{name}") for part in "qkv"]
            theirs[f"{layer}.attn.c_attn.{name}"] = torch.cat(parts, -1 if config.transposed else 0)
    if not config.transposed:
        theirs = {key: value.T if ".c_" in key and value.ndim == 2 else value for key, value in theirs.items()}
    return theirs


def their_gpt2(config, kind):
    import transformers

    settings_ = transformers.GPT2Config(
        vocab_size=config.vocab,
        n_positions=config.positions,
        n_embd=config.width,
        n_layer=config.layers,
        n_head=config.heads,
        n_inner=config.hidden,
        activation_function={"gelu-tanh": "gelu_new"}.get(config.activation, config.activation),
        layer_norm_epsilon=config.eps,
        tie_word_embeddings=config.tied,
    )
    return getattr(transformers, kind)(settings_).double().eval()


@pytest.mark.slow
@settings(max_examples=8)
@given(st.sampled_from([True, False]), st.sampled_from([True, False]), st.booleans(), st.integers(0, 1000))
def test_is_that_of_transformers(fused, transposed, tied, seed):
    config = Gpt2Config(**SMALL, fused=fused, transposed=transposed, tied=tied)
    ours, theirs = filled(gpt2, config, seed), their_gpt2(config, "GPT2LMHeadModel")
    theirs.load_state_dict(in_their_layout(config, ours.state_dict()))
    tokens = torch.randint(config.vocab, (2, 7), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits)


@pytest.mark.slow
def test_without_head_is_that_of_transformers():
    config = Gpt2Config(**SMALL, lm_head=False, activation="relu")
    ours, theirs = filled(gpt2, config), their_gpt2(config, "GPT2Model")
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.arange(14).reshape(2, 7) % config.vocab
    torch.testing.assert_close(ours(tokens), theirs(tokens).last_hidden_state)


def test_without_biases_is_that_with_biases_of_zero():
    config = Gpt2Config(**SMALL, bias=False)
    ours = filled(gpt2, config)
    with_biases = build(gpt2, Gpt2Config(**SMALL))
    zeros = {key: torch.zeros(slot.shape, dtype=torch.float64) for key, slot in with_biases.state_dict().items()}
    tokens = torch.arange(14).reshape(2, 7) % config.vocab
    torch.testing.assert_close(ours(tokens), hold(with_biases, zeros | ours.state_dict())(tokens))


@pytest.mark.parametrize("config", others_slow(CONFIGS))
def test_exports_on_the_meta_device(config):
    assert_exports(gpt2, config, example_inputs)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_tensor_matters(config):
    # a shift that is the same for all keys cancels in the softmax; masks follow from the sizes
    no_effect = ("k_proj.bias", ".attn.bias", "masked_bias")
    assert_every_tensor_matters(gpt2, config, (torch.arange(14).reshape(2, 7) % config.vocab,), no_effect)


def test_tokens_do_not_see_what_follows():
    config = CONFIGS[0]
    model = filled(gpt2, config)
    tokens = torch.arange(7)[None]
    changed = tokens.clone()
    changed[0, 4] = 9
    torch.testing.assert_close(model(tokens)[:, :4], model(changed)[:, :4])
    assert not torch.allclose(model(tokens)[:, 4:], model(changed)[:, 4:])


def test_config_refuses_heads_that_do_not_divide():
    with pytest.raises(UsageError, match="gpt2: width is 8, which heads 3 does not divide"):
        Gpt2Config(**SMALL | {"heads": 3})
