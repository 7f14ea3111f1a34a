"""What vectors are is read off the skeleton: kinds, depths, the matrices beside them; never off a name."""

import pytest
from traced_nets import BERT, GPT2, LLAMA, RESIDUAL_MLP, around, built_in, kernels

from reknit.wiring.vector_slots import Side, find_vectors


def kinds(skeleton):
    return {vector.slot: vector.kind for vector in find_vectors(skeleton)}


def test_a_bert():
    vectors = {vector.slot: vector for vector in find_vectors(built_in(BERT))}
    layer = "encoder.layer.1."
    attention = {name: vectors[f"{layer}attention.self.{name}.bias"] for name in ("query", "key", "value")}
    assert {name: vector.kind for name, vector in attention.items()} == {name: f"{name} bias" for name in attention}
    assert {vector.depth for vector in attention.values()} == {2}
    out = vectors[f"{layer}attention.output.dense.bias"]
    assert (out.kind, out.own) == ("attention out bias", Side(f"{layer}attention.output.dense.weight", 0))
    assert out.readers == (Side(f"{layer}intermediate.dense.weight", 1),)
    norm = vectors[f"{layer}attention.output.LayerNorm.weight"]
    assert (norm.kind, norm.part, norm.depth) == ("post gain before mlp", "gain", 3)
    assert norm.readers == (Side(f"{layer}intermediate.dense.weight", 1),)
    assert norm.writers == (Side(f"{layer}attention.output.dense.weight", 0),)
    first = vectors["embeddings.LayerNorm.bias"]
    assert (first.kind, first.part) == ("post shift before attention", "shift")


def test_norms_that_the_stream_does_not_pass_and_fused_matrices():
    found = kinds(built_in(GPT2))
    assert found["transformer.h.1.ln_1.bias"] == "shift before attention"
    assert found["transformer.h.1.ln_2.weight"] == "gain before mlp"
    assert found["transformer.ln_f.weight"] == "gain before end"
    assert found["transformer.h.0.attn.c_attn.bias"] == "query+key+value bias"
    # kept input first: the vector runs along the second axis
    vectors = {vector.slot: vector for vector in find_vectors(built_in(GPT2))}
    assert vectors["transformer.h.0.attn.c_proj.bias"].own == Side("transformer.h.0.attn.c_proj.weight", 1)
    assert set(kinds(built_in(LLAMA)).values()) == {"gain before attention", "gain before mlp", "gain before end"}


def test_every_vector_that_is_one_is_found_once():
    for skeleton in (built_in(BERT), built_in(GPT2), built_in(RESIDUAL_MLP), kernels()):
        found = [vector.slot for vector in find_vectors(skeleton)]
        assert sorted(found) == sorted(slot.key for slot in skeleton.slots if len(slot.shape) == 1)


@pytest.mark.parametrize("branch", ["key first", "key first by hand"])
def test_queries_and_keys_are_told_by_what_they_do(branch):
    found = kinds(around(branch))
    named = {
        slot.rsplit(".", 2)[-2]: kind for slot, kind in found.items() if kind.split()[0] in ("query", "key", "value")
    }
    assert named == {"a": "key bias", "b": "value bias", "c": "query bias"}
