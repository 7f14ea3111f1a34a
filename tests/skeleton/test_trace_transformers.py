"""Networks of transformers, built from small configurations without weights: the groups found by hand, and the proof.

``GROUPS`` counts the groups that may be permuted: what a tracer that gives up too early would miss.
"""

from functools import cache

import numpy as np
import pytest
import torch
import transformers as hub

from modules import Subject
from reknit.skeleton.symmetry import Symmetry
from reknit.skeleton.trace import trace

LAYERS = 2
TEXT = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
DECODER = TEXT | {"num_key_value_heads": 2, "use_cache": False}
IMAGE = {"image_size": 16, "patch_size": 8, "num_channels": 3}
VIT = IMAGE | {
    key: TEXT[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
}
T5 = {"vocab_size": 50, "d_model": 16, "d_kv": 3, "num_heads": 4, "d_ff": 24, "num_layers": LAYERS, "use_cache": False}

# class, configuration, groups that may be permuted, and what they are
NETS = {
    # stream; a layer: heads, query-key, value, hidden; pooler
    "bert": (hub.BertForSequenceClassification, hub.BertConfig(**TEXT), 1 + 4 * LAYERS + 1),
    "gpt2": (
        hub.GPT2LMHeadModel,
        hub.GPT2Config(vocab_size=50, n_embd=16, n_layer=LAYERS, n_head=4, use_cache=False, eos_token_id=2),
        1 + 4 * LAYERS,
    ),
    # stream; a layer: groups of heads, heads in each, value, hidden; query-key is fixed by the rotary embedding
    "llama": (hub.LlamaForCausalLM, hub.LlamaConfig(**DECODER), 1 + 4 * LAYERS),
    "mistral": (hub.MistralForCausalLM, hub.MistralConfig(**DECODER), 1 + 4 * LAYERS),
    "qwen3": (hub.Qwen3ForCausalLM, hub.Qwen3Config(**DECODER, head_dim=6), 1 + 4 * LAYERS),
    # one matrix for q, k and v, another for gate and hidden units
    "phi3": (hub.Phi3ForCausalLM, hub.Phi3Config(**DECODER), 1 + 4 * LAYERS),
    # stream; a layer: heads, value, hidden, and the query-key dimensions that are not rotated
    "gpt_neox": (hub.GPTNeoXForCausalLM, hub.GPTNeoXConfig(**TEXT, use_cache=False), 1 + 4 * LAYERS),
    # the heads have slopes that are constants; a layer: query-key, value, hidden
    "bloom": (
        hub.BloomForCausalLM,
        hub.BloomConfig(vocab_size=50, hidden_size=16, n_layer=LAYERS, n_head=4, use_cache=False),
        1 + 3 * LAYERS,
    ),
    # the table of relative positions ties the heads of all layers of the encoder, and of the decoder; attention to the
    # encoder has heads of its own; the embeddings are one, so the stream is one, and the encoder's is returned: fixed
    "t5": (
        hub.T5ForConditionalGeneration,
        hub.T5Config(**T5, decoder_start_token_id=0),
        (1 + 3 * LAYERS) + (1 + (2 + 3 + 1) * LAYERS),
    ),
    "vit": (hub.ViTForImageClassification, hub.ViTConfig(**VIT), 1 + 4 * LAYERS),
    # a stage: its stream, and the hidden channels of two blocks
    "resnet": (
        hub.ResNetForImageClassification,
        hub.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], layer_type="basic"),
        2 * (1 + 2),
    ),
    "convnext": (
        hub.ConvNextForImageClassification,
        hub.ConvNextConfig(hidden_sizes=[8, 16], depths=[2, 2], num_stages=2),
        2 * (1 + 2),
    ),
    # a stage: its stream; a block: heads, query-key, value, hidden
    "swin": (
        hub.SwinForImageClassification,
        hub.SwinConfig(image_size=16, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 4], window_size=4),
        2 * (1 + 2 * 4),
    ),
}
QUICK = ("bert",)
SINGLE = {"llama", "mistral", "qwen3", "phi3"}  # their norms and rotary embeddings compute in float32 whatever they get


def inputs_of(name):
    generator = torch.Generator().manual_seed(1)
    if name in {"vit", "resnet", "convnext", "swin"}:
        return (torch.randn(2, 3, 16, 16, generator=generator, dtype=torch.float64),)
    ids = torch.randint(3, 50, (2, 7), generator=generator)
    return {"input_ids": ids, "decoder_input_ids": ids.flip(1)} if name == "t5" else (ids,)


@cache
def subject_of(name):
    kind, config, _ = NETS[name]
    module, inputs = kind(config).double().eval(), inputs_of(name)
    return Subject(module, inputs, trace(module, inputs))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETS]
)
def test_a_network_of_transformers(name):
    subject, (_, _, groups) = subject_of(name), NETS[name]
    assert not subject.skeleton.refusals
    assert len(subject.free()) == groups
    rounding, changed = (2e-6, 1e-4) if name in SINGLE else (1e-12, 1e-8)
    symmetry = Symmetry.random(subject.skeleton, np.random.default_rng(0))
    assert subject.under(symmetry) < rounding
    for group in subject.free():
        # matrices: what a bias of the keys adds to the scores of a row is the same for all of them
        matrices = [member for member in group.members if len(subject.skeleton[member.slot].shape) > 1]
        for member in matrices[:: len(matrices) - 1] if name in QUICK else matrices:
            assert subject.alone(group, member) > changed, (group.name, member)


def test_the_stream_of_bert_runs_through_everything_and_is_fixed_when_it_is_returned():
    subject = subject_of("bert")
    (stream,) = (group for group in subject.free() if group.name == "stream")
    axes = {(member.slot.removeprefix("bert."), member.axis) for member in stream.members}
    assert axes >= {
        ("embeddings.word_embeddings.weight", 1),
        ("embeddings.LayerNorm.weight", 0),
        ("encoder.layer.1.attention.self.query.weight", 1),
        ("encoder.layer.1.attention.output.dense.weight", 0),
        ("encoder.layer.1.output.dense.bias", 0),
        ("pooler.dense.weight", 1),
    }
    bare = hub.BertModel(hub.BertConfig(**TEXT))
    (stream,) = (group for group in trace(bare, inputs_of("bert")).groups if group.name == "stream")
    assert stream.fixed == "output"


@pytest.mark.slow
def test_queries_that_share_a_key_are_permuted_within_it():
    groups = {group.name: group for group in subject_of("llama").free()}
    path = "model.layers.0.self_attn"
    shared, heads = groups[f"{path}.q_proj groups of heads"], groups[f"{path}.q_proj heads"]
    assert (shared.size, heads.size, heads.within) == (2, 2, shared.name)
    assert {member.slot for member in heads.members} == {f"{path}.q_proj.weight", f"{path}.o_proj.weight"}
    assert groups[f"{path}.v_proj value"].within == shared.name


@pytest.mark.slow
def test_a_norm_that_is_written_out_is_a_use_of_a_norm():
    skeleton = subject_of("llama").skeleton
    operations = {key: use for use in skeleton.uses for key in use.slots.values()}
    norm = operations["model.layers.1.input_layernorm.weight"]
    assert (norm.operation, norm.details) == ("rms_norm", {"eps": 1e-6})
    query = operations["model.layers.1.self_attn.q_proj.weight"]
    assert (query.operation, query.sources) == ("linear", (norm.step,))
    # the embedding, and what the two branches of the first layer write
    written = [operations[f"model.{name}.weight"].step for name in ("embed_tokens", "layers.0.self_attn.o_proj")]
    assert norm.sources == (*written, operations["model.layers.0.mlp.down_proj.weight"].step)
