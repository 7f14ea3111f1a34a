"""Faces as matrices: plain indexing is the oracle, loops are that of gathered sums."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced_nets import GPT2, LLAMA, around, built_in, kernels, numbers

from reknit.wiring.faces import find_faces
from reknit.wiring.layout import Layout, gathered, layout_of, shared_labels


@st.composite
def laid(draw):
    """A tensor of two to four axes and a layout of it."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=2, max_size=4)))
    axis = draw(st.integers(0, 1))
    start = draw(st.integers(0, shape[1 - axis] - 1))
    stop = draw(st.integers(start + 1, shape[1 - axis]))
    tensor = np.random.default_rng(draw(st.integers(0, 10**6))).normal(size=shape)
    return tensor, Layout(shape, axis, 1 - axis, (start, stop))


def entries(tensor, layout):
    """(unit within the part, coordinate of the stream, taps, number) one by one."""
    start, stop = layout.part
    for where in itertools.product(*map(range, tensor.shape)):
        if start <= where[layout.rest] < stop:
            yield where[layout.rest] - start, where[layout.axis], where[2:], tensor[where]


@given(laid())
def test_by_stream_is_plain_indexing(case):
    tensor, layout = case
    taps = tensor.shape[2:]
    units = layout.part[1] - layout.part[0]
    found = layout.by_stream(tensor).reshape(tensor.shape[layout.axis], units, *taps)
    assert found.size == units * tensor.size // tensor.shape[layout.rest]
    for unit, coordinate, tap, number in entries(tensor, layout):
        assert found[(coordinate, unit, *tap)] == number


@given(laid(), st.booleans())
def test_by_unit_is_plain_indexing_with_taps_backwards_if_asked(case, flipped):
    tensor, layout = case
    taps = tensor.shape[2:]
    units = layout.part[1] - layout.part[0]
    found = layout.by_unit(tensor, flipped).reshape(units, tensor.shape[layout.axis], *taps)
    for unit, coordinate, tap, number in entries(tensor, layout):
        place = tuple(size - 1 - t for size, t in zip(taps, tap, strict=True)) if flipped else tap
        assert found[(unit, coordinate, *place)] == number


@given(laid())
def test_without_units_the_whole_tensor_is_laid_out(case):
    tensor, layout = case
    whole = Layout(tensor.shape, layout.axis, -1, (0, 0)).by_stream(tensor)
    np.testing.assert_array_equal(whole, np.moveaxis(tensor, layout.axis, 0).reshape(tensor.shape[layout.axis], -1))


def test_flipped_kernels_give_the_trace_of_the_middle_tap_of_their_product():
    rng = np.random.default_rng(0)
    inner, outer = rng.normal(size=(5, 6, 3)), rng.normal(size=(6, 5, 3))
    product = np.zeros((6, 6, 5))
    for s, t in itertools.product(range(6), range(6)):
        product[s, t] = sum(np.convolve(outer[s, u], inner[u, t]) for u in range(5))
    left, right = Layout((5, 6, 3), 1, 0, (0, 5)), Layout((6, 5, 3), 0, 1, (0, 5))
    found = (left.by_unit(inner) * right.by_unit(outer, flipped=True)).sum()
    assert found == pytest.approx(np.trace(product[:, :, 2]))


def test_faces_of_a_fused_matrix_are_its_thirds():
    skeleton = built_in(GPT2)
    tensor = numbers(skeleton)["transformer.h.0.attn.c_attn.weight"]
    faces = [face for face in find_faces(skeleton) if face.slot == "transformer.h.0.attn.c_attn.weight"]
    for k, face in enumerate(faces):
        part = tensor[:, 12 * k : 12 * k + 12]
        np.testing.assert_array_equal(layout_of(skeleton, face).by_stream(tensor), part)
        np.testing.assert_array_equal(layout_of(skeleton, face).by_unit(tensor), part.T)


@given(seed=st.integers(0, 10**6), count=st.integers(1, 8), kinds=st.integers(1, 4))
def test_gathered_is_a_loop(seed, count, kinds):
    rng = np.random.default_rng(seed)
    rows, labels = rng.normal(size=(count, 3)), rng.integers(kinds, size=count)
    found = gathered(rows, labels)
    expected = [sum(row for row, label in zip(rows, labels, strict=True) if label == k) for k in sorted(set(labels))]
    np.testing.assert_allclose(found, expected)


def face_of(skeleton, slot, kind):
    (face,) = (face for face in find_faces(skeleton) if (face.slot, face.kind) == (slot, kind))
    return face


@pytest.mark.parametrize(
    ("skeleton", "value", "out", "groups", "shared", "size"),
    [
        (
            lambda: built_in(LLAMA),
            "model.layers.0.self_attn.v_proj.weight",
            "model.layers.0.self_attn.o_proj.weight",
            2,
            2,
            4,
        ),
        (lambda: around("grouped"), "1.branch.v.weight", "1.branch.out.weight", 2, 2, 3),
    ],
)
def test_with_grouped_queries_an_out_is_summed_over_the_heads_that_share_a_value(
    skeleton, value, out, groups, shared, size
):
    skeleton = skeleton()
    first, second = face_of(skeleton, value, "value"), face_of(skeleton, out, "attention out")
    labels = shared_labels(skeleton, first, second)
    tensor = numbers(skeleton)[out]
    rows = layout_of(skeleton, second).by_unit(tensor)
    sums = np.zeros((groups * size, len(tensor)))
    for g, h, d in itertools.product(range(groups), range(shared), range(size)):
        sums[g * size + d] += tensor[:, (g * shared + h) * size + d]
    np.testing.assert_allclose(gathered(rows, labels[1]), sums[np.argsort(labels[0])], rtol=1e-5)
    assert sorted(set(labels[0])) == sorted(set(labels[1]))
    assert len(set(labels[0])) == groups * size


def test_labels_of_a_fused_matrix_join_query_and_key_unit_by_unit():
    skeleton = built_in(GPT2)
    slot = "transformer.h.0.attn.c_attn.weight"
    query, key, value = (face_of(skeleton, slot, kind) for kind in ("query", "key", "value"))
    labels = shared_labels(skeleton, query, key)
    np.testing.assert_array_equal(*labels)
    assert len(set(labels[0])) == 12
    in_heads = shared_labels(skeleton, query, value)  # they share the heads and nothing within
    np.testing.assert_array_equal(*in_heads)
    assert [list(in_heads[0]).count(label) for label in sorted(set(in_heads[0]))] == [4, 4, 4]


def test_faces_that_share_no_group_are_all_alike():
    skeleton = kernels()
    first, second = face_of(skeleton, "inp.0.weight", "in"), face_of(skeleton, "inp.1.weight", "in")
    assert [set(labels) for labels in shared_labels(skeleton, first, second)] == [{0}, {0}]
    own = shared_labels(skeleton, first, face_of(skeleton, "out.0.weight", "out"))
    np.testing.assert_array_equal(*own)
    assert len(set(own[0])) == 5
