"""Axes as other frameworks keep them: the way that fits is found, shapes and arrays agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.wiring.turned import Turned, turned

SHAPE = st.lists(st.integers(1, 5), max_size=4).map(tuple)
WAYS = [Turned(), Turned(kernels=True), Turned(matrices=True), Turned(kernels=True, matrices=True)]


@given(SHAPE, st.sampled_from(WAYS))
def test_the_shape_is_that_of_the_array(shape, way):
    array = way.array(np.zeros(shape))
    assert array.shape == way.shape(shape)
    assert sorted(array.shape) == sorted(shape)


@given(st.lists(SHAPE, max_size=5), st.sampled_from(WAYS), st.randoms(use_true_random=False))
def test_a_way_is_found_under_which_the_pile_has_the_shapes_that_are_wanted(shapes, way, random):
    wanted = [way.shape(shape) for shape in shapes]
    found = turned(random.sample(shapes, len(shapes)), wanted)
    assert sorted(map(found.shape, shapes)) == sorted(wanted)
    assert WAYS.index(found) <= WAYS.index(way)  # the least turning that will do


@pytest.mark.parametrize(
    ("shapes", "wanted", "way"),
    [
        ([(11, 4, 32), (32, 7)], [(32, 4, 11), (32, 7)], Turned(kernels=True)),
        ([(3, 3, 4, 32), (7, 32)], [(32, 4, 3, 3), (32, 7)], Turned(kernels=True, matrices=True)),
        ([(7, 32), (5,)], [(32, 7), (5,)], Turned(matrices=True)),
        ([(7, 7), (5,)], [(7, 7), (5,)], Turned()),  # square matrices do not tell
    ],
)
def test_keras_and_torch(shapes, wanted, way):
    assert turned(shapes, wanted) == way


def test_what_fits_in_no_way_is_left_as_it_is():
    assert turned([(7, 32)], [(8, 32)]) == Turned()
    assert turned([(7, 32), (32, 7)], [(7, 32), (7, 32)]) == Turned()  # one of the two would have to be turned alone


def test_a_kernel_of_keras_has_its_numbers_where_torch_looks_for_them():
    keras = np.random.default_rng(0).normal(size=(3, 5, 4, 32))  # rows, columns, inputs, outputs
    torch = Turned(kernels=True).array(keras)
    assert torch.shape == (32, 4, 3, 5)
    for where in [(0, 0, 0, 0), (31, 3, 2, 4), (7, 1, 0, 3)]:
        o, i, r, c = where
        assert torch[where] == keras[r, c, i, o]


def test_a_matrix_of_keras_is_transposed_and_a_kernel_left_alone_if_only_matrices_are_turned():
    matrix, kernel = np.arange(6.0).reshape(2, 3), np.arange(24.0).reshape(2, 3, 4)
    way = Turned(matrices=True)
    np.testing.assert_array_equal(way.array(matrix), matrix.T)
    np.testing.assert_array_equal(way.array(kernel), kernel)
