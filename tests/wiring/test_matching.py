"""Slots and tensors by shape: pools in the order of the skeleton, whole numbers apart from real ones, every error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import PileError
from reknit.skeleton.skeleton import Skeleton, Slot
from reknit.wiring.matching import match_shapes
from reknit.wiring.pools import Pool


def skeleton(*slots):
    """A skeleton of (key, shape) or (key, shape, dtype)."""
    made = tuple(Slot(key, shape, *(rest or ["float32"]), family=key) for key, shape, *rest in slots)
    return Skeleton("net", made)


def matched(slots, tensors):
    """The pools of such slots and tensors."""
    shapes = {name: shape for name, shape, *_ in tensors}
    dtypes = {name: rest[0] if rest else "float32" for name, _, *rest in tensors}
    return match_shapes(skeleton(*slots), shapes, dtypes, "the pile")


SHAPES = st.lists(st.tuples(st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=6)


@given(SHAPES, st.randoms(use_true_random=False))
def test_every_slot_and_every_tensor_is_in_one_pool_of_its_shape(shapes, random):
    slots = [(f"slot {k}", shape) for k, shape in enumerate(shapes)]
    tensors = [(f"tensor {k}", shape) for k, shape in enumerate(random.sample(shapes, len(shapes)))]
    pools = matched(slots, tensors)
    assert sorted(key for pool in pools for key in pool.slots) == sorted(key for key, _ in slots)
    assert sorted(name for pool in pools for name in pool.tensors) == sorted(name for name, _ in tensors)
    for pool in pools:
        assert {dict(slots)[key] for key in pool.slots} == {dict(tensors)[name] for name in pool.tensors}
        assert len({dict(slots)[key] for key in pool.slots}) == 1
    assert len(pools) == len(set(shapes))
    assert [pool.slots[0] for pool in pools] == [f"slot {shapes.index(shape)}" for shape in dict.fromkeys(shapes)]


def test_whole_numbers_and_real_ones_of_one_shape_are_kept_apart():
    slots = [("steps", (3,), "int64"), ("bias", (3,)), ("more", (3,), "int64")]
    tensors = [("a", (3,), "bfloat16"), ("b", (3,), "int32"), ("c", (3,), "uint8")]
    assert matched(slots, tensors) == (Pool(("steps", "more"), ("b", "c")), Pool(("bias",), ("a",)))


def test_real_numbers_may_be_stored_more_coarsely_than_the_slot_wants():
    slots = [("a", (3,)), ("b", (3,))]
    assert matched(slots, [("x", (3,), "float16"), ("y", (3,), "float64")]) == (Pool(("a", "b"), ("x", "y")),)


REMEDY = "Give a skeleton that has exactly these tensors, or leave foreign tensors out."


@pytest.mark.parametrize(
    ("slots", "tensors", "problem"),
    [
        (
            [("w", (3, 4)), ("v", (3, 4))],
            [("t", (3, 4))],
            "net has 2 slots of shape 3 x 4 and the pile 1 tensors; such a slot is 'w'",
        ),
        (
            [("w", (3, 4))],
            [("t", (3, 4)), ("s", (3, 4))],
            "net has 1 slots of shape 3 x 4 and the pile 2 tensors; such a slot is 'w'",
        ),
        (
            [("w", (3,))],
            [("w", (3,)), ("t", (5, 1))],
            "net has 0 slots of shape 5 x 1 and the pile 1 tensors; such a tensor is 't'",
        ),
        (
            [("w", (3,)), ("n", ())],
            [("t", (3,))],
            "net has 1 slots of shape no axes and the pile 0 tensors; such a slot is 'n'",
        ),
        ([], [("t", (3,))], "net has 0 slots of shape 3 and the pile 1 tensors; such a tensor is 't'"),
        (
            [("w", (3,), "int64")],
            [("t", (3,))],
            "net has 1 slots of shape 3 and the pile 0 tensors; such a slot is 'w'",
        ),
    ],
)
def test_counts_that_differ_are_said_with_an_example(slots, tensors, problem):
    with pytest.raises(PileError) as caught:
        matched(slots, tensors)
    assert str(caught.value) == f"the pile: {problem}. {REMEDY}"
