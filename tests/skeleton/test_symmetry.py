"""A symmetry is a value: frozen, printable, invertible, and only on what may be permuted."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import UsageError
from reknit.skeleton.skeleton import Group, Member, Skeleton, Slot
from reknit.skeleton.symmetry import Permutation, Symmetry
from strategies import seeds


@st.composite
def skeletons(draw: st.DrawFn) -> Skeleton:
    """Heads x size beside a fused part on one axis, the heads on another axis of a second slot, and a fixed group."""
    heads, size, other, gap = (draw(st.integers(2, 4)) for _ in range(4))
    start, step = draw(st.integers(0, 3)), size + gap
    slots = (
        Slot("fused", (start + heads * step, other), "float64", "fused"),
        Slot("apart", (heads, 3, size), "float64", "apart", aliases=("alias",)),
    )
    groups = (
        Group("heads", heads, (Member("fused", 0, start=start, inner=step), Member("apart", 0))),
        Group(
            "size",
            size,
            (Member("fused", 0, start=start, outer=heads, gap=gap), Member("apart", 2)),
            within="heads",
        ),
        Group("other", other, (Member("fused", 1),)),
        Group("still", 3, (Member("apart", 1),), fixed="input"),
    )
    return Skeleton("drawn", slots, groups)


def tensors_of(skeleton, seed):
    rng = np.random.default_rng(seed)
    tensors = {slot.key: rng.standard_normal(slot.shape) for slot in skeleton.slots}
    return tensors | {"alias": tensors["apart"], "no slot": np.arange(3)}


@given(skeleton=skeletons(), seed=seeds)
def test_every_entry_lands_where_the_definition_says(skeleton, seed):
    tensors = tensors_of(skeleton, seed)
    symmetry = Symmetry.random(skeleton, np.random.default_rng(seed))
    heads, size, other = (permutation.order for permutation in symmetry.permutations)
    moved = symmetry.apply(tensors)
    fused, member = skeleton.groups[1].members[0], skeleton.groups[0].members[0]
    for h in range(heads.shape[1]):
        for u in range(size.shape[1]):
            new = fused.start + h * member.inner + u
            old = fused.start + heads[0, h] * member.inner + size[h, u]
            assert np.array_equal(moved["fused"][new], tensors["fused"][old][other[0]])
            assert np.array_equal(moved["apart"][h, :, u], tensors["apart"][heads[0, h], :, size[h, u]])
    assert np.array_equal(moved["alias"], moved["apart"])
    assert moved["no slot"] is tensors["no slot"]


@given(skeleton=skeletons(), seed=seeds)
def test_inverse_and_composition(skeleton, seed):
    rng, tensors = np.random.default_rng(seed), tensors_of(skeleton, seed)
    first, second = Symmetry.random(skeleton, rng), Symmetry.random(skeleton, rng)
    second = Symmetry(skeleton, second.permutations[: 1 + seed % 3])
    both = first.then(second).apply(tensors)
    for key, array in second.apply(first.apply(tensors)).items():
        assert np.array_equal(array, both[key])
    for symmetry in (first, second, Symmetry(skeleton, second.permutations[:1])):
        back = symmetry.inverse().apply(symmetry.apply(tensors))
        assert all(np.array_equal(back[key], tensors[key]) for key in tensors)
        assert symmetry.inverse().inverse().apply(tensors).keys() == tensors.keys()


@given(skeleton=skeletons(), seed=seeds)
def test_torch_tensors_move_as_arrays_do(skeleton, seed):
    arrays = tensors_of(skeleton, seed)
    symmetry = Symmetry.random(skeleton, np.random.default_rng(seed))
    moved = symmetry.apply({key: torch.from_numpy(array) for key, array in arrays.items()})
    for key, array in symmetry.apply(arrays).items():
        assert np.array_equal(moved[key].numpy(), array)


HEADS = Skeleton(
    "two heads",
    (Slot("q", (4,), "float32", "q"),),
    (
        Group("heads", 2, (Member("q", 0, inner=2),)),
        Group("size", 2, (Member("q", 0, outer=2),), within="heads"),
        Group("still", 2, (), fixed="output"),
    ),
)


@pytest.mark.parametrize(
    ("group", "order", "sentence"),
    [
        ("head", [0, 1], "head: the skeleton has no such group. See reknit couple."),
        ("still", [1, 0], "still: the group is fixed: output."),
        ("heads", [0, 0], "heads: an order does not name every unit once."),
        ("heads", [0, 1, 2], "heads: the order is (1, 3), not (1, 2)."),
        ("size", [1, 0], "size: the order is (1, 2), not (2, 2)."),
    ],
)
def test_what_is_no_symmetry_is_told(group, order, sentence):
    with pytest.raises(UsageError) as error:
        Symmetry(HEADS, (Permutation(group, np.array(order)),))
    assert str(error.value) == sentence


def test_a_tensor_of_another_shape_is_told():
    symmetry = Symmetry(HEADS, (Permutation("heads", np.array([1, 0])),))
    with pytest.raises(UsageError, match=r"^q: the tensor is \(3,\), the slot \(4,\)\.$"):
        symmetry.apply({"q": np.zeros(3)})
    with pytest.raises(UsageError, match="two heads: a group has two permutations"):
        Symmetry(HEADS, symmetry.permutations * 2)


def test_it_prints_and_cannot_be_changed():
    symmetry = Symmetry(
        HEADS, (Permutation("heads", np.array([1, 0])), Permutation("size", np.array([[0, 1], [1, 0]])))
    )
    assert str(symmetry) == "heads: 2 of 2 units moved\nsize: 2 of 4 units moved"
    with pytest.raises(ValueError, match="read-only"):
        symmetry.permutations[0].order[0, 0] = 0
    assert symmetry.inverse().inverse() == symmetry
    assert len({symmetry.permutations[0], symmetry.inverse().permutations[0]}) == 1
