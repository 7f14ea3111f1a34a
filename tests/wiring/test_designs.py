"""Designs: sizes and ends do not count, where norms stand, gates and rotary positions do."""

import pytest
from traced_nets import BERT, GPT2, LLAMA, RESIDUAL_MLP, around, built_in, kernels

from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.designs import design_of
from reknit.wiring.learned import learned


@pytest.mark.parametrize("like", [BERT, GPT2, LLAMA])
def test_the_transformers_that_evidence_was_learned_from_are_known_whatever_their_size(like):
    assert design_of(built_in(like)) in learned().designs
    assert design_of(built_in(like.replace("layers=2", "layers=3").replace("hidden=20", "hidden=28"))) == design_of(
        built_in(like)
    )


@pytest.mark.parametrize("more", ["pooler=false", "mlm_head=true,pooled_heads=a:3", "activation=relu"])
def test_what_stands_outside_of_the_blocks_does_not_count_nor_the_activation(more):
    assert design_of(built_in(f"{BERT},{more}")) == design_of(built_in(BERT))


def test_designs_differ_from_each_other():
    designs = [design_of(each) for each in (*map(built_in, (BERT, GPT2, LLAMA, RESIDUAL_MLP)), kernels())]
    assert len(set(designs)) == 5
    assert not set(designs[3:]) & learned().designs


def test_it_is_told_whether_the_stream_goes_on_with_a_norm_and_whether_positions_turn():
    post, _, llama = (design_of(built_in(like)) for like in (BERT, GPT2, LLAMA))
    assert "linear in bias < layer_norm that the stream goes on with" in post
    assert "linear gate < rms_norm" in llama
    assert "query+key turned" in llama
    assert "query+key turned" not in post


def test_a_net_without_blocks_or_slots_has_a_design_that_is_not_known():
    assert design_of(Skeleton("empty", ())) == ()
    assert design_of(around("key first")) not in learned().designs
