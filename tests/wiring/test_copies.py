"""Tensors of equal bits: every set once, nothing else in any; they are no rivals of each other."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reknit.wiring.copies import equal_sets, labels

ARRAYS = st.lists(
    st.tuples(st.lists(st.sampled_from([0.0, -0.0, 1.0, np.nan]), max_size=2), st.sampled_from(["f4", "f8"])),
    max_size=7,
)


@given(ARRAYS)
def test_names_share_a_set_exactly_where_dtype_shape_and_bits_agree(drawn):
    arrays = {f"t{k}": np.array(numbers, dtype) for k, (numbers, dtype) in enumerate(drawn)}
    sets = equal_sets(arrays, arrays.__getitem__)
    label = labels(list(arrays), arrays.__getitem__)
    assert all(len(names) > 1 for names in sets)
    assert len({name for names in sets for name in names}) == sum(map(len, sets))
    for (k, (first, a)), (m, (second, b)) in itertools.combinations(enumerate(arrays.items()), 2):
        same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        assert same == any(first in names and second in names for names in sets)
        assert same == (label[k] == label[m])


def test_rows_of_another_order_in_memory_are_compared_by_their_numbers():
    plain = np.arange(6.0).reshape(2, 3)
    arrays = {"a": plain, "b": np.asfortranarray(plain), "c": plain[::-1][::-1]}
    assert equal_sets(arrays, arrays.__getitem__) == (("a", "b", "c"),)
