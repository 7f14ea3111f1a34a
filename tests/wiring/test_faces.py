"""Faces by kind, depth, part and units; what attention and gates say about their operands."""

import pytest
from traced_nets import BERT, GPT2, LLAMA, RESIDUAL_MLP, around, built_in, kernels

from reknit.skeleton.skeleton import Meeting, Skeleton
from reknit.wiring.faces import KINDS, find_faces


def by_slot(skeleton, kind):
    return [face.slot for face in find_faces(skeleton) if face.kind == kind]


def told(skeleton, prefix):
    """(slot below the prefix, kind, depth, part) of the faces there."""
    faces = [face for face in find_faces(skeleton) if face.slot.startswith(prefix)]
    return {(face.slot.removeprefix(prefix), face.kind, face.depth, face.part) for face in faces}


def units(skeleton, *kinds, depth):
    """The groups of units that faces of these kinds have at a depth; one, where they share them."""
    return {face.units for face in find_faces(skeleton) if face.kind in kinds and face.depth == depth}


@pytest.mark.parametrize("layer", [0, 1])
def test_a_layer_of_bert(layer):
    assert told(built_in(BERT), f"encoder.layer.{layer}.") == {
        ("attention.self.query.weight", "query", 2 * layer, (0, 12)),
        ("attention.self.key.weight", "key", 2 * layer, (0, 12)),
        ("attention.self.value.weight", "value", 2 * layer, (0, 12)),
        ("attention.output.dense.weight", "attention out", 2 * layer, (0, 12)),
        ("intermediate.dense.weight", "in", 2 * layer + 1, (0, 20)),
        ("output.dense.weight", "out", 2 * layer + 1, (0, 20)),
    }


def test_the_ends_of_bert():
    assert told(built_in(BERT), "embeddings.") == {
        ("word_embeddings.weight", "source", -1, (0, 30)),
        ("position_embeddings.weight", "source", -1, (0, 8)),
        ("token_type_embeddings.weight", "source", -1, (0, 2)),
    }
    assert told(built_in(BERT), "pooler.") == {("dense.weight", "end", 4, (0, 12))}


HEADS = f"{BERT},mlm_head=true,pooled_heads=a:3-b:2"


def test_what_a_pooler_makes_of_the_stream_is_read_by_its_heads():
    ends = {
        (face.slot, face.kind, face.stream, face.reads, face.axis)
        for face in find_faces(built_in(HEADS))
        if face.kind in ("pooled", "head")
    }
    units = "bert.pooler.dense"
    assert ends == {
        ("bert.pooler.dense.weight", "pooled", units, False, 0),
        ("cls.a.weight", "head", units, True, 1),
        ("cls.b.weight", "head", units, True, 1),
    }


@pytest.mark.parametrize(
    ("like", "slot", "depth"),
    [(HEADS, "bert.embeddings.word_embeddings.weight", 5), (GPT2, "transformer.wte.weight", 4)],
)
def test_a_tied_embedding_writes_at_the_start_and_reads_at_the_end(like, slot, depth):
    faces = [face for face in find_faces(built_in(like)) if face.slot == slot]
    assert [(face.kind, face.reads, face.depth, face.axis) for face in faces] == [
        ("source", False, -1, 1),
        ("end", True, depth, 1),
    ]


@pytest.mark.parametrize("transposed", [True, False])
def test_a_fused_matrix_has_three_faces_in_both_layouts(transposed):
    skeleton = built_in(f"{GPT2},transposed={str(transposed).lower()}")
    assert told(skeleton, "transformer.h.1.") == {
        ("attn.c_attn.weight", "query", 2, (0, 12)),
        ("attn.c_attn.weight", "key", 2, (12, 24)),
        ("attn.c_attn.weight", "value", 2, (24, 36)),
        ("attn.c_proj.weight", "attention out", 2, (0, 12)),
        ("mlp.c_fc.weight", "in", 3, (0, 20)),
        ("mlp.c_proj.weight", "out", 3, (0, 20)),
    }
    for face in find_faces(skeleton):
        if face.slot.startswith("transformer.h."):
            assert face.axis == (face.reads != transposed)
            assert face.rest == 1 - face.axis
            assert skeleton[face.slot].shape[face.axis] == 12


def test_a_layer_of_llama_with_grouped_queries():
    assert told(built_in(LLAMA), "model.layers.1.") == {
        ("self_attn.q_proj.weight", "query", 2, (0, 16)),
        ("self_attn.k_proj.weight", "key", 2, (0, 8)),
        ("self_attn.v_proj.weight", "value", 2, (0, 8)),
        ("self_attn.o_proj.weight", "attention out", 2, (0, 16)),
        ("mlp.gate_proj.weight", "gate", 3, (0, 20)),
        ("mlp.up_proj.weight", "in", 3, (0, 20)),
        ("mlp.down_proj.weight", "out", 3, (0, 20)),
    }


def test_a_residual_mlp_counts_from_what_reads_the_input():
    faces = [(face.slot, face.kind, face.depth) for face in find_faces(built_in(RESIDUAL_MLP))]
    expected = [(f"blocks.{k}.{part}.weight", part, k - 1) for k in range(3) for part in ("in", "out")] + [
        ("head.weight", "end", 2)
    ]
    assert faces == expected


def test_kernels_have_faces_of_their_channels():
    faces = {face.slot: face for face in find_faces(kernels())}
    assert [faces[f"inp.{k}.weight"].kind for k in range(2)] == ["in", "in"]
    assert [faces[f"out.{k}.weight"].depth for k in range(2)] == [0, 1]
    assert (faces["out.0.weight"].axis, faces["out.0.weight"].rest) == (0, 1)
    assert faces["stem.weight"].kind == "source"


@pytest.mark.parametrize("like", [BERT, GPT2, LLAMA])
def test_readers_and_writers_of_a_sub_block_share_units_and_no_other_does(like):
    skeleton = built_in(like)
    for depth in (0, 2):
        values, asked = (
            units(skeleton, "value", "attention out", depth=depth),
            units(skeleton, "query", "key", depth=depth),
        )
        hidden = units(skeleton, "in", "gate", "out", depth=depth + 1)
        assert len(values) == len(asked) == len(hidden) == 1
        assert len(values | asked | hidden) == 3
    assert not units(skeleton, "value", depth=0) & units(skeleton, "value", depth=2)


@pytest.mark.parametrize("like", [BERT, GPT2, LLAMA, RESIDUAL_MLP])
def test_faces_come_in_the_order_of_the_forward_pass_on_one_stream(like):
    faces = find_faces(built_in(like))
    assert [face.depth for face in faces] == sorted(face.depth for face in faces)
    assert {face.stream for face in faces} == {"stream"}
    assert {face.kind for face in faces} <= set(KINDS)
    writers = {"source", "out", "attention out"}
    assert all(face.reads != (face.kind in writers) for face in faces)


@pytest.mark.parametrize("branch", ["key first", "key first by hand"])
def test_attention_says_which_matrix_asks_whatever_their_order_and_names(branch):
    skeleton = around(branch)
    assert by_slot(skeleton, "key") == ["1.branch.a.weight"]
    assert by_slot(skeleton, "value") == ["1.branch.b.weight"]
    assert by_slot(skeleton, "query") == ["1.branch.c.weight"]
    assert by_slot(skeleton, "attention out") == ["1.branch.out.weight"]


@pytest.mark.parametrize("left", ["a", "b"])
@pytest.mark.parametrize(("bent", "other"), [("a", "b"), ("b", "a")])
def test_the_gate_is_the_one_that_goes_through_the_activation(bent, other, left):
    skeleton = around(f"gate {bent} left {left}")
    assert by_slot(skeleton, "gate") == [f"1.branch.{bent}.weight"]
    assert f"1.branch.{other}.weight" in by_slot(skeleton, "in")


def test_meetings_name_the_uses_that_meet():
    attention, gate = around("key first"), around("gate b left a")
    steps = [{use.slots.get("weight"): use.step for use in skeleton.uses} for skeleton in (attention, gate)]
    q, k, v = (steps[0][f"1.branch.{name}.weight"] for name in "cab")
    a, b = (steps[1][f"1.branch.{name}.weight"] for name in "ab")
    met = Meeting("scaled_dot_product_attention", {"query": (q,), "key": (k,), "value": (v,)})
    assert attention.meetings == (met,)
    assert gate.meetings == (Meeting("mul", {"first": (a,), "second": (b,)}, bent=("second",)),)


def test_attention_by_hand_is_two_products_of_which_the_second_is_bent():
    skeleton = around("key first by hand")
    step = {use.slots.get("weight"): use.step for use in skeleton.uses}
    q, k, v = (step[f"1.branch.{name}.weight"] for name in "cab")
    scores, read = skeleton.meetings
    assert (scores.operation, scores.operands, scores.bent) == ("matmul", {"first": (q,), "second": (k,)}, ())
    assert read.operands == {"first": tuple(sorted((q, k))), "second": (v,)}
    assert read.bent == ("first",)


def test_a_product_with_what_came_from_the_same_use_is_no_meeting():
    assert built_in(BERT).meetings[0].operation == "scaled_dot_product_attention"
    assert len(built_in(BERT).meetings) == 2
    assert around("fused gate").meetings == ()


def test_both_halves_of_a_fused_gate_are_readers_of_the_same_units():
    faces = [face for face in find_faces(around("fused gate")) if face.slot.startswith("1.branch.")]
    assert [(face.part, face.reads) for face in faces] == [((0, 6), True), ((6, 12), True), ((0, 6), False)]
    assert len({face.units for face in faces}) == 1


def test_a_skeleton_without_a_stream_has_no_faces():
    assert find_faces(built_in("mlp:sizes=6-8-8-2")) == ()
    assert find_faces(Skeleton("empty", ())) == ()
